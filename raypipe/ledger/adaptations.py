"""Keep the adaptations to models in the state, for later runs and other processes.

`models/<16 hex>.json` holds the adaptation to a model with its settings, and the question of the
last check that it passed. The name is a hash of the model, its settings and its server, so another
setting begins from nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.core.fingerprint import fingerprint
from raypipe.state.store import State

log = logging.getLogger(__name__)

FOLDER = "models"
VERSION = 1
_INVALID_ERRORS = (ValueError, LookupError, TypeError, RecursionError)


@dataclass(frozen=True, slots=True)
class AdaptationRecord:
    """The adaptation to a model as it is in the state.

    Args:
        adaptation: Plain JSON values; empty for none.
        checked: Key of the question of the last check that the model passed; '' for none.
        tag: Tag of the object; '' if there is none.
    """

    adaptation: Mapping[str, Any] = field(default_factory=dict)
    checked: str = ""
    tag: str = ""


def record_name(model: Mapping[str, Any]) -> str:
    """Return the name of the record of a model, by its name, settings and server."""
    return f"{FOLDER}/{fingerprint(model)}.json"


def read_record(state: State, name: str) -> AdaptationRecord:
    """Return a record; a damaged record is logged and empty.

    Raises:
        StateError: The state cannot be read.
    """
    tagged = state.get_tagged(name)
    if tagged is None:
        return AdaptationRecord()
    try:
        value = json.loads(tagged[0])
        if value["version"] != VERSION or not isinstance(value["adaptation"], dict):
            raise ValueError("another version")
        return AdaptationRecord(value["adaptation"], str(value["checked"]), tagged[1])
    except _INVALID_ERRORS as error:
        log.warning("ignored %s: damaged or foreign (%s)", name, type(error).__name__)
        return AdaptationRecord(tag=tagged[1])


def write_record(state: State, name: str, model: str, record: AdaptationRecord) -> bool:
    """Replace the record with this tag; return False if another process was faster.

    Raises:
        StateError: The state cannot be written.
    """
    value = {
        "version": VERSION,
        "model": model,
        "checked": record.checked,
        "adaptation": dict(record.adaptation),
    }
    data = json.dumps(value, indent=1).encode()
    if record.tag:
        return state.put_if_match(name, data, record.tag) is not None
    return state.put_if_absent(name, data) is not None
