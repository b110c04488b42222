from __future__ import annotations

import io
import logging
import sys

import pytest
from rich.console import Console

from raypipe.cli import live_display
from raypipe.cli.live_display import LiveDisplay, draw, find_view
from raypipe.coordination.counts import Progress
from raypipe.coordination.forecast import Outlook
from raypipe.coordination.process_meter import ResourceUsage
from raypipe.coordination.progress import Snapshot

SNAPSHOT = Snapshot(
    Progress(
        done=40,
        failed=10,
        model_calls=300,
        input_tokens=1_000,
        throttled=7,
        in_flight=5,
        usd=1.5,
        budget_usd=5.0,
        budget_spent=2.5,
        tokens_per_minute=2_000.0,
        stage_books=(("summarize", 60, 6_000),),
        failures=(("empty", 6), ("bad[red]\x1b[31m", 4)),
        bulk_requests=4,
        bulk_documents=40,
    ),
    100,
    Outlook(20.0, 2.5, 15.0, 1_000.0, 600, 20.0, "calls"),
    ResourceUsage(2_000_000_000, 1.5),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_table_has_every_number() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(draw(SNAPSHOT))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in (
        "50%",
        "left 50",
        "2.5 books/s",
        "summarize 60 (3.0/s)",
        "calls 300 of about 600",
        "$2.50 of $5.00",
        "quota 50%",
        "throttled 7",
        "4 bulk requests · 10 documents each",
        r"empty 6 · bad[red]\x1b[31m 4",
        "2.0 GB · CPU 150 %",
        "20s (calls)",
    ):
        assert part in text


def test_the_log_goes_above_the_table_and_back_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        with LiveDisplay() as view:
            view.show(SNAPSHOT)
            assert handler.stream is not terminal
            logging.getLogger("raypipe.x").warning("a line of the log")
        assert handler.stream is terminal
        assert sys.stderr is terminal
    finally:
        logging.getLogger().removeHandler(handler)
    assert "a line of the log" in terminal.getvalue()


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO(), "xterm"), (Terminal(), "dumb")])
def test_without_a_terminal_lines_are_logged(
    stream: io.StringIO, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    assert find_view() is None


@pytest.mark.parametrize(("encoding", "is_drawn"), [("utf-8", True), ("latin-1", False)])
def test_a_terminal_without_the_characters_of_the_bar_gets_lines(
    encoding: str, is_drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert (find_view() is not None) == is_drawn


def test_json_lines_have_no_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert find_view() is not None
    monkeypatch.setattr(live_display, "logs_json", lambda: True)
    assert find_view() is None
