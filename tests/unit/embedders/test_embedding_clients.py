"""Request bodies and settings of the embedding clients; tests/integration covers the answers."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.embedders.bedrock_cohere import CohereEmbedding
from raypipe.embedders.bedrock_nova import NovaEmbedding
from raypipe.embedders.bedrock_titan import TitanEmbedding
from raypipe.embedders.openai import OpenAIEmbedding
from raypipe.embedders.vectors import parse_vectors
from raypipe.models.protocol import EmbeddingModel, ModelError, TokenUsage

V3 = "cohere.embed-english-v3"


def test_titan_body() -> None:
    body = TitanEmbedding(dimension=256).body(["a"], "query")
    assert body == {"inputText": "a", "dimensions": 256, "normalize": True}
    assert body == TitanEmbedding(dimension=256).body(["a"], "document")


def test_nova_body_names_the_purpose_of_the_vector() -> None:
    body = NovaEmbedding(dimension=384).body(["a"], "document")
    assert body["taskType"] == "SINGLE_EMBEDDING"
    assert body["singleEmbeddingParams"] == {
        "embeddingPurpose": "GENERIC_INDEX",
        "embeddingDimension": 384,
        "text": {"truncationMode": "END", "value": "a"},
    }
    query = NovaEmbedding().body(["a"], "query")["singleEmbeddingParams"]
    assert query["embeddingPurpose"] == "TEXT_RETRIEVAL"


def test_cohere_v3_and_v4_name_the_same_truncation_differently() -> None:
    v4 = CohereEmbedding("us.cohere.embed-v4:0", dimension=512)
    assert v4.body(["a", "b"], "document") == {
        "texts": ["a", "b"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "truncate": "RIGHT",
        "output_dimension": 512,
    }
    v3 = CohereEmbedding(V3)
    body = v3.body(["a"], "query")
    assert (body["input_type"], body["truncate"]) == ("search_query", "END")
    assert "output_dimension" not in body  # v3 does not accept it
    assert (v3.max_chars, v3.max_texts, v4.max_texts) == (2_048, 96, 96)


def test_openai_body() -> None:
    assert OpenAIEmbedding().body(["a"], "query") == {"input": ["a"], "encoding_format": "float"}
    assert OpenAIEmbedding(dimension=512).body(["a"], "query")["dimensions"] == 512
    local = OpenAIEmbedding(
        "e5", dimension=384, document_prefix="passage: ", query_prefix="query: "
    )
    assert local.body(["a"], "document")["input"] == ["passage: a"]
    assert local.body(["a"], "query")["input"] == ["query: a"]
    assert "dimensions" not in local.body(["a"], "query")  # vLLM refuses it for most models
    shortened = OpenAIEmbedding("e5", dimension=384, shorten=True)
    assert shortened.body(["a"], "query")["dimensions"] == 384


INVALID: list[tuple[Any, dict[str, Any], str]] = [
    (
        TitanEmbedding,
        {"dimension": 300},
        "dimension=300: this model returns vectors of length 256 or 512",
    ),
    (NovaEmbedding, {"dimension": 512}, "length 256 or 384 or 1024 or 3072"),
    (CohereEmbedding, {"dimension": 384}, "length 256 or 512 or 1024 or 1536"),
    (CohereEmbedding, {"model_id": V3, "dimension": 512}, "vectors of length 1024$"),
    (CohereEmbedding, {"model_id": "arn:aws:bedrock:x:1:provisioned-model/a"}, "model_id=arn"),
    (OpenAIEmbedding, {"dimension": 2_000}, "dimension=2000 must be between 1 and 1536"),
    (OpenAIEmbedding, {"batch": 5_000}, "batch=5000 must be between 1 and 2048"),
    (OpenAIEmbedding, {"max_chars": 0}, "max_chars=0 must be at least 1"),
]


@pytest.mark.parametrize(("create", "settings", "message"), INVALID)
def test_invalid_settings_are_refused(create: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create(**settings)


def test_identity_has_the_settings_that_change_the_vectors() -> None:
    pairs: list[tuple[EmbeddingModel, EmbeddingModel]] = [
        (TitanEmbedding(region="eu-west-1"), TitanEmbedding(dimension=512)),
        (NovaEmbedding(endpoint_url="http://h"), NovaEmbedding(dimension=256)),
        (CohereEmbedding("eu.cohere.embed-v4:0"), CohereEmbedding(V3)),
        (OpenAIEmbedding(base_url="http://h/v1", batch=2), OpenAIEmbedding(document_prefix="p: ")),
    ]
    for same, different in pairs:
        default: EmbeddingModel = type(same)()
        assert same.identity() == default.identity() != different.identity()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "contains no vectors"),
        ([None, [1.0]], "contains no vectors"),
        ([[1.0, 2.0]], "1 vectors for 2 texts"),
        ([[1.0], [1.0]], "set dimension=1"),
        ([[1.0, None], [1.0, 2.0]], "not all finite numbers"),
        ([[1.0, float("nan")], [1.0, 2.0]], "not all finite numbers"),
    ],
)
def test_an_answer_without_usable_vectors_is_a_bad_response(rows: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        parse_vectors(rows, (2, 2), TokenUsage())
    assert (error.value.code, error.value.maybe_paid) == ("BadResponse", True)
