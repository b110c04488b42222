"""Simulate a Serverless collection, which refuses ids and makes documents visible late."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson

from raypipe.opensearch.connection.client import Connection
from tests.unit.opensearch.builders import Clock
from tests.unit.opensearch.stub import PHYSICAL, Reply, Request, Stub, error

MISSING = {"status": 404, "result": "not_found"}
NO_IDS = "Document ID is not supported in create/index operation request"


@dataclass(frozen=True)
class CollectionConnection(Connection):
    """A connection to a collection."""

    @property
    def is_serverless(self) -> bool:
        return True


@dataclass
class CollectionStub:
    """A collection.

    Args:
        stub: The server that receives its requests.
        clock: Its time.
        visible_s: Seconds until a search finds a written document.
        cells: Time of writing and source of each document, by the server's id.
    """

    stub: Stub
    clock: Clock
    visible_s: float = 10.0
    cells: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stub.always = self.execute_bulk
        self.stub.guard = self.search

    def execute_bulk(self, request: Request) -> Reply:
        """Execute a bulk request."""
        lines = [orjson.loads(line) for line in request.body.splitlines()]
        items: list[dict[str, Any]] = []
        while lines:
            [(name, action)] = lines.pop(0).items()
            if name == "delete":
                deleted = self.cells.pop(action["_id"], None)
                cell = {"_id": action["_id"], "_index": PHYSICAL}
                cell |= {"status": 200, "result": "deleted"} if deleted else MISSING
                items.append({name: cell})
                continue
            source = lines.pop(0)
            if action:
                refused = error("illegal_argument_exception", NO_IDS)
                items.append({name: {"status": 400, "error": refused}})
                continue
            server_id = uuid.uuid4().hex
            self.cells[server_id] = (self.clock.now, source)
            cell = {"_id": server_id, "_index": PHYSICAL, "status": 201, "result": "created"}
            items.append({name: cell})
        return Reply(body={"took": 1, "items": items})

    def search(self, request: Request) -> Reply | None:
        """Answer a search for one field's values, or for everything."""
        if request.path.endswith("/_count"):
            visible = self.find(orjson.loads(request.body) if request.body else {})
            return Reply(body={"count": len(visible)})
        if request.path.endswith("/_search"):
            body = orjson.loads(request.body)
            hits = [self._hit(server_id) for server_id in self.find(body)]
            sign = -1 if {"run_seq": "desc"} in body.get("sort", ()) else 1
            after = body.get("search_after")
            hits.sort(key=lambda hit: _order(hit["sort"], sign))
            if after:
                hits = [hit for hit in hits if _order(hit["sort"], sign) > _order(after, sign)]
            return Reply(body={"hits": {"hits": hits[: body["size"]]}})
        return None

    def find(self, body: dict[str, Any]) -> list[str]:
        """Return the server ids that a search finds now."""
        query = body.get("query", {})
        [(name, wanted)] = (query.get("term") or query.get("terms") or {"": None}).items()
        values = wanted if isinstance(wanted, list) else [wanted]
        return [
            server_id
            for server_id, (written_at, source) in self.cells.items()
            if written_at + self.visible_s <= self.clock.now
            and (not name or source[name] in values)
        ]

    def _hit(self, server_id: str) -> dict[str, Any]:
        source = self.cells[server_id][1]
        names = ("book_id", "run_seq", "write_id", "etag", "document_recipe")
        cell: dict[str, Any] = {"_id": server_id, "_source": source}
        cell["fields"] = {name: [source.get(name, "")] for name in names}
        return {**cell, "sort": [source["book_id"], source["run_seq"], source["write_id"]]}


def _order(sort: list[Any], sign: int) -> tuple[str, int, list[int]]:
    book_id, run_seq, write_id = sort
    return book_id, sign * run_seq, [sign * ord(character) for character in write_id]
