"""What the index looks like: its body, a document on the wire, and how an existing one differs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from raypipe import __version__
from raypipe.core.book import MODEL_FIELDS, Document
from raypipe.core.errors import BookError, SetupError

DOCUMENT_SCHEMA_VERSION = 1
"""Raised when the fields below change their meaning; part of the document recipe."""
VECTOR = "summary_vector"
WRITE_ID = "write_id"
"""Names the request that wrote a document, where the server takes no ids: by it is found whether a
request was carried out whose answer was lost."""
ENGINES = ("lucene", "faiss")
_LONGEST_TERM = 8191
"""`ignore_above` counts UTF-16 units; Lucene refuses terms over 32,766 bytes, 4 a unit at most."""

_KEYWORD = {"type": "keyword", "ignore_above": _LONGEST_TERM}
_LONG = {"type": "long"}
_TIME = {"type": "date", "format": "epoch_millis"}
# `english` stems and drops stop words, so that a description's plurals and filler don't count;
# texts in other languages pass through it, words and query alike. A second analysis of the same
# words, as they are written, was measured to double the node's work for a document.
_TEXT = {"type": "text", "analyzer": "english"}
# Kept to be shown; `about` is what is searched of them.
_TOLD = {"type": "text", "index": False, "copy_to": "about"}
_RAW = {"fields": {"raw": _KEYWORD}}  # to sort and to group by
_FIELDS: dict[str, dict[str, Any]] = {
    "book_id": _KEYWORD,  # `_id` again, because `_id` can be neither sorted nor paged by
    "key": _KEYWORD,
    "etag": _KEYWORD,
    "source": _KEYWORD,
    "size": _LONG,
    "modified": _TIME,
    "title": {**_TEXT, **_RAW},
    "author": {"type": "text", "analyzer": "standard", **_RAW},
    "language": _KEYWORD,
    "words": _LONG,
    "encoding": _KEYWORD,
    "flags": _KEYWORD,
    "text_sha256": _KEYWORD,
    "text_recipe": _KEYWORD,
    "summary_recipe": _KEYWORD,
    "document_recipe": _KEYWORD,
    "summarizer": _KEYWORD,
    "embedder": _KEYWORD,
    "summary": _TEXT,
    "keywords": _TEXT,  # searched as text too: the words that a summary left out
    "about": _TEXT,  # all of the following at once, so that a search has one field more, not six
    "genre": {**_KEYWORD, "copy_to": "about"},
    "setting": _TOLD,
    "period": _TOLD,
    "plot": _TOLD,
    "themes": _TOLD,
    "characters": _TOLD,
    "sections": _TOLD,
    "degraded": _KEYWORD,
    "model_calls": _LONG,
    "input_tokens": _LONG,
    "output_tokens": _LONG,
    "run_seq": _LONG,
    "finished_at": _TIME,
    "node_id": _KEYWORD,
}
_TEXTS = tuple(
    name
    for name, kind in _FIELDS.items()
    if kind["type"] in ("keyword", "text") and name != "about"
)
_NUMBERS = tuple(name for name, kind in _FIELDS.items() if kind is _LONG)
_texts_of, _numbers_of = attrgetter(*_TEXTS), attrgetter(*_NUMBERS)


@dataclass(frozen=True)
class Meta:
    """What raypipe writes into the mapping's `_meta.raypipe` of its index.

    Args:
        generation: uuid4 hex of this physical index; a purge makes another.
        state: Id of the state that the index belongs to.
        recipe: Document recipe of the run that made it.
        embedder: What changes its vectors, see `Embedder.identity`.
        document_schema: Version of the fields.
        created_by: The version of raypipe that made it.
        restore: Settings as they were before it was loaded, to be put back before it is served.
    """

    generation: str
    state: str
    recipe: str
    embedder: Mapping[str, Any] = field(default_factory=dict)
    document_schema: int = DOCUMENT_SCHEMA_VERSION
    created_by: str = f"raypipe {__version__}"
    restore: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        cell = {**vars(self), "embedder": dict(self.embedder)}
        if not self.restore:
            del cell["restore"]
        return dict(orjson.loads(orjson.dumps(cell, option=orjson.OPT_SERIALIZE_NUMPY)))


def meta_of(mapping: Mapping[str, Any]) -> Meta | None:
    """Return the mark in a mapping, or None for an index that raypipe has not marked."""
    mark = mapping.get("_meta", {}).get("raypipe")
    if not isinstance(mark, Mapping) or not mark.get("generation"):
        return None
    return Meta(
        generation=str(mark["generation"]),
        state=str(mark.get("state", "")),
        recipe=str(mark.get("recipe", "")),
        embedder=dict(mark.get("embedder") or {}),
        document_schema=int(mark.get("document_schema", DOCUMENT_SCHEMA_VERSION)),
        created_by=str(mark.get("created_by", "")),
        restore=dict(mark.get("restore") or {}),
    )


def check_engine(engine: str, *, embedded: bool) -> None:
    """Refuse a k-NN engine that the server cannot run.

    The embedded node has no native libraries: with faiss the shard fails and the request that
    creates the index hangs to its timeout, so it is refused before it is sent.

    Raises:
        SetupError: It is unknown, or it is faiss on the embedded server.
    """
    if engine not in ENGINES:
        raise SetupError(f"opensearch.engine={engine}: choose one of {', '.join(ENGINES)}")
    if embedded and engine == "faiss":
        raise SetupError(
            "opensearch.engine=faiss needs native libraries that the embedded server has not; "
            "use opensearch.engine=lucene, or a server of your own (opensearch=self_managed)"
        )


def index_body(
    dimension: int,
    meta: Meta,
    *,
    engine: str = "lucene",
    shards: int = 1,
    replicas: int = 0,
    has_ids: bool = True,
) -> dict[str, Any]:
    """Return settings and mappings of a new index.

    Args:
        dimension: Length of the vectors.
        meta: The mark; stands in the mapping's `_meta`.
        engine: k-NN engine; m 16 and ef_construction 100 are both engines' documented defaults.
        shards: Primary shards.
        replicas: Copies of each shard.
        has_ids: Whether the server takes ids; one that does not settles shards and copies itself.
    """
    sizes = {"number_of_shards": shards, "number_of_replicas": replicas} if has_ids else {}
    vector = {
        "type": "knn_vector",
        "dimension": dimension,
        "method": {
            "name": "hnsw",
            "engine": engine,
            "space_type": "cosinesimil",
            "parameters": {"m": 16, "ef_construction": 100},
        },
    }
    return {
        "settings": {"index": {"knn": True, **sizes}},
        "mappings": {
            "dynamic": "strict",
            "_meta": {"raypipe": meta.as_dict()},
            "properties": {**_FIELDS, **({} if has_ids else {WRITE_ID: _KEYWORD}), VECTOR: vector},
        },
    }


def body_of(document: Document, dimension: int, *, clean: bool = True) -> dict[str, Any]:
    """Return a document as the index takes it, for `orjson` with `OPT_SERIALIZE_NUMPY`.

    Times become whole milliseconds.

    Args:
        document: What to index.
        dimension: Length of the index's vectors.
        clean: Let lone surrogates, which no UTF-8 can carry, become `?`.

    Raises:
        BookError: `bad_vector`: wrong dimension, a value that is not finite, or no length, which
            cosine similarity cannot take (k-NN's SpaceType refuses it for the whole item).
    """
    body: dict[str, Any] = {
        name: _clean(value) if clean else value
        for name, value in zip(_TEXTS, _texts_of(document), strict=True)
        # What only a model tells is left out of other documents: it would cost each of them.
        if value or name not in MODEL_FIELDS
    }
    body.update(zip(_NUMBERS, _numbers_of(document), strict=True))
    body["modified"] = _millis(document.modified)
    body["finished_at"] = _millis(document.finished_at)
    body[VECTOR] = _vector(document, dimension)
    return body


def differences(
    mapping: Mapping[str, Any], settings: Mapping[str, Any], wanted: Mapping[str, Any]
) -> list[str]:
    """Return in which ways an existing index does not fit, one readable line each.

    Fields that raypipe doesn't write, the k-NN engine and its parameters, shards and replicas
    may differ: documents and search are the same with them.

    Args:
        mapping: `mappings` of the existing index.
        settings: `settings` of the existing index.
        wanted: What `index_body` returns.
    """
    lines = []
    new = wanted["mappings"]
    have, need = _flat(mapping.get("properties", {})), _flat(new["properties"])
    for path, value in need.items():
        found = have.get(path)
        if path.endswith(".analyzer") and found is None:
            found = "standard"  # the server leaves its default out of the answer
        if str(found) != str(value):
            lines.append(_line(path, found, value))
    if str(mapping.get("dynamic", True)).lower() != new["dynamic"]:
        lines.append(_line("dynamic", mapping.get("dynamic", "true"), new["dynamic"]))
    if str(settings.get("index", {}).get("knn", False)).lower() != "true":
        lines.append(_line("settings.index.knn", "false", "true"))
    return lines + _meta_differences(meta_of(mapping), meta_of(new))


def _meta_differences(have: Meta | None, need: Meta | None) -> list[str]:
    if have is None or need is None:
        return []
    lines = []
    if have.document_schema != need.document_schema:
        lines.append(_line("document_schema", have.document_schema, need.document_schema))
    return lines + embedder_differences(have.embedder, need.as_dict()["embedder"])


def embedder_differences(have: Mapping[str, Any], need: Mapping[str, Any]) -> list[str]:
    """Return the lines in which two embedders' identities differ."""
    return [
        _line(f"embedder.{name}", have.get(name), need.get(name))
        for name in sorted({*have, *need})
        if have.get(name) != need.get(name)
    ]


def _line(path: str, have: Any, need: Any) -> str:
    return f"{path}: the index has {_shown(have)}, this run needs {_shown(need)}"


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _flat(properties: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `path: value` of what makes two mappings differ for us."""
    flat: dict[str, Any] = {}
    for name, kind in properties.items():
        path = prefix + name
        flat[f"{path}.type"] = kind.get("type", "object")
        method = kind.get("method") or {}
        space = kind.get("space_type") or method.get("space_type")
        values = {"space_type": space} if kind.get("type") == "knn_vector" else {}
        values |= {key: kind.get(key) for key in ("dimension", "analyzer", "format")}
        flat |= {f"{path}.{key}": value for key, value in values.items() if value is not None}
        flat |= _flat(kind.get("fields", {}), f"{path}.")
    return flat


def _clean(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    whole = value if isinstance(value, str) else "".join(value)  # at once: keywords are many
    if whole.isascii():
        return value
    try:
        whole.encode()
    except UnicodeEncodeError:
        if isinstance(value, str):
            return value.encode("utf-8", "replace").decode()
        return tuple(str(_clean(item)) for item in value)
    return value


def _millis(seconds: float) -> int | None:
    millis = seconds * 1000
    return round(millis) if math.isfinite(millis) else None


def _vector(document: Document, dimension: int) -> NDArray[np.float32]:
    # What is too large becomes infinite, and is refused below.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        vector = np.asarray(document.summary_vector, dtype=np.float32)
        if vector.shape != (dimension,):
            message = f"the vector of {document.key} has {vector.size} values, not {dimension}"
            raise BookError("bad_vector", message)
        # In float32 as the server reckons: a length may overflow or vanish only there.
        square = float(np.dot(vector, vector))
    if not math.isfinite(square):
        raise BookError("bad_vector", f"the vector of {document.key} is not finite")
    if square <= 0.0:
        raise BookError("bad_vector", f"the vector of {document.key} has no length")
    return vector
