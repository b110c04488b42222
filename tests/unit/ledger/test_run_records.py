from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from raypipe.core.errors import SetupError
from raypipe.ledger.run_records import (
    REDACTED,
    RunRecord,
    balance,
    load,
    redact,
    run_id,
    save_config,
)
from raypipe.state.local import LocalState


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path))


def test_run_id() -> None:
    assert run_id(7, 1_795_465_841.0) == "20261123T203041Z-0007"
    assert run_id(12_345, 0.0) == "19700101T000000Z-12345"
    assert run_id(1) < run_id(2)


def test_record_round_trip(state: LocalState) -> None:
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


def test_record_has_the_names_that_scripts_rely_on(state: LocalState) -> None:
    name = RunRecord("x", 1).save(state)
    keys = set(json.loads(state.get(name) or b""))
    names = (
        "status, exit_code, listed, skipped, indexed, failed, left, model_calls, cached_calls, "
        "input_tokens, output_tokens, usd, seconds, started_at, versions"
    )
    assert keys >= set(names.split(", "))


def test_no_run_yet(state: LocalState) -> None:
    assert load(state) is None


@pytest.mark.parametrize("data", [b"{", b'{"run_id": "x", "run_seq": 1, "from_the_future": 2}'])
def test_damaged_record_is_named(state: LocalState, data: bytes) -> None:
    state.put("runs/x/run.json", data)
    with pytest.raises(SetupError, match=r"runs/x/run\.json"):
        load(state, "x")


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "opensearch_password",
        "http-passwd",
        "secret",
        "aws_secret_access_key",
        "secretKey",
        "aws_access_key_id",
        "key_id",
        "api_key",
        "apiKey",
        "OPENAI_API_KEY",
        "apikey",
        "token",
        "session_token",
        "hf_token",
        "authToken",
        "Authorization",
        "credentials",
        "private_key",
        "passphrase",
        "SECRET",
    ],
)
@pytest.mark.parametrize("value", ["hush", 12345, ["hush"], {"inner": "hush"}])
def test_secrets_go(key: str, value: Any) -> None:
    assert redact({"deep": [{key: value}]}) == {"deep": [{key: REDACTED}]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_tokens", 400),
        ("max_output_tokens", "400"),
        ("maxTokens", 400),
        ("tokens_per_minute", 1_000_000),
        ("input_tokens", 3),
        ("tokens", 5),
        ("tokenizer", "cl100k"),
        ("key", "books/a.txt"),
        ("keywords", ["a"]),
        ("keys", ["book_id"]),
        ("passes", 2),
        ("bypass", "x"),
        ("secretary", "Miss Lemon"),
        ("password", None),
        ("password", ""),
        ("use_token", True),
        ("monkey", "x"),
        ("profile", "prod"),
    ],
)
def test_harmless_keys_stay(key: str, value: Any) -> None:
    assert redact({key: value}) == {key: value}


def test_secrets_inside_texts_go() -> None:
    assert redact("https://me:pa55@host:9200/x") == f"https://{REDACTED}@host:9200/x"
    assert redact("https://host/x@y") == "https://host/x@y"
    overrides = ["opensearch.password=pa55", "summarizer.max_tokens=400", "+a.api_key=x"]
    assert redact({"overrides": overrides}) == {
        "overrides": [
            f"opensearch.password={REDACTED}",
            "summarizer.max_tokens=400",
            f"+a.api_key={REDACTED}",
        ]
    }


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


class TestBalance:
    def test_balanced(self) -> None:
        assert balance({*"abcd"}, {"a"}, {"b"}, {"c"}, {"d"}) == []
        assert balance(set(), set(), set(), set(), set()) == []

    def test_lost(self) -> None:
        assert balance({*"ab"}, {"a"}, set(), set(), set()) == [
            "listed, but neither skipped, indexed, failed nor left: 1 (b)"
        ]

    def test_twice(self) -> None:
        assert balance({*"ab"}, {"a"}, {*"ab"}, {"b"}, set()) == [
            "both skipped and indexed: 1 (a)",
            "both indexed and failed: 1 (b)",
        ]

    def test_never_listed(self) -> None:
        assert balance({"a"}, {"a"}, set(), {"x"}, set()) == ["failed, but not listed: 1 (x)"]

    def test_names_five_and_counts_all(self) -> None:
        listed = {f"{number:05d}" for number in range(12_000)}
        (problem,) = balance(listed, set(), set(), set(), set())
        assert problem == (
            "listed, but neither skipped, indexed, failed nor left: 12,000 "
            "(00000, 00001, 00002, 00003, 00004, …)"
        )
