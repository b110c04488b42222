from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from raypipe.verify.legacy_results import (
    LegacyResult,
    UnreadableError,
    extract_pickled_strings,
    read_legacy_results,
)

RESULT = {
    "title": "The Kite Maker",
    "author": "Mei Harcourt",
    "genre": "tale",
    "plot_summary": "A boy learns to fly kites.",
    "thematic_analysis": "Patience.",
    "character_summary": "Old Gao and the boy.",
    "combined_summary": "A boy learns patience from a maker of kites.",
}
EXPECTED = LegacyResult(
    "Kite__by__Mei.json",
    "Kite__by__Mei",
    "The Kite Maker",
    "Mei Harcourt",
    RESULT["combined_summary"],
)


def read(content: Any, name: str = "Kite__by__Mei.json") -> list[LegacyResult]:
    return read_legacy_results(name, json.dumps(content).encode())


def test_a_file_with_one_result() -> None:
    assert read(RESULT) == [EXPECTED]


@pytest.mark.parametrize(
    "name",
    ["old/Kite__by__Mei.json", "Kite__by__Mei_summary.json", "Kite__by__Mei.txt.json"],
)
def test_the_default_key_is_the_file_name_without_its_endings(name: str) -> None:
    assert read(RESULT, name)[0].key == "Kite__by__Mei"


@pytest.mark.parametrize("field", ["s3_key", "key", "filename"])
def test_a_key_in_the_result_takes_precedence_over_the_file_name(field: str) -> None:
    assert read({**RESULT, field: "novels/kite.txt"})[0].key == "novels/kite.txt"


def test_a_file_with_several_results() -> None:
    assert [result.title for result in read([RESULT, RESULT])] == ["The Kite Maker"] * 2
    assert [result.key for result in read({"a.txt": RESULT, "b.txt": RESULT})] == ["a.txt", "b.txt"]
    lines = "\n".join(json.dumps({**RESULT, "key": key}) for key in "ab")
    assert [result.key for result in read_legacy_results("old.jsonl", lines.encode())] == ["a", "b"]


def test_without_a_combined_summary_the_partial_summaries_are_joined() -> None:
    parts = {name: text for name, text in RESULT.items() if name != "combined_summary"}
    assert read(parts)[0].summary == "A boy learns to fly kites. Patience. Old Gao and the boy."


@pytest.mark.parametrize(
    "content",
    [
        ["a.txt", "b.txt"],
        {"processed": ["a.txt", "b.txt"]},
        {"processed_books": ["a.txt", "b.txt"]},
    ],
)
def test_lists_of_processed_keys(content: Any) -> None:
    assert [result.key for result in read(content, "processed_books.json")] == ["a.txt", "b.txt"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "keys", [{"a.txt", "é.txt"}, ["a.txt", "é.txt"], {"a.txt": True, "é.txt": True}]
)
def test_strings_of_a_pickle(keys: Any, protocol: int) -> None:
    assert set(extract_pickled_strings(pickle.dumps(keys, protocol))) == {"a.txt", "é.txt"}


class Harmful:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_loaded(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "loaded"
    data = pickle.dumps(["a.txt", Harmful(marker)], protocol)
    strings = extract_pickled_strings(data)
    assert not marker.exists()
    assert strings[0] == "a.txt"
    pickle.loads(data)
    assert marker.exists(), "loading creates the file"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b"{"),
        ("a.json", b"\xff\xfe\x00"),
        ("a.json", b"{}"),
        ("a.json", b'{"number": 3}'),
        ("a.json", b"[1, 2]"),
        ("a.jsonl", b'{"title": "x"}\nnonsense'),
        ("a.pkl", b"no pickle"),
        ("a.pkl", pickle.dumps(["a.txt"] * 5)[:-4]),
    ],
)
def test_a_file_without_results_is_unreadable(name: str, data: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_legacy_results(name, data)
