"""Parse and build InvokeModel bodies of embedding models: Titan v2, Cohere v3 and v4, Nova 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from raypipe.simulator.calls import CallRefused, SimulatedAnswer
from raypipe.simulator.embeddings import embed
from raypipe.simulator.request_body import Body, as_mapping

TITAN, COHERE, NOVA = "amazon.titan-embed", "cohere.embed", "amazon.nova-2-multimodal-embeddings"
_TITAN_DIMENSIONS = (1024, 512, 256)
_COHERE_DIMENSIONS = (1536, 1024, 512, 256)
_NOVA_DIMENSIONS = (3072, 1024, 384, 256)
_TITAN_MAX_TOKENS = _NOVA_MAX_TOKENS = 8_192
_TITAN_MAX_CHARS = 50_000
_COHERE_MAX_TEXTS = 96
_COHERE_V3_MAX_CHARS = 2_048
_COHERE_V4_MAX_TOKENS = 128_000
_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering")
CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class EmbeddingRequest:
    """Texts to embed, and the format of the response.

    Args:
        family: `TITAN`, `COHERE` or `NOVA`.
        texts: The texts.
        dimension: Length of the vectors.
        types: Requested vector types; empty for the format without types.
    """

    family: str
    texts: tuple[str, ...]
    dimension: int
    types: tuple[str, ...] = ()


def parse_request(model: str, body: Body, count: CountTokens) -> EmbeddingRequest:
    """Return what an InvokeModel body requests.

    Args:
        model: Model id without region prefix.
        body: The body.
        count: Counts the tokens of a text.

    Raises:
        CallRefused: The body does not fit the model, or a text is too long for it.
    """
    if model.startswith(TITAN):
        return _parse_titan(body, count)
    if model.startswith(COHERE):
        return _parse_cohere(model, body, count)
    if model.startswith(NOVA):
        return _parse_nova(body, count)
    message = f"InvokeModel is simulated for embedding models only, not for {model}."
    raise CallRefused("invalid", message)


def _parse_titan(body: Body, count: CountTokens) -> EmbeddingRequest:
    text = _check_text("inputText", body.get("inputText"))
    tokens = count(text)
    if tokens > _TITAN_MAX_TOKENS or len(text) > _TITAN_MAX_CHARS:
        counts = f"Max input tokens: {_TITAN_MAX_TOKENS}, request input token count: {tokens}"
        raise CallRefused("too_long", f"400 Bad Request: Too many input tokens. {counts}")
    dimension = _check_choice("dimensions", body.get("dimensions", 1024), _TITAN_DIMENSIONS)
    types = _check_types(body.get("embeddingTypes"), ("float",))
    return EmbeddingRequest(TITAN, (text,), dimension, types)


def _parse_cohere(model: str, body: Body, count: CountTokens) -> EmbeddingRequest:
    texts, is_v4 = body.get("texts"), "-v4" in model
    if not isinstance(texts, list) or not 1 <= len(texts) <= _COHERE_MAX_TEXTS:
        raise CallRefused("invalid", f"texts must hold 1 to {_COHERE_MAX_TEXTS} texts.")
    if body.get("input_type") not in _INPUT_TYPES:
        raise CallRefused("invalid", f"input_type must be one of {', '.join(_INPUT_TYPES)}.")
    truncate_values = ("NONE", "LEFT", "RIGHT") if is_v4 else ("NONE", "START", "END")
    if body.get("truncate", "NONE") not in truncate_values:
        raise CallRefused("invalid", f"truncate must be one of {', '.join(truncate_values)}.")
    for text in texts:
        _check_text("texts", text)
        too_long = (
            count(text) > _COHERE_V4_MAX_TOKENS if is_v4 else len(text) > _COHERE_V3_MAX_CHARS
        )
        if too_long and body.get("truncate", "NONE") == "NONE":
            limit = (
                f"{_COHERE_V4_MAX_TOKENS} tokens" if is_v4 else f"{_COHERE_V3_MAX_CHARS} characters"
            )
            raise CallRefused("too_long", f"A text is longer than {limit}, and truncate is NONE.")
    dimension = 1024
    if is_v4:
        dimension = _check_choice(
            "output_dimension", body.get("output_dimension", 1536), _COHERE_DIMENSIONS
        )
    types = _check_types(body.get("embedding_types"), ())
    return EmbeddingRequest(COHERE, tuple(texts), dimension, types)


def _parse_nova(body: Body, count: CountTokens) -> EmbeddingRequest:
    if body.get("taskType") != "SINGLE_EMBEDDING":
        raise CallRefused("invalid", "taskType must be SINGLE_EMBEDDING.")
    params = as_mapping(body.get("singleEmbeddingParams"))
    text_params = as_mapping(params.get("text"))
    text = _check_text("text.value", text_params.get("value"))
    if not params.get("embeddingPurpose"):
        raise CallRefused("invalid", "embeddingPurpose is required.")
    if count(text) > _NOVA_MAX_TOKENS and text_params.get("truncationMode", "NONE") == "NONE":
        raise CallRefused("too_long", f"The text is longer than {_NOVA_MAX_TOKENS} tokens.")
    dimension = _check_choice(
        "embeddingDimension", params.get("embeddingDimension", 3072), _NOVA_DIMENSIONS
    )
    return EmbeddingRequest(NOVA, (text,), dimension)


def build_body(request: EmbeddingRequest, answer: SimulatedAnswer) -> bytes:
    """Return the body of the response with status 200."""
    vectors = [embed(text, request.dimension) for text in request.texts]
    body: Mapping[str, Any]
    if request.family == TITAN:
        body = {
            "embedding": vectors[0],
            "embeddingsByType": {"float": vectors[0]},
            "inputTextTokenCount": answer.input_tokens,
        }
    elif request.family == NOVA:
        body = {"embeddings": [{"embeddingType": "TEXT", "embedding": vectors[0]}]}
    else:
        by_type = bool(request.types)
        body = {
            "id": f"simulated-{answer.number}",
            "texts": request.texts,
            "embeddings": {"float": vectors} if by_type else vectors,
            "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
        }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _check_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise CallRefused("invalid", f"{name} must be a string that is not empty.")
    return value


def _check_choice(name: str, value: Any, choices: tuple[int, ...]) -> int:
    if value not in choices:
        expected = ", ".join(map(str, choices))
        raise CallRefused("invalid", f"{name}={value!r} must be one of {expected}.")
    return int(value)


def _check_types(value: Any, default: tuple[str, ...]) -> tuple[str, ...]:
    types = default if value is None else tuple(map(str, value))
    if set(types) - {"float"}:
        raise CallRefused("invalid", "Only vectors of type float are simulated.")
    return types
