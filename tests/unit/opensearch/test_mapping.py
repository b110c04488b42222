"""Index bodies, encoded documents, and differences of an existing index."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from raypipe.core.book import Document
from raypipe.core.errors import BookError, SetupError
from raypipe.opensearch.connection.capabilities import Server
from raypipe.opensearch.index.compatibility import Differences, find_differences
from raypipe.opensearch.index.encoding import document_body
from raypipe.opensearch.index.mapping import index_body
from raypipe.opensearch.index.metadata import IndexMetadata, read_metadata
from tests.unit.opensearch.builders import document

META = IndexMetadata("g1", "state-1", "recipe-1", {"name": "hash", "dimension": 4})


def existing_index(**changes: Any) -> dict[str, Any]:
    """Return an index body as the server returns it, with all settings as strings."""
    body = orjson.loads(orjson.dumps(index_body(4, META)))
    body["settings"]["index"]["knn"] = "true"
    properties = body["mappings"]["properties"]
    # The server leaves the default analyzer out of its response.
    del properties["author"]["analyzer"]
    for path, value in changes.items():
        name, _, key = path.partition("__")
        properties[name][key] = value
    return dict(body)


def test_every_field_of_a_document_is_mapped_and_sent_and_no_other() -> None:
    fields = {field.name for field in dataclasses.fields(Document)}
    body = index_body(4, META)["mappings"]
    fields.remove("usd")  # only in the state: an index has documents of other versions, too
    assert set(body["properties"]) == fields | {"about"}  # the fields copied there are searched
    assert body["dynamic"] == "strict"
    full = {name: "text" for name in ("genre", "setting", "period", "plot", "degraded")}
    lists = {name: ("text",) for name in ("themes", "characters", "sections")}
    assert set(document_body(document("a", **full, **lists), 4)) == fields


def test_empty_fields_of_a_model_are_left_out() -> None:
    body = document_body(document("a", genre="novel"), 4)
    assert body["genre"] == "novel"
    assert not set(body) & {"setting", "plot", "themes", "sections", "degraded"}


def test_a_body_has_short_floats() -> None:
    vector = (0.1, 0.2, 0.3, 0.4)
    body = document_body(document("a", summary_vector=vector), 4)
    text = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    assert "[0.1,0.2,0.3,0.4]" in text


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e308])
def test_an_invalid_time_becomes_null(seconds: float) -> None:
    assert document_body(document("a", modified=seconds), 4)["modified"] is None


def test_a_bad_vector_names_its_book() -> None:
    with pytest.raises(BookError, match=r"shelf/a.txt has 4 values, not 8") as caught:
        document_body(document("a"), 8)
    assert caught.value.kind == "bad_vector"


def test_a_new_index_has_no_differences() -> None:
    existing = existing_index()
    assert (
        find_differences(existing["mappings"], existing["settings"], index_body(4, META))
        == Differences()
    )


def test_engine_shards_and_further_fields_may_differ() -> None:
    existing = existing_index()
    existing["mappings"]["properties"]["summary_vector"]["method"]["engine"] = "faiss"
    existing["mappings"]["properties"]["note"] = {"type": "text"}
    existing["settings"]["index"]["number_of_shards"] = "5"
    assert (
        find_differences(existing["mappings"], existing["settings"], index_body(4, META))
        == Differences()
    )


def test_differences_are_readable_lines() -> None:
    existing = existing_index(
        summary_vector__dimension=384, words__type="integer", title__analyzer="french"
    )
    del existing["mappings"]["properties"]["etag"]
    existing["mappings"]["properties"]["summary_vector"]["method"]["space_type"] = "l2"
    existing["mappings"]["dynamic"] = "true"
    del existing["settings"]["index"]["knn"]
    lines = find_differences(existing["mappings"], existing["settings"], index_body(4, META))
    assert not lines.older
    assert set(lines.incompatible) == {
        "summary_vector.dimension: the index has 384, this run needs 4",
        "summary_vector.space_type: the index has l2, this run needs cosinesimil",
        "words.type: the index has integer, this run needs long",
        "title.analyzer: the index has french, this run needs english",
        "etag.type: the index has none, this run needs keyword",
        "dynamic: the index has true, this run needs strict",
        "settings.index.knn: the index has false, this run needs true",
    }


def test_embedder_and_schema_matter_recipe_and_generation_do_not() -> None:
    existing = existing_index()
    other = dataclasses.replace(
        META,
        generation="g2",
        recipe="recipe-2",
        embedder={"name": "wordllama", "dimension": 4, "truncated": True},
        document_schema=2,
    )
    lines = find_differences(existing["mappings"], existing["settings"], index_body(4, other))
    assert not lines.older
    assert lines.incompatible == [
        "embedder.name: the index has hash, this run needs wordllama",
        "embedder.truncated: the index has none, this run needs True",
        "document_schema: the index has 1, this run needs 2",
    ]


def test_identities_are_compared_as_json() -> None:
    existing = existing_index()
    tuples = dataclasses.replace(META, embedder={**META.embedder})
    existing["mappings"]["_meta"]["raypipe"]["embedder"]["layers"] = [1, 2]
    needed = dataclasses.replace(tuples, embedder={**META.embedder, "layers": (1, 2)})
    assert (
        find_differences(existing["mappings"], existing["settings"], index_body(4, needed))
        == Differences()
    )


@pytest.mark.parametrize(
    "mapping", [{}, {"_meta": {}}, {"_meta": {"raypipe": {}}}, {"_meta": {"raypipe": "x"}}]
)
def test_an_index_of_others_has_no_metadata(mapping: dict[str, Any]) -> None:
    assert read_metadata(mapping) is None


def test_faiss_is_refused_only_by_the_embedded_server() -> None:
    embedded = Server("OpenSearch 3", has_native_libraries=False)
    Server("OpenSearch 3").check_engine("faiss")
    embedded.check_engine("lucene")
    with pytest.raises(SetupError, match="opensearch=self_managed"):
        embedded.check_engine("faiss")
