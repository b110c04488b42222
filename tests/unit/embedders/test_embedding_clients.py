"""Bodies and settings of the embedding clients; what servers answer is in tests/integration."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.embedders.bedrock_cohere import CohereEmbedding
from raypipe.embedders.bedrock_nova import NovaEmbedding
from raypipe.embedders.bedrock_titan import TitanEmbedding
from raypipe.embedders.openai import OpenAIEmbedding
from raypipe.embedders.vectors import vectors_of
from raypipe.models.protocol import EmbeddingModel, ModelError, TokenUsage

V3 = "cohere.embed-english-v3"


def test_titans_body() -> None:
    body = TitanEmbedding(dimension=256).body(["a"], "query")
    assert body == {"inputText": "a", "dimensions": 256, "normalize": True}
    assert body == TitanEmbedding(dimension=256).body(["a"], "document")


def test_novas_body_says_what_the_vector_is_for() -> None:
    body = NovaEmbedding(dimension=384).body(["a"], "document")
    assert body["taskType"] == "SINGLE_EMBEDDING"
    assert body["singleEmbeddingParams"] == {
        "embeddingPurpose": "GENERIC_INDEX",
        "embeddingDimension": 384,
        "text": {"truncationMode": "END", "value": "a"},
    }
    query = NovaEmbedding().body(["a"], "query")["singleEmbeddingParams"]
    assert query["embeddingPurpose"] == "TEXT_RETRIEVAL"


def test_coheres_two_versions_call_the_same_end_differently() -> None:
    newest = CohereEmbedding("us.cohere.embed-v4:0", dimension=512)
    assert newest.body(["a", "b"], "document") == {
        "texts": ["a", "b"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "truncate": "RIGHT",
        "output_dimension": 512,
    }
    old = CohereEmbedding(V3)
    body = old.body(["a"], "query")
    assert (body["input_type"], body["truncate"]) == ("search_query", "END")
    assert "output_dimension" not in body  # it does not know the word
    assert (old.max_chars, old.max_texts, newest.max_texts) == (2_048, 96, 96)


def test_openais_body() -> None:
    assert OpenAIEmbedding().body(["a"], "query") == {"input": ["a"], "encoding_format": "float"}
    assert OpenAIEmbedding(dimension=512).body(["a"], "query")["dimensions"] == 512
    local = OpenAIEmbedding(
        "e5", dimension=384, document_prefix="passage: ", query_prefix="query: "
    )
    assert local.body(["a"], "document")["input"] == ["passage: a"]
    assert local.body(["a"], "query")["input"] == ["query: a"]
    assert "dimensions" not in local.body(["a"], "query")  # vLLM refuses it for most models
    asked = OpenAIEmbedding("e5", dimension=384, shorten=True)
    assert asked.body(["a"], "query")["dimensions"] == 384


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (TitanEmbedding, {"dimension": 300}, "dimension=300: this model makes vectors of 256 or 512"),
    (NovaEmbedding, {"dimension": 512}, "vectors of 256 or 384 or 1024 or 3072"),
    (CohereEmbedding, {"dimension": 384}, "vectors of 256 or 512 or 1024 or 1536"),
    (CohereEmbedding, {"model_id": V3, "dimension": 512}, "vectors of 1024"),
    (CohereEmbedding, {"model_id": "arn:aws:bedrock:x:1:provisioned-model/a"}, "model_id=arn"),
    (OpenAIEmbedding, {"dimension": 2_000}, "dimension=2000 must be between 1 and 1536"),
    (OpenAIEmbedding, {"batch": 5_000}, "batch=5000 must be between 1 and 2048"),
    (OpenAIEmbedding, {"max_chars": 0}, "max_chars=0 must be at least 1"),
]


@pytest.mark.parametrize(("made", "settings", "message"), WRONG)
def test_wrong_settings_are_refused(made: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**settings)


def test_identity_is_what_changes_the_vectors() -> None:
    pairs: list[tuple[EmbeddingModel, EmbeddingModel]] = [
        (TitanEmbedding(region="eu-west-1"), TitanEmbedding(dimension=512)),
        (NovaEmbedding(endpoint_url="http://h"), NovaEmbedding(dimension=256)),
        (CohereEmbedding("eu.cohere.embed-v4:0"), CohereEmbedding(V3)),
        (OpenAIEmbedding(base_url="http://h/v1", batch=2), OpenAIEmbedding(document_prefix="p: ")),
    ]
    for same, other in pairs:
        default: EmbeddingModel = type(same)()
        assert same.identity() == default.identity() != other.identity()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "holds no vectors"),
        ([None, [1.0]], "holds no vectors"),
        ([[1.0, 2.0]], "1 vectors for 2 texts"),
        ([[1.0], [1.0]], "give dimension=1"),
        ([[1.0, None], [1.0, 2.0]], "other things than finite numbers"),
        ([[1.0, float("nan")], [1.0, 2.0]], "other things than finite numbers"),
    ],
)
def test_what_is_no_vectors_is_a_bad_response(rows: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        vectors_of(rows, (2, 2), TokenUsage())
    assert (caught.value.code, caught.value.maybe_paid) == ("BadResponse", True)
