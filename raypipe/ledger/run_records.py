"""A run's record: its numbers, its configuration without secrets, and whether its books balance."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.state.store import State

FOLDER = "runs"
LATEST = f"{FOLDER}/latest"
REDACTED = "(not kept)"

_SHOWN = 5  # ids in a message


@dataclass
class RunRecord:
    """A run in numbers, for people and scripts: `runs/<run_id>/run.json`.

    The books balance when listed = skipped + indexed + failed + left; `known_failures` is a
    part of skipped, `finished` counts documents that this run made.
    """

    run_id: str
    run_seq: int
    status: str = "running"  # running | done | failed | stopped | error
    exit_code: int | None = None
    reason: str = ""  # why it stopped or could not be done
    listed: int = 0
    skipped: int = 0
    indexed: int = 0
    finished: int = 0
    failed: int = 0
    left: int = 0
    known_failures: int = 0
    degraded: int = 0  # indexed, but with a fallback's summary
    removed: int = 0  # gone from the source, and deleted; not among the listed
    model_calls: int = 0
    cached_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    started_at: str = ""  # ISO 8601, UTC
    index: str = ""  # the physical index
    served: str = ""  # the one that is searched after the run
    lacking: int = 0  # books that the served one has and the new one has not
    generation: str = ""
    stage_seconds: dict[str, float] = field(default_factory=dict)  # *_busy: summed over workers
    versions: dict[str, str] = field(default_factory=dict)  # of raypipe and what it stands on

    def save(self, state: State) -> str:
        """Write run.json and point `runs/latest` here; returns the name of run.json."""
        name = f"{FOLDER}/{self.run_id}/run.json"
        state.put(name, json.dumps(dataclasses.asdict(self), indent=1).encode())
        state.put(LATEST, self.run_id.encode())
        return name


def run_id(run_seq: int, at: float | None = None) -> str:
    """Return a run's id, e.g. `20261123T203041Z-0007`.

    Args:
        run_seq: The run's number.
        at: When it started, seconds since the epoch; None = now.
    """
    moment = time.gmtime(time.time() if at is None else at)
    return f"{time.strftime('%Y%m%dT%H%M%SZ', moment)}-{run_seq:04d}"


def load(state: State, which: str = "") -> RunRecord | None:
    """Return the record of a run, or of the newest; None where there is none.

    Raises:
        SetupError: The record is damaged, or a newer raypipe wrote it.
    """
    name = which or (state.get(LATEST) or b"").decode()
    data = state.get(f"{FOLDER}/{name}/run.json") if name else None
    if data is None:
        return None
    try:
        return RunRecord(**json.loads(data))
    except (ValueError, TypeError):
        raise SetupError(
            f"{FOLDER}/{name}/run.json in the state {state.uri} is damaged or of a newer raypipe; "
            "upgrade raypipe, or delete that folder (no book is lost with it)"
        ) from None


def save_config(state: State, which: str, config: Mapping[str, Any]) -> str:
    """Write a run's configuration without its secrets; returns the name of config.yaml."""
    import yaml

    name = f"{FOLDER}/{which}/config.yaml"
    text = yaml.safe_dump(redact(config), sort_keys=False, allow_unicode=True)
    state.put(name, text.encode())
    return name


def redact(value: Any, key: str = "") -> Any:
    """Return a configuration as plain lists and dicts with every secret replaced by `REDACTED`.

    A secret is known by its key (`password`, `api_key`, `session_token`; not `max_tokens`), in a
    URL by its place before the `@`, and in a text by the `name=value` of an override.
    """
    if value is None or isinstance(value, bool) or value == "":
        return value
    if _is_secret(key, value):
        return REDACTED
    if isinstance(value, Mapping):
        return {str(name): redact(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner, key) for inner in value]
    if isinstance(value, int | float):
        return value
    text = _URL_LOGIN.sub(rf"\g<1>{REDACTED}@", str(value))
    return _ASSIGNMENT.sub(_assignment, text)


def balance(
    listed: AbstractSet[str],
    skipped: AbstractSet[str],
    indexed: AbstractSet[str],
    failed: AbstractSet[str],
    left: AbstractSet[str],
) -> list[str]:
    """Return what is wrong with a run's books; empty if listed = the four others, each once.

    Args:
        listed: Book ids of the listing.
        skipped: Those that the ledger let the run skip, known failures included.
        indexed: Those in this run's processed parts, read back.
        failed: Those in this run's failure parts.
        left: Those that the run did not come to, which it knows from a stop or a limit.
    """
    fates = {"skipped": skipped, "indexed": indexed, "failed": failed, "left": left}
    names = list(fates)
    pairs = [(one, two) for at, one in enumerate(names) for two in names[at + 1 :]]
    twice = [_problem(fates[one] & fates[two], f"both {one} and {two}") for one, two in pairs]
    lost = _problem(
        listed - skipped - indexed - failed - left,
        "listed, but neither skipped, indexed, failed nor left",
    )
    extra = [_problem(fates[name] - listed, f"{name}, but not listed") for name in names]
    return [problem for problem in (*twice, lost, *extra) if problem]


def _problem(ids: AbstractSet[str], what: str) -> str:
    if not ids:
        return ""
    some: Sequence[str] = sorted(ids)[:_SHOWN]
    more = ", …" if len(ids) > _SHOWN else ""
    return f"{what}: {len(ids):,} ({', '.join(some)}{more})"


_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(?P<key>[\w.\-]+)=(?P<value>[^\s&]+)")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET = re.compile(
    r"password|passwd|pass|passphrase|pwd|secrets?|credentials?|authorization|bearer|cookie|"
    r"signature|apikey"
)
_SECRET_KEY = re.compile(r"(api|access|private|auth|account|signing|encryption) key|key id")
# A token of a model is counted; a token that opens a door is not.
_COUNTED = re.compile(r"max|min|per|count|limit|budget|number|num|input|output|total|price")


def _is_secret(key: str, value: Any) -> bool:
    words = [word.lower() for word in _WORD.findall(key)]
    if any(map(_SECRET.fullmatch, words)) or _SECRET_KEY.search(" ".join(words)):
        return True
    if words[-1:] not in (["token"], ["tokens"]) or any(map(_COUNTED.fullmatch, words)):
        return False
    # `tokens: 400` is a number of them; `token: 400` may be one.
    return words[-1] == "token" or not isinstance(value, int | float)


def _assignment(match: re.Match[str]) -> str:
    key = match["key"].rpartition(".")[2]
    return f"{match['key']}={REDACTED}" if _is_secret(key, match["value"]) else match[0]
