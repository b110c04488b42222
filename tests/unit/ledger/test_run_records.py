from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from raypipe.core.errors import SetupError
from raypipe.core.redact import REDACTED
from raypipe.ledger.run_records import RunRecord, find_imbalances, load, run_id, save_config
from raypipe.state.local import LocalState


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path))


def test_a_run_id_has_the_time_and_the_number() -> None:
    assert run_id(7, 1_795_465_841.0) == "20261123T203041Z-0007"
    assert run_id(12_345, 0.0) == "19700101T000000Z-12345"
    assert run_id(1) < run_id(2)


def test_a_saved_record_is_loaded(state: LocalState) -> None:
    record = RunRecord(run_id(3), 3, listed=5, indexed=5, usd=0.25, versions={"raypipe": "1"})
    assert record.save(state) == f"runs/{record.run_id}/run.json"
    assert load(state) == record
    record.status = "done"
    record.save(state)
    newest = RunRecord(run_id(4), 4)
    newest.save(state)
    assert state.get("runs/latest") == newest.run_id.encode()
    assert load(state) == newest
    assert load(state, record.run_id) == record
    assert load(state, "none") is None


def test_a_record_has_the_keys_that_scripts_use(state: LocalState) -> None:
    name = RunRecord("x", 1).save(state)
    keys = set(json.loads(state.get(name) or b""))
    names = (
        "status, exit_code, listed, skipped, indexed, failed, left, model_calls, cached_calls, "
        "input_tokens, output_tokens, usd, seconds, started_at, versions"
    )
    assert keys >= set(names.split(", "))


def test_a_state_without_runs_has_no_record(state: LocalState) -> None:
    assert load(state) is None


@pytest.mark.parametrize("data", [b"{", b'{"run_id": "x", "run_seq": 1, "from_the_future": 2}'])
def test_a_damaged_record_is_named(state: LocalState, data: bytes) -> None:
    state.put("runs/x/run.json", data)
    with pytest.raises(SetupError, match=r"runs/x/run\.json"):
        load(state, "x")


def test_config_is_written_without_secrets(state: LocalState, tmp_path: Path) -> None:
    config = {"b": {"password": "hush", "path": tmp_path, "n": 1.5}, "a": ("x", None, True)}
    name = save_config(state, "r1", config)
    assert name == "runs/r1/config.yaml"
    text = (state.get(name) or b"").decode()
    assert "hush" not in text
    assert yaml.safe_load(text) == {
        "b": {"password": REDACTED, "path": str(tmp_path), "n": 1.5},
        "a": ["x", None, True],
    }


class TestImbalances:
    def test_balanced_books(self) -> None:
        assert find_imbalances({*"abcd"}, {"a"}, {"b"}, {"c"}, {"d"}) == []
        assert find_imbalances(set(), set(), set(), set(), set()) == []

    def test_a_lost_book(self) -> None:
        assert find_imbalances({*"ab"}, {"a"}, set(), set(), set()) == [
            "listed, but neither skipped, indexed, failed nor left: 1 (b)"
        ]

    def test_a_book_with_two_fates(self) -> None:
        assert find_imbalances({*"ab"}, {"a"}, {*"ab"}, {"b"}, set()) == [
            "both skipped and indexed: 1 (a)",
            "both indexed and failed: 1 (b)",
        ]

    def test_a_book_that_was_not_listed(self) -> None:
        assert find_imbalances({"a"}, {"a"}, set(), {"x"}, set()) == [
            "failed, but not listed: 1 (x)"
        ]

    def test_five_ids_are_shown_and_all_are_counted(self) -> None:
        listed = {f"{number:05d}" for number in range(12_000)}
        (problem,) = find_imbalances(listed, set(), set(), set(), set())
        assert problem == (
            "listed, but neither skipped, indexed, failed nor left: 12,000 "
            "(00000, 00001, 00002, 00003, 00004, …)"
        )
