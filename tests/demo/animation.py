"""Draw the frames of a terminal as an animated SVG, without scripts, fonts or other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from tests.demo.terminal import COLUMNS, LINES, Frame, Run

_CHAR, _LINE, _MARGIN, _BAR = 8.4, 19, 16, 30
_WIDTH = round(COLUMNS * _CHAR) + 2 * _MARGIN
_HEIGHT = LINES * _LINE + 2 * _MARGIN + _BAR
_BLOCKS = re.compile("█+|░+")
_SPACES = re.compile(" {2,}")
# The terminal is dark with a frame, so that it stands out on light and on dark pages.
_STYLE = """
.page{fill:#14171c;stroke:#545b66}
.bar{fill:#1f242b}
.bar-text{fill:#aab2be;font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.dot{fill:#545b66}
.t{fill:#e8eaee;white-space:pre;
font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.b{font-weight:700}
.p{fill:#6fce92}
.f{fill:#6fce92}
.e{fill:#434b57}
"""


def draw_animation(frames: Sequence[Frame], title: str, description: str) -> str:
    """Return the SVG. It repeats; with `prefers-reduced-motion` it shows the last frame.

    Args:
        frames: The frames.
        title: Name of the picture, also shown above the terminal.
        description: What happens in it.
    """
    numbers: dict[tuple[Run, ...], int] = {}
    for frame in frames:
        for runs in frame.lines.values():
            numbers.setdefault(runs, len(numbers))
    last = -_WIDTH * (len(frames) - 1)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-labelledby="title desc">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="desc">{escape(description)}</desc>',
            f"<style>{_STYLE}{_keyframes(frames)}</style>",
            "<defs>",
            *(
                f'<g id="l{number}">{"".join(_draw_line(runs))}</g>'
                for runs, number in numbers.items()
            ),
            "</defs>",
            f'<rect class="page" x=".5" y=".5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" '
            'rx="8"/>',
            f'<path class="bar" d="M1 {_BAR}V9a8 8 0 0 1 8-8H{_WIDTH - 9}a8 8 0 0 1 8 8V{_BAR}z"/>',
            *(f'<circle class="dot" cx="{18 + 18 * n}" cy="15" r="5"/>' for n in range(3)),
            f'<text class="bar-text" x="{_WIDTH / 2:g}" y="20" text-anchor="middle">'
            f"{escape(title)}</text>",
            f'<svg x="0" y="{_BAR}" width="{_WIDTH}" height="{_HEIGHT - _BAR}">',
            # Without CSS animations, the last frame is shown.
            f'<g class="film" transform="translate({last} 0)">',
            *(_draw_frame(number, frame, numbers) for number, frame in enumerate(frames)),
            "</g>",
            "</svg>",
            "</svg>\n",
        ]
    )


def _keyframes(frames: Sequence[Frame]) -> str:
    """Return the rules that show a frame after the other: the film jumps by a frame's width."""
    total, passed, steps = sum(frame.seconds for frame in frames), 0.0, []
    for number, frame in enumerate(frames):
        steps.append(f"{passed / total:.3%}{{transform:translateX({-_WIDTH * number}px)}}")
        passed += frame.seconds
    steps.append(f"100%{{transform:translateX({-_WIDTH * (len(frames) - 1)}px)}}")
    return (
        f".film{{animation:film {total:.1f}s step-end infinite}}\n"
        f"@keyframes film{{{''.join(steps)}}}\n"
        "@media (prefers-reduced-motion:reduce){.film{animation:none}}\n"
    )


def _draw_frame(number: int, frame: Frame, numbers: dict[tuple[Run, ...], int]) -> str:
    lines = (
        f'<use href="#l{numbers[runs]}" y="{line * _LINE}"/>' for line, runs in frame.lines.items()
    )
    return f'<g transform="translate({_WIDTH * number} 0)">{"".join(lines)}</g>'


def _draw_line(runs: Sequence[Run]) -> Iterator[str]:
    """Yield texts, and the blocks of a bar as rectangles, which no font draws with gaps."""
    for run in runs:
        start = 0
        for block in _BLOCKS.finditer(run.text):
            yield from _draw_text(run, start, block.start())
            kind = "f" if block[0][0] == "█" else "e"
            yield (
                f'<rect class="{kind}" x="{_x(run.column + block.start())}" y="{_MARGIN + 3}" '
                f'width="{len(block[0]) * _CHAR:.1f}" height="12"/>'
            )
            start = block.end()
        yield from _draw_text(run, start, len(run.text))


def _draw_text(run: Run, start: int, end: int) -> Iterator[str]:
    """Yield a text for each group of words; its length keeps the columns in every font."""
    while start < end:
        gap = _SPACES.search(run.text, start, end)
        stop = gap.start() if gap else end
        text = run.text[start:stop]
        kept = text.lstrip()
        if kept.strip():
            column = run.column + start + len(text) - len(kept)
            kept = kept.rstrip()
            is_prompt = column == 0 and kept.startswith("$ ")
            style = "t" + " b" * run.is_bold + " p" * is_prompt
            yield (
                f'<text class="{style}" x="{_x(column)}" y="{_MARGIN + 14}" '
                f'textLength="{len(kept) * _CHAR:.1f}">{escape(kept, quote=False)}</text>'
            )
        start = gap.end() if gap else end


def _x(column: int) -> str:
    return f"{_MARGIN + column * _CHAR:.1f}"
