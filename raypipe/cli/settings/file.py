"""Find and read the settings file: `raypipe.yaml`, `--settings FILE` or `RAYPIPE_SETTINGS`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from raypipe.cli.arguments import SETTINGS_FLAG
from raypipe.cli.settings import option_names
from raypipe.cli.settings.secrets import find_secret
from raypipe.cli.settings.trust import check_trusted, has_parts
from raypipe.cli.settings.yaml_text import YamlText
from raypipe.config.group_options import LISTS, list_choices
from raypipe.core.errors import OptionError
from raypipe.core.paths import expand_home

FILE_NAME = "raypipe.yaml"
VARIABLE = "RAYPIPE_SETTINGS"
OFF = ("", "none")
"""Values of `--settings` and `RAYPIPE_SETTINGS` that turn the settings file off."""

NO_PROFILE = ("none", "null")
"""Values of `profile=` that turn the file's own `profile` off."""

_MAX_BYTES = 1_000_000
_RESERVED = ("profile", "profiles", "config_dir")


@dataclass(frozen=True)
class Entry:
    """An option of a settings file.

    Args:
        key: Full name of the option, with `+` where the file has it.
        value: Its value: None, a truth value, a number, a text, a list or a mapping.
        place: File and line, e.g. `raypipe.yaml:7`.
        profile: The profile that has it; empty for an option of every profile.
    """

    key: str
    value: Any
    place: str
    profile: str = ""

    @property
    def name(self) -> str:
        """Return the full name of the option without `+`."""
        return self.key.lstrip("+")


@dataclass(frozen=True)
class SettingsFile:
    """A settings file that was read and checked.

    Args:
        path: The file, absolute.
        profile: The chosen profile; empty for none.
        shared: Options of every profile.
        profiles: Options of each profile.
        config_dir: Folder with option files of the user, absolute.
        import_dir: Folder from which its parts are imported; None if it has no parts.
    """

    path: Path
    profile: str = ""
    shared: Sequence[Entry] = ()
    profiles: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    config_dir: Path | None = None
    import_dir: Path | None = None

    @property
    def chosen(self) -> Sequence[Entry]:
        """Return the options of the chosen profile."""
        return self.profiles[self.profile] if self.profile else ()


def read_settings(named: str | None, profile: str | None) -> SettingsFile | None:
    """Return the settings of this process, or None without a file.

    Args:
        named: Value of `--settings`; None if it was not given.
        profile: Value of `profile=`; None if it was not given.

    Raises:
        OptionError: A named file does not exist, an option is unknown, or a secret is in it; the
            message has file and line.
    """
    path = find_file(named)
    if path is not None:
        return parse_settings(_read_text(path, display_path(path)), path, profile)
    if profile is not None:
        raise OptionError(
            f"profile={profile}: there is no settings file with profiles. Fix: write "
            f"{FILE_NAME} here (`raypipe init`), or name a file with --settings FILE"
        )
    return None


def find_file(named: str | None) -> Path | None:
    """Return the settings file, or None.

    Raises:
        OptionError: A file that was named does not exist.
    """
    path = settings_path(named)
    if path is None or path.exists() or path.is_symlink():
        return path
    if named is None and VARIABLE not in os.environ:
        return None
    origin = f"--settings {named}" if named is not None else f"{VARIABLE}={os.environ[VARIABLE]}"
    raise OptionError(f"{origin}: there is no such file; `raypipe init` writes a settings file")


def settings_path(named: str | None) -> Path | None:
    """Return where the settings file is or would be; None if it is turned off.

    Args:
        named: Value of `--settings`; None if it was not given.
    """
    given = named if named is not None else os.environ.get(VARIABLE)
    if given is None:
        return Path(FILE_NAME)
    if given in OFF:
        return None
    try:
        return expand_home(given, SETTINGS_FLAG if named is not None else VARIABLE)
    except ValueError as error:
        raise OptionError(str(error)) from None


def display_path(path: Path) -> str:
    """Return a path for messages: relative if it is in the working directory or below."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def parse_settings(text: str, path: Path, profile: str | None = None) -> SettingsFile:
    """Return the settings that a text describes.

    Args:
        text: The content of a settings file.
        path: Where the file is, or will be.
        profile: Value of `profile=`; None if it was not given.

    Raises:
        OptionError: An option is unknown, or a secret is in the text; with file and line.
    """
    name = display_path(path)
    document = YamlText(text, name)
    reader = _Reader(document, path)
    shared = [*reader.entries(document.root, is_top=True)]
    profiles = reader.profiles()
    every = [*shared, *(entry for entries in profiles.values() for entry in entries)]
    import_dir = None
    if reader.config_dir is not None or any(has_parts(entry.name, entry.value) for entry in every):
        import_dir = path.resolve().parent
        check_trusted(path.resolve(), reader.config_dir, name)
    return SettingsFile(
        path.absolute(),
        _choose_profile(profile, reader.default_profile, list(profiles), name),
        shared,
        profiles,
        reader.config_dir,
        import_dir,
    )


def _read_text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise OptionError(f"{name} has more than {_MAX_BYTES:,} bytes; it is no settings file")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OptionError(f"{name} is not UTF-8 text") from None
    except OSError as error:
        raise OptionError(f"{name}: {error.strerror}; name another file: --settings") from None


def _choose_profile(given: str | None, default: str | None, names: Sequence[str], name: str) -> str:
    wanted = given if given is not None else default
    if not wanted or wanted in NO_PROFILE:
        return ""
    if not names:
        raise OptionError(f"profile={wanted}: {name} has no profiles")
    if wanted not in names:
        raise OptionError(f"profile={wanted}: {name} has the profiles {', '.join(names)}")
    return wanted


class _Reader:
    """Turns the nodes of a document into options, and checks their names."""

    def __init__(self, document: YamlText, path: Path) -> None:
        self._document = document
        self.default_profile: str | None = None
        self.config_dir: Path | None = None
        self._profiles: yaml.Node | None = None
        # First: option files of the user define option names.
        for line in document.lines(document.root):
            if line.key == "config_dir":
                value = document.value(line.node)
                self.config_dir = self._existing_folder(path, value, line.number)
            elif line.key == "profile":
                self.default_profile = self._text(document.value(line.node), line.number)
            elif line.key == "profiles":
                self._profiles = line.node

    def profiles(self) -> dict[str, Sequence[Entry]]:
        """Return the options of each profile."""
        profiles: dict[str, Sequence[Entry]] = {}
        for line in self._document.lines(self._profiles):
            if line.key in (*NO_PROFILE, "") or "," in line.key:
                raise self._document.error(line.number, f"a profile cannot be called {line.key!r}")
            profiles[line.key] = [*self.entries(line.node, line.key)]
        return profiles

    def entries(
        self, node: yaml.Node | None, profile: str = "", *, is_top: bool = False
    ) -> Iterator[Entry]:
        """Yield the options of a mapping; nested mappings are options with dots.

        Args:
            node: The mapping.
            profile: The profile that the mapping belongs to, or ''.
            is_top: Whether it is the whole file, which has more keys than options.
        """
        first: dict[str, str] = {}
        for entry in self._flatten(node, "", profile, is_top=is_top):
            if entry.name in first:
                number = entry.place.rpartition(":")[2]
                where = first[entry.name].rpartition(":")[2]
                raise self._document.error(
                    int(number), f"{entry.name} is set twice, the first time in line {where}"
                )
            first[entry.name] = entry.place
            yield entry

    def _flatten(
        self, node: yaml.Node | None, prefix: str, profile: str, *, is_top: bool = False
    ) -> Iterator[Entry]:
        for line in self._document.lines(node):
            if is_top and line.key in _RESERVED:
                continue
            key = f"{prefix}{line.key}"
            value = self._document.value(line.node)
            is_mapping = isinstance(line.node, yaml.MappingNode)
            if is_mapping and option_names.has_options_below(key, self.config_dir):
                yield from self._flatten(line.node, f"{key}.", profile)
                continue
            self._check(key, value, line.number)
            yield Entry(key, value, f"{self._document.name}:{line.number}", profile)

    def _check(self, key: str, value: Any, number: int) -> None:
        name = key.lstrip("+")
        if problem := find_secret(name, value):
            raise self._document.error(number, problem)
        if name in option_names.ONE_TIME:
            raise self._document.error(
                number, f"{name} is for a single command; give it on the command line"
            )
        if name in _RESERVED:
            raise self._document.error(number, f"{name} belongs to the top of the file")
        is_added = key.startswith("+") and option_names.top_name(key) in option_names.group_names()
        if not is_added and not option_names.is_option(name, self.config_dir):
            with_classes = "_target_" in self._document.text
            hint = option_names.suggest(name, self.config_dir, with_classes=with_classes)
            raise self._document.error(number, f"there is no option {name}{hint}")
        self._check_choice(name, value, number)

    def _check_choice(self, name: str, value: Any, number: int) -> None:
        if name not in option_names.group_names():
            return
        choices = option_names.all_choices(name, self.config_dir)
        is_list = isinstance(value, list) and name in LISTS and value
        if not all(choice in choices for choice in (value if is_list else [value])):
            raise self._document.error(number, f"{name}: {list_choices(value, choices)}")

    def _existing_folder(self, path: Path, value: Any, number: int) -> Path:
        try:
            given = expand_home(self._text(value, number), "config_dir")
        except ValueError as error:
            raise self._document.error(number, str(error)) from None
        folder = path.resolve().parent / given
        if not folder.is_dir():
            raise self._document.error(number, f"config_dir: there is no folder {folder}")
        return folder.resolve()

    def _text(self, value: Any, number: int) -> str:
        if not isinstance(value, str):
            raise self._document.error(number, f"{value} must be text")
        return value
