"""A model that thinks before each answer: every book must be done, with one call an answer.

    python tests/benchmarks/bench_thinking.py [--books 30] [--thinking 800]

The stub thinks for 800 tokens, give or take a fifth, and needs its answer's own tokens after that.
Thinking comes in `<think>` tags, in `reasoning_content`, hidden, and as Bedrock's reasoning blocks.
Without enough tokens the answer is cut. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import book, documents  # noqa: E402
from stub_models import (  # noqa: E402
    SUMMARY,
    Call,
    completion,
    converse,
    failures,
    good_text,
    serving,
)

MARK = "Okay, the user wants"
WAYS = ("tags", "field", "hidden", "blocks")
FIRST = 10


def main() -> None:
    """Run the books once in each way, and once more without the check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=30)
    parser.add_argument("--thinking", type=int, default=800)
    given = parser.parse_args()
    report = Report("thinking")
    done, ratios, dirty = 1.0, [], 0
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        books = folder / "books"
        books.mkdir()
        for number in range(given.books):
            (books / f"b{number:03d}.txt").write_text(book(number, 4, 1_500))
        for way in WAYS:
            share, ratio, found = measure(folder / way, books, way, given.books, given.thinking)
            done, dirty = min(done, share), dirty + found
            ratios.append(ratio)
            say(f"{way}: {share:.0%} done, {ratio:.3f} calls an answer, {found} with thinking")
    report.at_least("books_done", done, 1.0, "share")
    report.at_most("calls_an_answer_after_the_first_ten", max(ratios), 1.05)
    report.at_most("documents_with_thinking", dirty, 0)
    report.finish()


def measure(here: Path, books: Path, way: str, count: int, mean: int) -> tuple[float, float, int]:
    """Return the share of done books, the calls an answer, and the documents with thinking."""
    whole: list[bool] = []  # of each call

    def rule(call: Call) -> tuple[int, Any]:
        tokens = round(mean * (0.8 + 0.4 * (zlib.crc32(call.prompt.encode()) % 1_000) / 1_000))
        text = good_text(call, SUMMARY)
        needed = tokens + len(text) // 4
        whole.append(call.max_tokens >= needed)
        if call.max_tokens < needed:
            text = text[: max(0, call.max_tokens - tokens) * 4]
        return 200, respond(call, way, text, min(needed, call.max_tokens), tokens, whole[-1])

    with serving(rule) as models:
        protocol = "bedrock" if way == "blocks" else "openai"
        record = models.run(
            here, protocol, books, "summarizer.chunk_tokens=400", "quota.max_in_flight=8"
        )
        for key, row in failures(here).items():
            say(f"{key}: {row['kind']}: {row['message']}")
    found = documents(here / "state").values()
    dirty = sum("<think" in str(row) or MARK in str(row) for row in found)
    later = whole[FIRST:]
    return record["finished"] / count, len(later) / max(1, sum(later)), dirty


def respond(call: Call, way: str, text: str, output: int, tokens: int, is_whole: bool) -> Any:
    """Return a response with the text, after thinking in one of the ways."""
    thinking = f"{MARK} a summary. " * (min(tokens, call.max_tokens) // 8)
    reason = "stop" if is_whole else "length"
    if way == "blocks":
        blocks: list[Any] = [{"reasoningContent": {"reasoningText": {"text": thinking}}}]
        blocks += [{"text": text}] if text else []
        return converse(call, blocks, "end_turn" if is_whole else "max_tokens", output)
    if way == "tags":
        content = f"<think>\n{thinking}\n</think>\n\n{text}" if text else f"<think>\n{thinking}"
        return completion(call, content, reason, output)
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if way == "field":
        message["reasoning_content"] = thinking
    answer = completion(call, message, reason, output)
    if way == "hidden":
        used = min(tokens, call.max_tokens)
        answer["usage"]["completion_tokens_details"] = {"reasoning_tokens": used}
    return answer


if __name__ == "__main__":
    main()
