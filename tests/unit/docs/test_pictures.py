"""The pictures of the docs: each is shown with a text, and `make demo` draws them well."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.demo.__main__ import DESCRIPTION, QUERY
from tests.demo.animation import draw_animation
from tests.demo.terminal import Frame, Output, Run, record, replay
from tests.unit.docs.pages import PAGES, ROOT, read_prose

IMAGES = ROOT / "docs" / "images"
MAX_BYTES = 150_000
SVG = "{http://www.w3.org/2000/svg}"
PICTURES = [
    (name, text, ((ROOT / name).parent / path).resolve())
    for name, page in PAGES.items()
    for text, path in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", read_prose(page))
]
"""The page, the alternative text and the file of each picture."""


def test_each_picture_exists_and_has_a_text() -> None:
    assert len(PICTURES) >= 7
    assert [(page, path) for page, _, path in PICTURES if not path.is_file()] == []
    assert [(page, text) for page, text, _ in PICTURES if len(text.split()) < 5] == []


def test_each_image_is_shown_and_small() -> None:
    images = sorted(IMAGES.iterdir())
    assert images
    assert set(images) - {path for _, _, path in PICTURES} == set()
    assert [path.name for path in images if path.stat().st_size > MAX_BYTES] == []


def test_the_animation_of_the_docs_shows_the_whole_run() -> None:
    text = (IMAGES / "run.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.findtext(f"{SVG}desc") == DESCRIPTION
    shown = [element.text or "" for element in root.iter(f"{SVG}text")]
    for expected in ("$ raypipe run", "books", "ETA", f'"{QUERY}"', "The Lamp on Harrow Point"):
        assert any(expected in line for line in shown), expected


def test_the_animation_names_no_folder_of_a_user() -> None:
    text = (IMAGES / "run.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![\w:/<.])/\w[\w.-]*/", text)) == {"/tmp/"}
    assert re.findall(r"/home/|/root|/Users/", text) == []


@pytest.fixture
def frames() -> list[Frame]:
    """Return frames of a table that is drawn again, as by the live display."""
    redraw = b"\r\x1b[2K\x1b[1A\x1b[2K"
    return replay(
        [
            Output(0.0, b"$ raypipe run\r\n"),
            Output(1.0, "\x1b[1mbooks\x1b[0m  ██░░ 50%\r\n<&>".encode()),
            Output(2.0, redraw),
            Output(2.05, "\x1b[1mbooks\x1b[0m  ████ 100%\r\n<&>".encode()),
            Output(60.0, b""),
        ],
        speed=2.0,
        last_s=5.0,
    )


def test_a_recording_becomes_the_frames_of_a_screen(frames: list[Frame]) -> None:
    assert [round(frame.seconds, 3) for frame in frames] == [0.5, 0.5, 6.275]
    assert frames[0].lines == {0: (Run(0, "$ raypipe run"),)}
    assert frames[2].lines == {
        0: (Run(0, "$ raypipe run"),),
        1: (Run(0, "books", is_bold=True), Run(5, "  ████ 100%")),
        2: (Run(0, "<&>"),),
    }


def test_an_animation_needs_no_script_and_nothing_else(frames: list[Frame]) -> None:
    text = draw_animation(frames, "A <title>", "What happens")
    root = ElementTree.fromstring(text)
    assert root.findtext(f"{SVG}title") == "A <title>"
    assert root.findtext(f"{SVG}desc") == "What happens"
    used = [element.get("href", "") for element in root.iter(f"{SVG}use")]
    ids = {element.get("id") for element in root.iter()}
    assert len(used) == 7
    assert {link.removeprefix("#") for link in used} <= ids
    assert not list(root.iter(f"{SVG}script"))
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import", text) == []
    bars = [(bar.get("class"), bar.get("width")) for bar in root.iter(f"{SVG}rect")]
    assert bars[:-1] == [("f", "16.8"), ("e", "16.8"), ("f", "33.6")]


def test_an_animation_stands_still_at_its_end_for_those_who_want_that(frames: list[Frame]) -> None:
    text = draw_animation(frames, "title", "desc")
    assert "@media (prefers-reduced-motion:reduce){.film{animation:none}}" in text
    last = re.findall(r"100%\{transform:translateX\((-\d+)px\)\}", text)
    assert re.findall(r'class="film" transform="translate\((-\d+) 0\)"', text) == last


def test_a_command_is_recorded_on_a_terminal_of_a_known_size(tmp_path: Path) -> None:
    script = "import os, sys; print(sys.stderr.isatty(), os.get_terminal_size()); sys.exit(3)"
    code, outputs = record([sys.executable, "-Sc", script], tmp_path, dict(os.environ), 60.0)
    assert code == 3
    text = b"".join(output.data for output in outputs).decode()
    assert text == "True os.terminal_size(columns=100, lines=28)\r\n"
