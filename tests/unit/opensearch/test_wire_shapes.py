"""Replay the recorded responses of OpenSearch 2.x and 3.x to every kind of request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.opensearch.shapes import RECORDED, replay, same_names
from tests.unit.opensearch.stub import Stub
from tests.unit.opensearch.walk import walk

FILES = sorted(RECORDED.glob("*.json"))


def without_fix(results: dict[str, Any]) -> dict[str, Any]:
    """Return the results without the fix in a message, which is raypipe's own text."""
    return {**results, "unlike": results["unlike"].partition(". ")[0]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_recorded_responses_give_the_recorded_results(stub: Stub, file: Path) -> None:
    recorded = orjson.loads(file.read_bytes())
    missing = replay(stub, recorded)
    with same_names():
        try:
            results = walk(stub.url)
        finally:
            assert not missing, "record the answers again, see the docstring of shapes.py"
    assert without_fix(orjson.loads(orjson.dumps(results))) == without_fix(recorded["told"])


def test_all_versions_give_the_same_results() -> None:
    results: list[dict[str, Any]] = [orjson.loads(file.read_bytes())["told"] for file in FILES]
    assert {file.stem.partition(".")[0] for file in FILES} == {"2", "3"}
    assert all(result == results[0] for result in results)
    assert results[0]["written"] == [
        ["b1", "created"], ["b2", "created"], ["b3", "created"], ["bad", "mapper_parsing"],
    ]  # fmt: skip
    assert results[0]["a zombie"] == [[f"b{number}", "superseded"] for number in range(1, 4)]
    stopped = {name: results[0][name] for name in ("blocked", "gone", "no pipeline", "after close")}
    assert stopped == {"blocked": 403, "gone": 404, "no pipeline": 400, "after close": 400}
    by_pipeline = [[f"b{number}", "pipeline"] for number in range(1, 4)]
    for name in ("dropping", "failing", "diverting"):
        assert results[0][f"{name} pipeline"] == by_pipeline
    assert results[0]["runs"] == [5, [[5, 3]], ["extractive", "hash"]]
    nothing = [0, [], ["", ""]]
    assert results[0]["runs of an empty index"] == results[0]["runs of a foreign index"] == nothing
    assert (results[0]["kept"], results[0]["in use"], results[0]["unused"]) == (
        True, [[], []], [[True], []],
    )  # fmt: skip
