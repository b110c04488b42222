"""Whether the answers that an earlier commit paid for are found again in the cache.

    python tests/benchmarks/bench_old_answers.py [--commit 65d7db5]

The earlier commit summarizes and embeds books against a model server, over both protocols. The
present code then gets its `cache/` alone: no document, no ledger. It reads every book again, and
another server answers what it does not find. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from before import PRESENT, Checkout, check_out  # noqa: E402
from report import Report, say  # noqa: E402
from simulated import Server, options, server, write_books  # noqa: E402

BEFORE = "65d7db5"
"""The last commit whose answers are cached without the server, under the maximum tokens."""
PARTS = {
    "bedrock": ("summarizer=bedrock", "embedder=bedrock_titan"),
    "bedrock with a schema": (
        *("summarizer=bedrock", "summarizer.model.structured=true", "embedder=bedrock_titan"),
        "summarizer.model_id=us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    "openai": ("summarizer=openai", "summarizer.model_id=qwen", "embedder=openai"),
    "openai at a tier": (
        *("summarizer=openai", "summarizer.model_id=gpt-5-mini", "embedder=openai"),
        "summarizer.model.max_tokens_field=max_completion_tokens",
    ),
}
BOOKS, CHUNKS, CHUNK_BYTES = 6, 6, 2_400


def main() -> None:
    """Pay with the earlier commit, look for the answers with the present code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", default=BEFORE)
    earlier = check_out(parser.parse_args().commit)
    report = Report("old_answers")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        books = {f"b{at}": (at, CHUNKS, CHUNK_BYTES) for at in range(BOOKS)}
        write_books(folder / "books", books)
        for number, (parts, given) in enumerate(PARTS.items()):
            say(parts)
            here = folder / str(number)
            here.mkdir()
            with server("latency.base_s=0.0") as models:
                paid = run(earlier, models, folder / "books", here / "before", given)
            shutil.copytree(here / "before" / "cache", here / "after" / "cache")
            more = ("summarizer.model.service_tier=flex",) if "tier" in parts else ()
            with server("latency.base_s=0.0") as models:
                found = run(PRESENT, models, folder / "books", here / "after", (*given, *more))
            calls, cached = found["model_calls"], found["cached_calls"]
            report.note(f"{parts}_paid_before", paid["model_calls"])
            report.note(f"{parts}_paid_again", calls)
            report.at_least(f"{parts}_found", cached / (calls + cached), 1.0)
            report.at_least(f"{parts}_of_all", cached / paid["model_calls"], 1.0)
    report.finish()


def run(
    checkout: Checkout, models: Server, books: Path, state: Path, parts: tuple[str, ...]
) -> dict[str, Any]:
    """Run a checkout; returns the record."""
    args = [
        *options(books, state, "summarizer.chunk_tokens=600"), *parts,
    ]  # fmt: skip
    if (checkout.root / "raypipe/run/executors/local.py").exists():  # else Ray, in older commits
        args.append("executor=local")
    given = {name.partition("=")[0] for name in parts}
    args = [arg for arg in args if arg in parts or arg.partition("=")[0] not in given]
    done = subprocess.run(
        checkout.command("run", *args), cwd=state.parent, stdout=subprocess.PIPE, text=True,
        env={**checkout.environment(), **models.environment(PYTHONPATH=str(checkout.root))},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode}: {done.stdout[-2000:]}")
    record: dict[str, Any] = json.loads(done.stdout)
    assert record["finished"] == BOOKS, record
    return record


if __name__ == "__main__":
    main()
