"""Generate docs/internals/model_calls.svg, the sequence diagram of a model call.

A picture needs no script in the browser, so that GitHub and the site show the same without a
request to another server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

LANES = (
    ("TaskRunner", "raypipe.summarizers.llm.task_runner"),
    ("ModelCaller", "raypipe.models.calling.caller"),
    ("AnswerCache", "raypipe.ledger.answer_cache"),
    ("FairThreadPool", "raypipe.models.calling.fair_pool"),
    ("RetryingCall", "raypipe.models.calling.retrying"),
    ("Broker", "raypipe.quota.broker"),
    ("ChatModel", "raypipe.models.protocol"),
)
"""The class of each lane, from left to right, and its module."""


@dataclass(frozen=True)
class Message:
    """An arrow from a lane to another, or to itself.

    Attributes:
        source: Number of the lane.
        target: Number of the lane.
        text: The text above the arrow.
        is_reply: Whether the line is dashed.
    """

    source: int
    target: int
    text: str
    is_reply: bool = False


MESSAGES = (
    Message(0, 1, "submit(book, call)"),
    Message(1, 1, "an equal call is pending: wait for its answer"),
    Message(1, 2, "get(key)"),
    Message(2, 1, "stored answer", is_reply=True),
    Message(1, 0, "it was paid before", is_reply=True),
    Message(1, 3, "no stored answer: submit(book)"),
    Message(3, 4, "a thread, in turn"),
    Message(4, 5, "acquire(most tokens)"),
    Message(5, 4, "lease", is_reply=True),
    Message(4, 6, "one HTTP request"),
    Message(6, 4, "answer, or an error", is_reply=True),
    Message(4, 5, "settle(tokens used)"),
    Message(4, 2, "put(key, answer), before any check"),
    Message(4, 0, "answer", is_reply=True),
)
REPEATED = (7, 11)
"""The first and the last message that an error repeats."""
_REPEATED_TEXT = "repeated after an error"

_WIDTH, _LEFT, _TOP, _STEP = 132, 70, 24, 34


def format_picture() -> str:
    """Return the picture as SVG."""
    width = _LEFT * 2 + _WIDTH * (len(LANES) - 1)
    height = _y(len(MESSAGES)) + 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" '
            'font-family="sans-serif" font-size="12">',
            "<title>Sequence of a model call</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#333333"/>'
            "</marker></defs>",
            *_lanes(height),
            *_frame(),
            *(line for number, message in enumerate(MESSAGES) for line in _arrow(number, message)),
            "</svg>\n",
        ]
    )


def _x(lane: int) -> int:
    return _LEFT + lane * _WIDTH


def _y(number: int) -> int:
    return _TOP + 50 + number * _STEP


def _lanes(height: int) -> Iterator[str]:
    for number, (name, _) in enumerate(LANES):
        x = _x(number)
        yield f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{height}" stroke="#bbbbbb"/>'
        yield (
            f'<rect x="{x - 56}" y="{_TOP - 14}" width="112" height="28" rx="4" fill="#eef2f7" '
            'stroke="#7a8aa0"/>'
        )
        yield f'<text x="{x}" y="{_TOP + 4}" text-anchor="middle" font-weight="bold">{name}</text>'


def _frame() -> Iterator[str]:
    first, last = REPEATED
    left, top = _x(4) - 62, _y(first) - 26
    yield (
        f'<rect x="{left}" y="{top}" width="{_x(6) + 62 - left}" '
        f'height="{_y(last) + 8 - top}" rx="4" fill="none" stroke="#c07000" '
        'stroke-dasharray="2 3"/>'
    )
    yield (
        f'<text x="{_x(6) + 58}" y="{_y(last) + 2}" text-anchor="end" fill="#8a5000" '
        f'font-style="italic">{escape(_REPEATED_TEXT)}</text>'
    )


def _arrow(number: int, message: Message) -> Iterator[str]:
    y, x = _y(number), _x(message.source)
    dashes = ' stroke-dasharray="5 4"' if message.is_reply else ""
    style = f'fill="none" stroke="#333333" marker-end="url(#arrow)"{dashes}'
    if message.source == message.target:
        yield f'<path d="M{x} {y - 8} h24 v10 h-22" {style}/>'
        yield f'<text x="{x + 30}" y="{y + 2}">{escape(message.text)}</text>'
        return
    end = _x(message.target) + (-2 if message.target > message.source else 2)
    yield f'<path d="M{x} {y} H{end}" {style}/>'
    middle = (x + _x(message.target)) // 2
    yield (
        f'<text x="{middle}" y="{y - 5}" text-anchor="middle" paint-order="stroke" '
        f'stroke="#ffffff" stroke-width="4">{escape(message.text)}</text>'
    )
