"""Read the paths that people type."""

from __future__ import annotations

from pathlib import Path


def expand_home(text: str, option: str) -> Path:
    """Return a path with `~` and `~user` replaced by the home folder.

    Args:
        text: The path as it was typed.
        option: What it was typed for, for the message.

    Raises:
        ValueError: There is no such user, or this user has no home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = text.split("/", 1)[0][1:]
        whose = f"there is no user {user}" if user else "this user has no home folder"
        raise ValueError(
            f"{option}={text}: {whose}; give the whole path, or ./{text} for a folder of this name"
        ) from None
