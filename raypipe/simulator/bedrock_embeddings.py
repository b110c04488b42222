"""Bodies of the embedding models on Bedrock: Titan v2, Cohere v3 and v4, Nova 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from raypipe.simulator.calls import Answer, Refused
from raypipe.simulator.embeddings import embed
from raypipe.simulator.wire import Body, mapping

TITAN, COHERE, NOVA = "amazon.titan-embed", "cohere.embed", "amazon.nova-2-multimodal-embeddings"
_TITAN_DIMENSIONS = (1024, 512, 256)
_COHERE_DIMENSIONS = (1536, 1024, 512, 256)
_NOVA_DIMENSIONS = (3072, 1024, 384, 256)
_TITAN_TOKENS = _NOVA_TOKENS = 8_192
_TITAN_CHARS = 50_000
_COHERE_TEXTS = 96
_COHERE_V3_CHARS = 2_048
_COHERE_V4_TOKENS = 128_000
_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering")
Count = Callable[[str], int]


@dataclass(frozen=True)
class Wanted:
    """Texts to embed, and the shape of the answer.

    Args:
        family: Whose body it is.
        texts: The texts.
        dimension: Length of the vectors.
        types: Kinds of vectors asked for by name; none = the plain shape.
    """

    family: str
    texts: tuple[str, ...]
    dimension: int
    types: tuple[str, ...] = ()


def read(model: str, body: Body, count: Count) -> Wanted:
    """Return what an InvokeModel body asks for.

    Raises:
        Refused: The body is not one of this model, or a text is too long for it.
    """
    if model.startswith(TITAN):
        return _titan(body, count)
    if model.startswith(COHERE):
        return _cohere(model, body, count)
    if model.startswith(NOVA):
        return _nova(body, count)
    raise Refused("invalid", f"InvokeModel knows embedding models alone here, and not {model}.")


def _titan(body: Body, count: Count) -> Wanted:
    text = _text("inputText", body.get("inputText"))
    tokens = count(text)
    if tokens > _TITAN_TOKENS or len(text) > _TITAN_CHARS:
        said = f"Max input tokens: {_TITAN_TOKENS}, request input token count: {tokens}"
        raise Refused("too_long", f"400 Bad Request: Too many input tokens. {said}")
    dimension = _one_of("dimensions", body.get("dimensions", 1024), _TITAN_DIMENSIONS)
    return Wanted(TITAN, (text,), dimension, _types(body.get("embeddingTypes"), ("float",)))


def _cohere(model: str, body: Body, count: Count) -> Wanted:
    texts, newest = body.get("texts"), "-v4" in model
    if not isinstance(texts, list) or not 1 <= len(texts) <= _COHERE_TEXTS:
        raise Refused("invalid", f"texts must hold 1 to {_COHERE_TEXTS} texts.")
    if body.get("input_type") not in _INPUT_TYPES:
        raise Refused("invalid", f"input_type must be one of {', '.join(_INPUT_TYPES)}.")
    cuts = ("NONE", "LEFT", "RIGHT") if newest else ("NONE", "START", "END")
    if body.get("truncate", "NONE") not in cuts:
        raise Refused("invalid", f"truncate must be one of {', '.join(cuts)}.")
    for text in texts:
        _text("texts", text)
        too_long = count(text) > _COHERE_V4_TOKENS if newest else len(text) > _COHERE_V3_CHARS
        if too_long and body.get("truncate", "NONE") == "NONE":
            most = f"{_COHERE_V4_TOKENS} tokens" if newest else f"{_COHERE_V3_CHARS} characters"
            raise Refused("too_long", f"A text is longer than {most}, and truncate is NONE.")
    dimension = 1024
    if newest:
        given = body.get("output_dimension", 1536)
        dimension = _one_of("output_dimension", given, _COHERE_DIMENSIONS)
    types = _types(body.get("embedding_types"), ())
    return Wanted(COHERE, tuple(texts), dimension, types)


def _nova(body: Body, count: Count) -> Wanted:
    if body.get("taskType") != "SINGLE_EMBEDDING":
        raise Refused("invalid", "taskType must be SINGLE_EMBEDDING.")
    params = mapping(body.get("singleEmbeddingParams"))
    given = mapping(params.get("text"))
    text = _text("text.value", given.get("value"))
    if not params.get("embeddingPurpose"):
        raise Refused("invalid", "embeddingPurpose is required.")
    if count(text) > _NOVA_TOKENS and given.get("truncationMode", "NONE") == "NONE":
        raise Refused("too_long", f"The text is longer than {_NOVA_TOKENS} tokens.")
    dimension = params.get("embeddingDimension", 3072)
    return Wanted(NOVA, (text,), _one_of("embeddingDimension", dimension, _NOVA_DIMENSIONS))


def shaped(wanted: Wanted, answer: Answer) -> bytes:
    """Return the body of a 200."""
    vectors = [embed(text, wanted.dimension) for text in wanted.texts]
    said: Mapping[str, Any]
    if wanted.family == TITAN:
        said = {
            "embedding": vectors[0],
            "embeddingsByType": {"float": vectors[0]},
            "inputTextTokenCount": answer.input_tokens,
        }
    elif wanted.family == NOVA:
        said = {"embeddings": [{"embeddingType": "TEXT", "embedding": vectors[0]}]}
    else:
        by_type = bool(wanted.types)
        said = {
            "id": f"simulated-{answer.number}",
            "texts": wanted.texts,
            "embeddings": {"float": vectors} if by_type else vectors,
            "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
        }
    return orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Refused("invalid", f"{name} must be a text that is not empty.")
    return value


def _one_of(name: str, value: Any, choices: tuple[int, ...]) -> int:
    if value not in choices:
        raise Refused("invalid", f"{name}={value!r} must be one of {', '.join(map(str, choices))}.")
    return int(value)


def _types(given: Any, default: tuple[str, ...]) -> tuple[str, ...]:
    types = default if given is None else tuple(map(str, given))
    if set(types) - {"float"}:
        raise Refused("invalid", "Only vectors of type float are made here.")
    return types
