"""Odd answers over both protocols: what is indexed, what is paid for twice, which books fail.

    python tests/benchmarks/bench_answer_shapes.py

Each shape has a short book, summarized as JSON, and a long one with prose about its chapters. A
book gets all its answers in one shape that servers were seen to send: thinking in many forms,
content as parts, other stop reasons, errors in a response with status 200, filters, control tokens,
odd counts. A shape has a good answer in it, or a good one follows, or it has none. Wrong text is a
summary or a section that is not the good answer's. An answer is paid for twice for nothing if there
was a good one already, or if nothing better can come. A good book that is not done failed for good.
The last line is one JSON object.
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import book, documents  # noqa: E402
from stub_models import (  # noqa: E402
    PROTOCOLS,
    SUMMARY,
    Call,
    completion,
    converse,
    failures,
    good_text,
    serving,
)

Shape = Callable[[Call, str], Any]
"""Takes a call and the good text; returns the JSON or the bytes of the response."""
_THOUGHT = "Okay, the user wants a summary. Let me look at the text first."
_MARK = re.compile(r"Shape Number (\d+) ends|the story of lamp (\d+)")
KINDS = {"short": (1, "auto"), "long": (3, "hierarchical")}
"""Chapters of the books, and the strategy of the summarizer."""


def message(**fields: Any) -> Shape:
    """Return the shape of a message with these fields; `GOOD` stands for the good text."""
    return lambda call, text: completion(call, {
        name: text if value == "GOOD" else value for name, value in fields.items()})  # fmt: skip


def wrapped(form: str) -> Shape:
    """Return the shape of a content in this form; `@` stands for the good text."""
    return lambda call, text: completion(call, form.replace("@", text))


def stopped(reason: Any) -> Shape:
    """Return the shape of a good text with this stop reason."""
    return lambda call, text: completion(call, text, reason)


def with_usage(usage: Any) -> Shape:
    """Return the shape of a good text with this usage."""
    return lambda call, text: {**completion(call, text), "usage": usage}


def thought(cut: Callable[[Call], Any]) -> Shape:
    """Return the shape of thinking that takes 1,800 tokens; without them the answer is cut."""

    def shape(call: Call, text: str) -> Any:
        make = completion if call.protocol == "openai" else converse
        return cut(call) if call.max_tokens < 2_000 else make(call, text)

    return shape


def fixed(response: Any) -> Shape:
    """Return the shape of a response without a good text."""
    return lambda call, text: response


def blocks(*content: Any, reason: Any = "end_turn") -> Shape:
    """Return the shape of content blocks; `GOOD` stands for the block with the good text."""
    return lambda call, text: converse(
        call, [{"text": text} if part == "GOOD" else part for part in content], reason
    )


def in_text(form: str, reason: Any = "end_turn") -> Shape:
    """Return the shape of one block in this form; `@` stands for the good text."""
    return lambda call, text: converse(call, form.replace("@", text), reason)


_REASONING = {"reasoningContent": {"reasoningText": {"text": _THOUGHT, "signature": "c2ln"}}}
_THINKING_PART = {"type": "thinking", "thinking": [{"type": "text", "text": _THOUGHT}]}
GOOD: dict[str, tuple[str, Shape]] = {
    # thinking in the text
    "think": ("openai", wrapped(f"<think>\n{_THOUGHT}\n</think>\n\n@")),
    "think without start": ("openai", wrapped(f"{_THOUGHT}\n</think>\n\n@")),
    "empty think": ("openai", wrapped("<think>\n\n</think>\n\n@")),
    "THINK": ("openai", wrapped(f"[THINK]{_THOUGHT}[/THINK]@")),
    "thinking": ("openai", wrapped(f"<thinking>{_THOUGHT}</thinking>\n@")),
    "thought": ("openai", wrapped(f"<thought>\n{_THOUGHT}</thought>\n@")),
    "seed": ("openai", wrapped(f"<seed:think>{_THOUGHT}</seed:think>@")),
    "think and answer": ("openai", wrapped(f"<think>{_THOUGHT}</think>\n<answer>\n@\n</answer>")),
    "think at the end": ("openai", wrapped(f"@\n<think>{_THOUGHT}</think>")),
    "harmony": ("openai", wrapped(f"<|channel|>analysis<|message|>{_THOUGHT}<|end|><|start|>"
                                  "assistant<|channel|>final<|message|>@<|return|>")),
    "harmony names": ("openai", wrapped(f"analysisThe user wants. {_THOUGHT}assistantfinal@")),
    "gemma": ("openai", wrapped(f"<|channel>thought\n{_THOUGHT}<channel|>@")),
    "solution": ("openai", wrapped(f"<|begin_of_thought|>{_THOUGHT}<|end_of_thought|>"
                                   "<|begin_of_solution|>@<|end_of_solution|>")),
    # thinking beside the text
    "reasoning_content": ("openai", message(content="GOOD", reasoning_content=_THOUGHT)),
    "reasoning": ("openai", message(content="GOOD", reasoning=_THOUGHT)),
    "both fields": ("openai", message(content="GOOD", reasoning=_THOUGHT,
                                      reasoning_content=_THOUGHT)),
    "thinking part": ("openai", lambda call, text: completion(
        call, {"content": [_THINKING_PART, {"type": "text", "text": text}]})),
    "text part": ("openai", lambda call, text: completion(
        call, {"content": [{"type": "text", "text": text}]})),
    # control tokens and fences
    "im_end": ("openai", wrapped("@<|im_end|>")),
    "eot": ("openai", wrapped("@<|eot_id|>")),
    "s": ("openai", wrapped("@</s>")),
    "fence": ("openai", wrapped("```json\n@\n```")),
    "preamble": ("openai", wrapped("Here is the summary as JSON:\n@")),
    # stop reasons
    **{f"stop {reason}": ("openai", stopped(reason)) for reason in (
        "eos_token", "stop_sequence", "STOP", "end_turn", "tool_calls", None, "", "new_reason")},
    # counts
    **{f"usage {usage}": ("openai", with_usage(usage)) for usage in (
        None, {}, {"prompt_tokens": "900"}, {"prompt_tokens": -1, "completion_tokens": 1.5})},
    # choices
    "two choices": ("openai", lambda call, text: {
        **completion(call, text), "choices": completion(call, text)["choices"] * 2}),
    "text": ("openai", lambda call, text: {"choices": [{"text": text, "finish_reason": "stop"}]}),
    "empty refusal": ("openai", message(content="GOOD", refusal="", tool_calls=[])),
    # Bedrock
    "converse reasoning": ("bedrock", blocks(_REASONING, "GOOD")),
    "converse redacted": ("bedrock", blocks(
        {"reasoningContent": {"redactedContent": "c2VjcmV0"}}, "GOOD")),
    "converse reasoning text": ("bedrock", blocks({"reasoningContent": _THOUGHT}, "GOOD")),
    "converse two blocks": ("bedrock", lambda call, text: converse(
        call, [{"text": text[:90]}, {"text": text[90:]}])),
    "converse string": ("bedrock", lambda call, text: converse(call, text) | {
        "output": {"message": {"role": "assistant", "content": text}}}),
    "converse think": ("bedrock", in_text(f"<think>{_THOUGHT}</think>@")),
    "converse thinking": ("bedrock", in_text(f"<thinking>{_THOUGHT}</thinking>\n@")),
    "converse reasoning tag": ("bedrock", in_text(f"<reasoning>{_THOUGHT}</reasoning>@")),
    "converse stop_sequence": ("bedrock", in_text("@", "stop_sequence")),
    "converse tool_use": ("bedrock", in_text("@", "tool_use")),
    "converse malformed": ("bedrock", in_text("@", "malformed_model_output")),
    "converse new reason": ("bedrock", in_text("@", "a_new_reason")),
    "converse no usage": ("bedrock", lambda call, text: converse(call, text) | {"usage": None}),
    "converse text counts": ("bedrock", lambda call, text: converse(call, text) | {
        "usage": {"inputTokens": "9", "outputTokens": True}}),
}  # fmt: skip
_HATE = {"hate": {"filtered": True, "severity": "high"}}
THEN_GOOD: dict[str, tuple[str, Shape]] = {
    "error 429": ("openai", fixed({"error": {"message": "Rate limit exceeded", "code": 429}})),
    "error 502": ("openai", fixed({"error": {"message": "Provider error", "code": 502}})),
    "error text": ("openai", fixed({"error": "model is overloaded"})),
    "object error": ("openai", fixed({"object": "error", "message": "busy", "code": 50001})),
    "choice error": ("openai", fixed({"choices": [{"error": {"code": 503, "message": "gone"},
                                                   "finish_reason": "error"}]})),
    "no choices": ("openai", fixed({"choices": []})),
    "aborted": ("openai", lambda call, text: completion(call, text[:40], "abort")),
    "cut think": ("openai", thought(lambda call: completion(
        call, f"<think>\n{_THOUGHT}", "length", call.max_tokens))),
    "cut reasoning": ("openai", thought(lambda call: completion(
        call, {"content": None, "reasoning_content": _THOUGHT}, "length", call.max_tokens))),
    "cut harmony": ("openai", thought(lambda call: completion(
        call, f"<|channel|>analysis<|message|>{_THOUGHT}", "length", call.max_tokens))),
    "only reasoning": ("openai", message(content=None, reasoning_content=_THOUGHT)),
    "empty": ("openai", message(content="")),
    "new reason, half": ("openai", lambda call, text: completion(call, text[:60], "new_reason")),
    "converse throttled": ("bedrock", fixed({"__type": "ThrottlingException", "message": "wait"})),
    "converse error": ("bedrock", fixed({"error": {"message": "upstream", "type": "server"}})),
    "converse cut": ("bedrock", thought(lambda call: converse(
        call, [_REASONING], "max_tokens", call.max_tokens))),
    "converse empty": ("bedrock", blocks()),
}  # fmt: skip
NO_GOOD: dict[str, tuple[str, Shape, str]] = {  # with the kind of failure
    "content_filter": ("openai", stopped("content_filter"), "filtered"),
    "SAFETY": ("openai", stopped("SAFETY"), "filtered"),
    "refusal": ("openai", message(content=None, refusal="I cannot."), "filtered"),
    "azure prompt filter": ("openai", fixed(
        {"choices": [], "prompt_filter_results": [{"content_filter_results": _HATE}]}), "filtered"),
    "guardrail": ("bedrock", in_text("Sorry, I cannot answer.", "guardrail_intervened"),
                  "filtered"),
    "content_filtered": ("bedrock", in_text("@", "content_filtered"), "filtered"),
}  # fmt: skip
SHAPES = [*GOOD, *THEN_GOOD, *NO_GOOD]


def protocol_of(name: str) -> str:
    """Return the protocol of a shape."""
    return {**GOOD, **THEN_GOOD, **NO_GOOD}[name][0]


def main() -> None:
    """Run all shapes, a book each, and judge."""
    report, wrong, twice, failed = Report("answer_shapes"), list[str](), list[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as folder:
        for protocol in PROTOCOLS:
            names = [name for name in SHAPES if protocol_of(name) == protocol]
            for kind in KINDS:
                here = Path(folder) / protocol / kind
                judge(here, protocol, kind, names, wrong, twice, failed)
    for kind, found in (("wrong", wrong), ("paid twice", twice), ("failed for good", failed)):
        for line in found:
            say(f"{kind}: {line}")
    report.at_most("wrong_text_indexed", len(wrong), 0)
    report.at_most("answers_paid_twice_for_nothing", len(twice), 0)
    report.at_most("good_books_failed_for_good", len(failed), 0)
    report.at_least("shapes", len(SHAPES), 60)
    report.finish()


def summary_of(number: int) -> str:
    """Return the good summary of a book."""
    return f"{SUMMARY} It is the story of lamp {number}."


def judge(
    here: Path, protocol: str, kind: str, names: list[str], wrong: list[str], twice: list[str],
    failed: list[str],
) -> None:  # fmt: skip
    """Run the shapes of a protocol, and note what went wrong."""
    books, (chapters, strategy) = here / "books", KINDS[kind]
    books.mkdir(parents=True)
    for number, _ in enumerate(names):
        text = book(number, chapters, 1_500, seed=7).replace("\n\nCHAPTER", "@CHAPTER")
        mark = f" Shape Number {number} ends."
        (books / f"s{number:02d}.txt").write_text(text.replace("@", f"{mark}\n\n") + mark)
    asked, paid_good = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    lock = threading.Lock()

    def rule(call: Call) -> tuple[int, Any]:
        found = _MARK.search(call.prompt)
        number = int(found[1] or found[2]) if found else -1
        task = number, call.text
        text = good_text(call, summary_of(number))
        with lock:
            asked[task] += 1
            times = asked[task]
            name = names[number] if found else ""
            is_good = not found or name in GOOD or (name in THEN_GOOD and times > 1)
            paid_good[task] += is_good
        if not found or (name in THEN_GOOD and times > 1):
            make = completion if protocol == "openai" else converse
            return 200, make(call, text)
        return 200, {**GOOD, **THEN_GOOD, **NO_GOOD}[name][1](call, text)

    with serving(rule) as models:
        more = [f"summarizer.strategy={strategy}", "summarizer.chunk_tokens=600"]
        models.run(here, protocol, books, *more)
    found, failures_by_key = documents(here / "state"), failures(here)
    for number, name in enumerate(names):
        key = f"s{number:02d}.txt"
        row, failure = found.get(key), failures_by_key.get(key)
        sections = [] if row is None else [text.partition(": ")[2] for text in row["sections"]]
        texts = [] if row is None else [row["summary"], *sections]
        if row is not None and kind == "long" and len(sections) < 2:
            wrong.append(f"{name}: the long book has {len(sections)} sections")
        if unlike := [text for text in texts if text != summary_of(number) or name in NO_GOOD]:
            wrong.append(f"{kind}, {name}: {unlike[0][:60]!r} ... {unlike[0][-60:]!r}")
        most = 1 if name in GOOD or name in NO_GOOD else 2
        tasks = [task for task in asked if task[0] == number]
        if any(asked[task] > most or paid_good[task] > 1 for task in tasks):
            twice.append(f"{kind}, {name}: {[asked[task] for task in tasks]} calls")
        if name in NO_GOOD:
            found_kind = failure["kind"] if failure else "done"
            if found_kind != NO_GOOD[name][2]:
                failed.append(f"{kind}, {name}: {found_kind} in place of {NO_GOOD[name][2]}")
        elif row is None:
            reason = f"{failure['kind']}: {failure['message']}" if failure else "no failure"
            failed.append(f"{kind}, {name}: {reason}")


if __name__ == "__main__":
    main()
