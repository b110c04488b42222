"""Rubbish of all kinds: each must end in a clear error or a failure row, and nothing may be lost.

    python tests/benchmarks/bench_fuzz.py [--cases 2000] [--seed 1] [--url URL]

A quarter of the cases each: settings (a command is composed and its parts are made), keys and
bytes of books (cleaned), documents (sent to a real node in bulk), and parquet files of the ledger
(bits flipped, cut, doubled, of another kind). An exception of any other kind, a case that takes
more than ten seconds, a document without a fate, and a damaged row that is read as a good one count
against it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from bench_bulk import CONTENTS, documents, node  # noqa: E402
from report import Report, say  # noqa: E402

from raypipe.core.book import Document  # noqa: E402
from raypipe.core.errors import BookError, OptionError, SetupError  # noqa: E402
from raypipe.ledger.checkpoint import Checkpoint, Processed  # noqa: E402
from raypipe.opensearch.bulk.results import Ack, Rejected  # noqa: E402
from raypipe.opensearch.connection.client import Connection  # noqa: E402
from raypipe.opensearch.index import IndexAlias, IndexConfig  # noqa: E402
from raypipe.state.local import LocalState  # noqa: E402
from raypipe.text import TextCleaner  # noqa: E402

SLOW_S = 10.0
TEXTS = (
    "", " ", "\x00", "\ud800", "\u202e", "🏰" * 50, "x" * 70_000, "null", "-1", "1e999", "NaN",
    "../../etc/passwd", "a\nb", "'", '"', "${oc.env:HOME}", "{", "]", "%s%n", "ａ", "\x1b[31m",
)  # fmt: skip
INTEGERS = (0, -1, 2**31, 2**63 - 1, 2**63, 2**64, 2**70)
FLOATS = (0.0, -1.0, 1e308, -1e308, 1e-320, float("nan"), float("inf"))
OPTIONS = (
    "storage", "storage.path", "storage.bucket", "state.uri", "limit", "purge", "scale",
    "summarizer", "summarizer.words", "embedder", "embedder.dimension", "opensearch",
    "opensearch.endpoint", "opensearch.index", "opensearch.max_docs", "opensearch.max_bytes",
    "opensearch.connection.timeout_s", "opensearch.shards", "opensearch.engine",
    "quota.tokens_per_minute", "quota.max_in_flight", "budget.max_usd", "index.mode", "index.keep",
    "stages.summarize.workers", "stages.embed.num_gpus", "breaker.max_share", "ray.address",
    "output", "text.min_words", "checkpoint", "max_attempts", "no.such.option",
)  # fmt: skip


class Cases:
    """Runs cases, and keeps those that went wrong."""

    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self, what: str, case: Callable[[], str], slow_s: float = SLOW_S) -> None:
        """Run one case; it returns how it ended, or raises what nobody expects."""
        began = time.monotonic()
        try:
            self.ended[f"{what}: {case()}"] += 1
        except Exception as error:
            self.wrong.append(f"{what}: {type(error).__name__}: {str(error)[:200]}")
        if time.monotonic() - began > slow_s:
            self.wrong.append(f"{what}: took {time.monotonic() - began:.0f} s")


def main() -> None:
    """Feed it all, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url")
    given = parser.parse_args()
    report, chance, cases = Report("fuzz"), random.Random(given.seed), Cases()
    share = given.cases // 4
    for _ in range(share):
        cases.run("settings", lambda: settings(chance))
    cleaner = TextCleaner()
    for _ in range(share):
        cases.run("books", lambda: book(chance, cleaner))
    for _ in range(share):
        cases.run("parquet", lambda: parquet(chance))
    with node(given.url) as url:
        lost = bad_documents(chance, url, share, cases)
    for one in cases.wrong[:20]:
        say(one)
    report.at_most("neither_error_nor_failure", len(cases.wrong), 0, "cases")
    report.at_most("documents_without_a_fate", lost, 0)
    report.at_least("cases", sum(cases.ended.values()) + len(cases.wrong), given.cases)
    report.note("ended", dict(cases.ended))
    report.finish()


def settings(chance: random.Random) -> str:
    """Compose a command with bad values and make its parts."""
    from hydra import compose, initialize_config_dir

    from raypipe.config.build import build_part, read_options
    from raypipe.config.error_messages import CONFIG_ERRORS, explain, find_invalid_choice
    from raypipe.config.paths import conf_dir
    from raypipe.config.schema import register_schemas

    register_schemas()
    command = chance.choice(("run", "index", "search", "verify", "plan", "promote"))
    args = [
        f"{option}={chance.choice((*TEXTS, '0', '7', '-3', '[1,2]', 'true'))}"
        for option in chance.sample(OPTIONS, chance.randint(1, 3))
    ]
    if find_invalid_choice(args):
        return "one line"
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose(command, overrides=args)
        read_options(cfg)
        for part in ("text", "summarizer", "embedder", "checkpoint"):
            if part in cfg:
                build_part(cfg, part)
    except CONFIG_ERRORS as error:
        return _one_line(explain(error, command, args))
    except (OptionError, SetupError) as error:
        return _one_line(str(error))
    return "taken"


def _one_line(said: str) -> str:
    assert said.strip(), "nothing is said"
    assert "Traceback" not in said
    return "one line"


def book(chance: random.Random, cleaner: TextCleaner) -> str:
    """Clean bytes that are no good text."""
    kind = chance.randrange(5)
    size = chance.choice((0, 1, 50, 5_000, 60_000))
    words = (" ".join(chance.choice(TEXTS[:16]) for _ in range(200))).encode("utf-8", "replace")
    data = (
        chance.randbytes(size),
        words,
        ("A good sentence of a book, told once more. " * 40).encode() + chance.randbytes(40),
        ("Ein Satz über Bücher. " * 60).encode(chance.choice(("latin-1", "utf-16", "cp1252"))),
        b"\x1f\x8b" + chance.randbytes(size),
    )[kind]
    key = "".join(chance.choice(TEXTS)[:40] for _ in range(3)) + chance.choice((".txt", "", "/"))
    try:
        cleaner.clean(data, key)
    except BookError as error:
        return f"failure, {error.kind}"
    return "cleaned"


def parquet(chance: random.Random) -> str:
    """Read a ledger of which one part is damaged."""
    with tempfile.TemporaryDirectory(prefix="raypipe-fuzz-") as folder:
        checkpoint = Checkpoint(LocalState(folder))
        rows = [_row(number) for number in range(chance.choice((1, 30, 400)))]
        checkpoint.append(rows, 1, 0, 0)
        [path] = (Path(folder) / "processed").glob("part-*.parquet")
        data = bytearray(path.read_bytes())
        kind = chance.randrange(5)
        if kind == 0:
            for _ in range(chance.choice((1, 1, 3, 20))):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[chance.randrange(len(data)) :]
        elif kind == 2:
            at = chance.randrange(len(data))
            data[at:at] = chance.randbytes(chance.choice((1, 100)))
        elif kind == 3:
            data = bytearray(chance.randbytes(chance.choice((0, 7, 1_000))))
        else:
            data = bytearray(_foreign())
        path.write_bytes(data)
        try:
            found = checkpoint.read_latest()
        except SetupError as error:
            if path.name not in str(error):
                raise AssertionError(f"{error} does not name {path.name}") from None
            return "refused"
        wanted = {(row.book_id, row.etag, row.generation) for row in rows}
        cells = found.select(["book_id", "etag", "generation"]).to_pylist()
        read = {tuple(cell.values()) for cell in cells}
        assert read == wanted, "a damaged part was read as another"
        return "read as it was"


def _row(number: int) -> Processed:
    return Processed(f"id-{number}", f"etag-{number}", "recipe", "books-1", "g" * 32, 1, 1.7e9)


def _foreign() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table({"book_id": ["a"], "other": [1]}), sink)
    return sink.getvalue()


def bad_documents(chance: random.Random, url: str, count: int, cases: Cases) -> int:
    """Write documents with bad fields among good ones; returns how many have no fate."""
    names = [one.name for one in fields(Document) if one.name != "book_id"]
    good = documents(count, 2)
    docs = []
    for doc in good:
        wrong: dict[str, Any] = {}
        for name in chance.sample(names, chance.randint(1, 2)):
            wrong[name] = _bad(chance, name, getattr(doc, name))
        docs.append(replace(doc, **wrong))
    config = IndexConfig(Connection(url), index="bench-fuzz", max_docs=50)
    index = IndexAlias(config).ensure(CONTENTS)
    fate: dict[str, Ack | Rejected] = {}

    def written() -> str:
        writer = index.bulk_writer(1)
        fate.update({one.doc_id: one for batch in writer.write(docs) for one in batch})
        return "written"

    cases.run("documents", written, 60.0)  # hundreds at once
    index.refresh()
    there = {one.book_id for one in index.scan()}
    for doc in docs:
        one = fate.get(doc.book_id)
        if isinstance(one, Ack):
            cases.run("documents", lambda doc=doc: _there(doc.book_id in there, True))
        elif isinstance(one, Rejected):
            cases.run("documents", lambda doc=doc: _there(doc.book_id in there, False))
    with contextlib.suppress(SetupError):
        index.connection.ask("DELETE", f"/{index.ref.physical}")
    return len({doc.book_id for doc in docs} - set(fate))


def _bad(chance: random.Random, name: str, good: object) -> Any:
    """Return a value of the same type that nobody expects."""
    if name == "summary_vector":
        return (chance.choice(FLOATS),) * chance.choice((0, 1, 256, 256, 257))
    if isinstance(good, tuple):
        return tuple(chance.choice(TEXTS) for _ in range(chance.choice((0, 1, 300))))
    if isinstance(good, str):
        return chance.choice(TEXTS)
    return chance.choice(FLOATS if isinstance(good, float) else INTEGERS)


def _there(found: bool, wanted: bool) -> str:
    assert found == wanted, "the index has another opinion than the answer"
    return "indexed" if found else "failure"


if __name__ == "__main__":
    main()
