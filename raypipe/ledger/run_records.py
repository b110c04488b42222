"""The record of a run: its numbers, its configuration, and whether its books balance."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.core.json_record import read_record
from raypipe.core.redact import redact
from raypipe.state.store import State

FOLDER = "runs"
LATEST = f"{FOLDER}/latest"

_RUN_ID = re.compile(r"[0-9A-Za-z_-]+")
_MAX_SHOWN = 5  # ids in a message


@dataclass
class RunRecord:
    """The numbers of a run, for users and scripts: `runs/<run_id>/run.json`.

    The books balance if listed = skipped + indexed + failed + left. `known_failures` are part of
    `skipped`. `finished` counts the documents of a run without an index.
    """

    run_id: str
    run_seq: int
    status: str = "running"  # running | done | failed | stopped | error
    exit_code: int | None = None
    reason: str = ""  # why the run stopped or could not be carried out
    listed: int = 0
    skipped: int = 0
    indexed: int = 0
    finished: int = 0
    failed: int = 0
    left: int = 0
    known_failures: int = 0
    degraded: int = 0  # indexed, but with a fallback's summary
    removed: int = 0  # deleted, because no longer at the source; not among the listed
    model_calls: int = 0
    cached_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    started_at: str = ""  # ISO 8601, UTC
    index: str = ""  # the physical index that was written
    served: str = ""  # the physical index that is searched after the run
    lacking: int = 0  # books of the served index that the new index lacks
    generation: str = ""
    stage_seconds: dict[str, float] = field(default_factory=dict)  # *_busy: summed over workers
    versions: dict[str, str] = field(default_factory=dict)  # of raypipe, Python and libraries
    renames_waiting: int = 0  # documents kept under old keys, not yet indexed under the new keys
    unlisted_folders: int = 0  # folders of the source that could not be listed
    unseen: int = 0  # finished books in these folders; kept, and not among the listed
    models: list[dict[str, Any]] = field(default_factory=list)  # calls and cost of each model
    not_taken: dict[str, int] = field(default_factory=dict)  # keys that are no books, by ending

    def save(self, state: State) -> str:
        """Write run.json, and point `runs/latest` at this run.

        Returns:
            Name of run.json in the state.

        Raises:
            SetupError: The state cannot be written.
        """
        name = f"{FOLDER}/{self.run_id}/run.json"
        state.put(name, json.dumps(dataclasses.asdict(self), indent=1).encode())
        state.put(LATEST, self.run_id.encode())
        return name


def report_name(run_id: str) -> str:
    """Return the name of a run's report in its state."""
    return f"{FOLDER}/{run_id}/report.html"


def run_id(run_seq: int, started_at: float | None = None) -> str:
    """Return the id of a run, e.g. `20261123T203041Z-0007`.

    Args:
        run_seq: Number of the run.
        started_at: When the run started, in seconds since the epoch; None for now.
    """
    moment = time.gmtime(time.time() if started_at is None else started_at)
    return f"{time.strftime('%Y%m%dT%H%M%SZ', moment)}-{run_seq:04d}"


def load(state: State, run_id: str = "") -> RunRecord | None:
    """Return the record of a run, or None if there is no record.

    Args:
        state: Where the records are kept.
        run_id: Id of the run; '' for the latest run.

    Raises:
        SetupError: The record is damaged, or a newer raypipe wrote it.
    """
    name = run_id or _read_latest(state)
    data = state.get(f"{FOLDER}/{name}/run.json") if name else None
    if data is None:
        return None
    try:
        return read_record(RunRecord, data)
    except ValueError:
        raise SetupError(
            f"{FOLDER}/{name}/run.json in the state {state.uri} is damaged or was written by a "
            "newer raypipe; upgrade raypipe, or delete this folder (no book is lost with it)"
        ) from None


def _read_latest(state: State) -> str:
    """Return the id of the latest run, or '' if there is none."""
    name = (state.get(LATEST) or b"").decode(errors="replace").strip()
    if name and not _RUN_ID.fullmatch(name):
        raise SetupError(
            f"{LATEST} in the state {state.uri} is damaged; delete it (the next run writes it), or "
            f"name a run of {FOLDER}/"
        )
    return name


def save_config(state: State, run_id: str, config: Mapping[str, Any]) -> str:
    """Write the configuration of a run without its secrets.

    Returns:
        Name of config.yaml in the state.

    Raises:
        SetupError: The state cannot be written.
    """
    import yaml

    name = f"{FOLDER}/{run_id}/config.yaml"
    # The fast dumper is missing where PyYAML was built without libyaml.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(redact(config), Dumper=dumper, sort_keys=False, allow_unicode=True)
    state.put(name, text.encode())
    return name


def find_imbalances(
    listed: AbstractSet[str],
    skipped: AbstractSet[str],
    indexed: AbstractSet[str],
    failed: AbstractSet[str],
    left: AbstractSet[str],
) -> list[str]:
    """Return a line for each contradiction in the books of a run; empty if they balance.

    They balance if every listed book is in exactly one of the other sets.

    Args:
        listed: Book ids in the listing.
        skipped: Ids that the run skipped because of the ledger, known failures included.
        indexed: Ids in the processed parts of this run, read back.
        failed: Ids in the failure parts of this run.
        left: Ids that the run left for another run, because of a stop or a limit.
    """
    fates = {"skipped": skipped, "indexed": indexed, "failed": failed, "left": left}
    problems = [
        _describe(fates[first] & fates[second], f"both {first} and {second}")
        for first, second in combinations(fates, 2)
    ]
    lost = listed - skipped - indexed - failed - left
    problems.append(_describe(lost, "listed, but neither skipped, indexed, failed nor left"))
    problems += [_describe(ids - listed, f"{fate}, but not listed") for fate, ids in fates.items()]
    return [problem for problem in problems if problem]


def _describe(ids: AbstractSet[str], problem: str) -> str:
    if not ids:
        return ""
    shown = ", ".join(sorted(ids)[:_MAX_SHOWN])
    more = ", …" if len(ids) > _MAX_SHOWN else ""
    return f"{problem}: {len(ids):,} ({shown}{more})"
