"""What OpenSearch 2.x and 3.x answered to all that raypipe asks, replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.opensearch.shapes import RECORDED, replay, same_names, walk
from tests.unit.opensearch.stub import Stub

FILES = sorted(RECORDED.glob("*.json"))


def without_advice(told: dict[str, Any]) -> dict[str, Any]:
    """Return the results without the way out, which is raypipe's own text and may change."""
    return {**told, "unlike": told["unlike"].partition(". ")[0]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_index_lives_as_it_did_on_the_real_server(stub: Stub, file: Path) -> None:
    recorded = orjson.loads(file.read_bytes())
    replay(stub, recorded)
    with same_names():
        told = walk(stub.url)
    assert without_advice(orjson.loads(orjson.dumps(told))) == without_advice(recorded["told"])


def test_what_comes_of_it_is_the_same_on_each_version() -> None:
    told: list[dict[str, Any]] = [orjson.loads(file.read_bytes())["told"] for file in FILES]
    assert {file.stem.partition(".")[0] for file in FILES} == {"2", "3"}
    assert all(one == told[0] for one in told)
    assert told[0]["written"] == [
        ["b1", "created"], ["b2", "created"], ["b3", "created"], ["bad", "mapper_parsing"],
    ]  # fmt: skip
    assert told[0]["a zombie"] == [[f"b{number}", "superseded"] for number in range(1, 4)]
    assert (told[0]["blocked"], told[0]["gone"]) == (403, 404)
