"""Go through the life of an index, with every kind of request that raypipe sends to a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.writer import BulkWriter
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexSpec
from raypipe.opensearch.index.ref import write_alias
from raypipe.opensearch.search import search_vector
from tests.unit.opensearch.builders import DIMENSION, document

NAME = "wire-shapes"
CONTENTS = IndexSpec(DIMENSION, {"model": "stub"}, "state-1", "recipe-1")
OTHER = dataclasses.replace(CONTENTS, recipe="recipe-2")
VECTOR = (0.5, 0.5, 0.5, 0.5)
PIPELINE = f"{NAME}-pipeline"


def walk(url: str) -> dict[str, Any]:
    """Go through the life of an index; return the result of each step."""
    alias = IndexAlias(IndexConfig(Connection(url), index=NAME))
    results: dict[str, Any] = {"plugins": "knn" in (alias.check_server().plugins or ())}
    results["none yet"] = alias.find() is None
    index = alias.ensure(CONTENTS)
    results["again"] = alias.ensure(CONTENTS).ref.generation == index.ref.generation
    results["runs of an empty index"] = _runs(index)
    results["written"] = _write(index, 5, bad=True)
    results["the same again"] = _write(index, 5)
    results["a zombie"] = _write(index, 4, etag="old")
    index.refresh()
    results["count"] = index.count()
    results["runs"] = _runs(index)
    results["scanned"] = [list(book) for book in index.scan(page_size=2)]
    results["read"] = index.mget(["b1", "none"], ["etag", "title"])
    results["searched"] = [
        (hit.rank, hit.book_id, hit.title)
        for hit in search_vector(index, _array(VECTOR), "keepers quarrel", 2)
    ]
    results["nearest"] = index.is_nearest("b1", list(VECTOR), 1e-4)
    results |= _change_behind_raypipe(index)
    results |= _rebuild(alias, index)
    results |= _prune(alias, index)
    results |= _open_older(alias)
    results |= _provoke_refusals(alias)
    results |= _use_foreign(alias)
    for ref in alias.list_indices(CONTENTS.state):
        alias.delete(ref.physical)
    results["deleted"] = alias.find() is None
    return results


def _runs(index: Index) -> list[Any]:
    """Return what raypipe asks about the runs and recipes that wrote an index."""
    highest = index.highest_run_seq()
    return [highest, sorted(index.count_by_run().items()), index.read_makers()]


def _change_behind_raypipe(index: Index) -> dict[str, Any]:
    """Write and delete a document that another program has changed."""
    results: dict[str, Any] = {}
    _put_by_hand(index, "b1", version=20)
    results["changed, written"] = _write(index, 6)
    _put_by_hand(index, "b1", version=30)
    index.delete_books(["b1"], 6)
    results["changed, deleted"] = index.mget(["b1"])["b1"] is None
    return results


def _put_by_hand(index: Index, book_id: str, version: int) -> None:
    path = f"/{index.ref.physical}/_doc/{book_id}"
    params = {"version": version, "version_type": "external"}
    index.connection.ask("PUT", path, params=params, body={"etag": "of another program"})


def _rebuild(alias: IndexAlias, old: Index) -> dict[str, Any]:
    results: dict[str, Any] = {}
    build = alias.open(OTHER)
    build.apply_load_settings()
    results["beside"] = _write(build, 6)
    build.delete_books(["b2", "none"], 7)
    results["newer"] = _is_refused(lambda: build.delete_books(["b1"], 5), "run 6")
    found = alias.find_build()
    results["found"] = found is not None and found.ref.physical == build.ref.physical
    build.restore_settings()
    build.force_merge(1, timeout_s=60.0)
    results["went over from"] = alias.switch_to(build.ref.physical) == old.ref.physical
    build.refresh()
    results["left"] = [book.book_id for book in build.scan()]
    other = dataclasses.replace(CONTENTS, dimension=DIMENSION + 1, recipe="recipe-2")
    try:
        alias.ensure(other)
    except SetupError as error:
        results["unlike"] = str(error).replace(alias.config.connection.endpoint, "")
    return results


def _prune(alias: IndexAlias, old: Index) -> dict[str, Any]:
    """Delete the index that was served before, which has an alias of the user first."""
    results: dict[str, Any] = {}
    state, physical = CONTENTS.state, old.ref.physical
    results["services"] = [
        (ref.physical == physical, ref.last_served) for ref in alias.list_indices(state)
    ]
    users = {"index": physical, "alias": f"{NAME}-of-a-user"}
    _update_aliases(alias, {"add": users})
    results["in use"] = _unused(alias, physical)
    results["kept"] = _is_refused(lambda: alias.delete(physical), users["alias"])
    _update_aliases(alias, {"remove": users})
    results["unused"] = _unused(alias, physical)
    results["pruned"] = alias.prune(state, keep=0) == [physical]
    alias.delete(physical)
    return results


def _unused(alias: IndexAlias, physical: str) -> list[list[bool]]:
    unused = alias.list_unused(CONTENTS.state, keep=0)
    lists = (unused.removable, unused.unrecorded)
    return [[ref.physical == physical for ref in refs] for refs in lists]


def _open_older(alias: IndexAlias) -> dict[str, Any]:
    """Open an index of an older raypipe, without a private alias and a history."""
    index = _served(alias)
    physical, private = index.ref.physical, write_alias(index.ref.physical)
    _update_aliases(alias, {"remove": {"index": physical, "alias": private}})
    path = f"/{physical}/_mapping"
    [body] = index.connection.ask("GET", f"/{physical}").values()
    metadata = dict(body["mappings"]["_meta"]["raypipe"])
    del metadata["served"]
    index.connection.ask("PUT", path, body={"_meta": {"raypipe": metadata}})
    results: dict[str, Any] = {"without history": [_served(alias).ref.last_served]}
    results["without history"] += _unused(alias, physical)
    results["no private alias"] = _write(index, 7)
    opened = alias.open(OTHER)
    results["with history"] = [opened.ref.physical == physical, _served(alias).ref.last_served]
    results["private alias"] = _write(opened, 7)
    return results


def _provoke_refusals(alias: IndexAlias) -> dict[str, Any]:
    results: dict[str, Any] = {}
    index = _served(alias)
    physical = index.ref.physical
    for name, blocked in (("blocked", True), ("open again", False)):
        _change_settings(index, {"blocks": {"write": blocked}})
        results[f"{name}, opened"] = not _is_refused(lambda: alias.open(OTHER), "blocked")
        results[name] = _write(index, 8)
    results |= _use_pipelines(alias, index)
    for action in ("close", "open"):
        index.connection.ask("POST", f"/{physical}/_{action}")
        results[f"after {action}, opened"] = not _is_refused(lambda: alias.open(OTHER), "closed")
        results[f"after {action}"] = _write(index, 8)
    deleted = dataclasses.replace(index.ref, physical=f"{NAME}-gone")
    results["gone"] = _write(alias.bind(deleted), 8)
    try:
        body: dict[str, Any] = {"query": {"no": {}}}
        index.connection.ask("POST", f"/{physical}/_search", body=body)
    except SetupError as error:
        results["bad query"] = str(error).replace(index.connection.endpoint, "")
    return results


def _use_pipelines(alias: IndexAlias, index: Index) -> dict[str, Any]:
    """Write through an ingest pipeline that does not exist, and through pipelines that do."""
    results: dict[str, Any] = {}
    path = f"/_ingest/pipeline/{PIPELINE}"
    processors = {
        "dropping": {"drop": {}},
        "failing": {"fail": {"message": "no"}},
        "diverting": {"set": {"field": "_index", "value": f"{NAME}-elsewhere"}},
    }
    _change_settings(index, {"default_pipeline": PIPELINE})
    results["no pipeline, opened"] = not _is_refused(lambda: alias.open(OTHER), "pipeline")
    results["no pipeline"] = _write(index, 8)
    for name, processor in processors.items():
        index.connection.ask("PUT", path, body={"processors": [processor]})
        results[f"{name} pipeline"] = _write(index, 8)
    results["pipeline, opened"] = alias.open(OTHER).ref.physical == index.ref.physical
    _change_settings(index, {"default_pipeline": None})
    index.connection.ask("DELETE", path)
    return results


def _use_foreign(alias: IndexAlias) -> dict[str, Any]:
    """Ask about an index without raypipe's mapping; let its alias be the private alias, too."""
    index = _served(alias)
    foreign = dataclasses.replace(index.ref, physical=f"{NAME}-foreign")
    index.connection.ask("PUT", f"/{foreign.physical}", body={})
    results: dict[str, Any] = {"runs of a foreign index": _runs(alias.bind(foreign))}
    private = write_alias(index.ref.physical)
    _update_aliases(
        alias,
        {"add": {"index": index.ref.physical, "alias": private, "is_write_index": False}},
        {"add": {"index": foreign.physical, "alias": private}},
    )
    results["moved"] = _write(index, 9)
    index.connection.ask("DELETE", f"/{foreign.physical}")
    return results


def _served(alias: IndexAlias) -> Index:
    index = alias.find()
    assert index is not None
    return index


def _update_aliases(alias: IndexAlias, *actions: Mapping[str, Any]) -> None:
    alias.config.connection.ask("POST", "/_aliases", body={"actions": list(actions)})


def _change_settings(index: Index, settings: Mapping[str, Any]) -> None:
    path = f"/{index.ref.physical}/_settings"
    index.connection.ask("PUT", path, body={"index": dict(settings)})


def _is_refused(call: Callable[[], object], reason: str) -> bool:
    """Whether a call raises `SetupError` for this reason."""
    try:
        call()
    except SetupError as error:
        if reason not in str(error):
            raise
        return True
    return False


def _write(index: Index, run_seq: int, *, etag: str = "e1", bad: bool = False) -> Any:
    """Write three books, and one that fits no mapping; return the results."""
    books = [document(f"b{number}", etag=etag) for number in range(1, 4)]
    books += [document("bad", words=2**63 - 1, size="not a number")] if bad else []
    writer = BulkWriter(
        index.bulk_target(),
        index.write_strategy(run_seq),
        sleep=lambda _: None,
        jitter=lambda _: 0.0,
    )
    try:
        results = [result for batch in writer.write(books) for result in batch]
    except SinkError as error:
        return error.status
    return [
        (result.doc_id, getattr(result, "result", getattr(result, "kind", "")))
        for result in results
    ]


def _array(values: Any) -> Any:
    import numpy as np

    return np.asarray(values, dtype=np.float32)
