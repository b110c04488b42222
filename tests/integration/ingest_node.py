"""A node that runs ingest pipelines, in front of a real node without that role.

The embedded node stores pipelines and runs none. This stub runs the processors that the tests use,
as OpenSearch does: `drop` and `fail`, with an `if` of the form `ctx.title == '...'`, and `set`.
Results have the form of `TransportBulkAction` and `IngestService` of OpenSearch 3.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from tests.unit.opensearch.forwarding import Answer, Forwarding, serving

_TITLE = re.compile(r"ctx\.title == '(.*)'")


@contextmanager
def ingest_node(node: str) -> Iterator[str]:
    """Serve in front of a node; yield the URL."""

    class Handler(Forwarding):
        def respond(self, body: bytes) -> Answer | None:
            path = self.path.partition("?")[0]
            return self._bulk(path, body) if path.endswith("/_bulk") else self.forward(body)

        def _bulk(self, path: str, body: bytes) -> Answer:
            lines = [orjson.loads(line) for line in body.splitlines()]
            target = path.split("/")[1]
            processors = self._processors(target)
            if processors is None or "index" not in lines[0]:
                return self.forward(body)
            kept, results = list[Any](), list[dict[str, Any] | None]()
            for action, source in zip(lines[::2], lines[1::2], strict=True):
                result = _run(processors, action["index"], source, target)
                results.append(result)
                kept += [] if result else [action, source]
            answers = iter(self._forward_rest(kept))
            items = [{"index": result or next(answers)["index"]} for result in results]
            return Answer(200, orjson.dumps({"took": 1, "items": items}))

        def _processors(self, target: str) -> list[dict[str, Any]] | None:
            """Return the processors of the index's pipeline; None without a pipeline."""
            [body] = self._ask("GET", f"/{target}").values()
            name = body.get("settings", {}).get("index", {}).get("default_pipeline")
            if name in (None, "_none"):
                return None
            pipeline = self._ask("GET", f"/_ingest/pipeline/{name}").get(name)
            missing = f"pipeline with id [{name}] does not exist"
            return pipeline["processors"] if pipeline else [{"missing": {"message": missing}}]

        def _ask(self, method: str, path: str) -> Any:
            command, whole_path, self.command, self.path = self.command, self.path, method, path
            try:
                return orjson.loads(self.forward(b"").body)
            finally:
                self.command, self.path = command, whole_path

        def _forward_rest(self, lines: list[Any]) -> list[dict[str, Any]]:
            if not lines:
                return []
            self.path += "&pipeline=_none"
            answer = self.forward(b"".join(orjson.dumps(line) + b"\n" for line in lines))
            items: list[dict[str, Any]] = orjson.loads(answer.body)["items"]
            return items

    with serving(Handler, node) as port:
        yield f"http://127.0.0.1:{port}"


def _run(
    processors: list[dict[str, Any]], action: dict[str, Any], source: dict[str, Any], target: str
) -> dict[str, Any] | None:
    """Run processors on a document; return its result, or None if it is to be indexed."""
    result = {"_index": target, "_id": action["_id"]}
    for processor in processors:
        [(kind, settings)] = processor.items()
        condition = _TITLE.fullmatch(settings.get("if", ""))
        if condition and condition[1] != source["title"]:
            continue
        if kind == "drop":
            return {**result, "_version": -3, "result": "noop", "status": 200}
        if kind == "missing":
            return _failed(result, 400, "illegal_argument_exception", settings["message"])
        if kind == "fail":
            return _failed(result, 500, "fail_processor_exception", settings["message"])
        if settings["field"] == "_index":
            action["_index"] = settings["value"]
        else:
            source[settings["field"]] = settings["value"]
    return None


def _failed(result: dict[str, Any], status: int, kind: str, reason: str) -> dict[str, Any]:
    return {**result, "status": status, "error": {"type": kind, "reason": reason}}
