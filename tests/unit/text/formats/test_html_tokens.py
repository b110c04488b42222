"""HTML is split in a time that grows with its length, whatever is damaged in it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.text.formats.html import read_page
from raypipe.text.formats.html_tokens import Tag, split_html


def split(html: str) -> list[Tag | str]:
    return list(split_html(html))


def attributes(html: str) -> dict[str, str]:
    (tag,) = split(html)
    assert isinstance(tag, Tag)
    return tag.attributes()


def test_tags_and_text_are_told_apart() -> None:
    assert split("a<P>b &amp; c</p >d") == [
        *("a", Tag("p"), "b & c", Tag("p", is_end=True, source=" "), "d")
    ]
    assert split("1 < 2 <3 </ <<b>") == ["1 ", "<", " 2 ", "<", "3 ", "<", "/ ", "<", Tag("b")]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (
            "<a href=x ID='y' title=\"z > 'w'\" hidden>",
            {"href": "x", "id": "y", "title": "z > 'w'"},
        ),
        ("<a b = 'c' B=d>", {"b": "c"}),
        ("<a b='&lt;&eacute;'/>", {"b": "<é"}),
        ("<a b='c>", {"b": "c"}),
        ("<a b=\"c'>", {"b": "c'"}),
        ('<a it\'s="fine">', {"it": "", "s": "fine"}),
    ],
)
def test_attributes_are_read(html: str, expected: dict[str, str]) -> None:
    found = attributes(html)
    found.pop("hidden", None)
    assert found == expected


def test_comments_and_declarations_are_left_out() -> None:
    html = "a<!-- <p> -- > -->b<!DOCTYPE html>c<?xml version='1.0'?>d<![CDATA[<e>&amp;]]>f<!-->g"
    assert "".join(token for token in split(html) if isinstance(token, str)) == "abcd<e>&amp;fg"
    assert split("a<!-- b") == ["a", " b"]  # without an end, it hides nothing
    assert split("a<!") == ["a", "<", "!"]


def test_scripts_are_text_up_to_their_end() -> None:
    assert split("<script>if (a<b) '</p>'</SCRIPT>c") == [
        *(Tag("script"), "if (a<b) '</p>'", Tag("script", is_end=True), "c")
    ]
    assert split("<title>A &amp; <b></title>")[1] == "A & <b>"
    assert split("<style>a<p>") == [Tag("style"), "a", Tag("p")]


PIECES = (
    *("<!--", "<a ", "<a b='", '<a b="', "<a b=c ", "<![CDATA[", "&", "</", "</a ", "<", "<?"),
    *("<!", "<script>", "<title>", "<title/>", "<style>", "<textarea>", "<p class=footnote>"),
    *("<p>", "<li>", "<div hidden>", "<pre>", "<h1>", "<h1><p>", "&#1;", "&amp", "a\n", "<br>"),
    *("<x/>", "<a\n", "= ", "<script></script>x", "=\"'>", "<a b=\">'", "<td>", "<svg><title>"),
    *("]]>", "-->", "<a/b/c "),
)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("end", ["", ">", "'>", "-->"])
def test_no_page_is_slow(piece: str, end: str) -> None:
    started = time.process_time()
    read_page("<html>" + piece * 6_000 + end, is_xml=True)
    assert time.process_time() - started < 2  # usually 0.01 s


@given(st.text(alphabet="<>/!-=\"'& apbr&;\n", max_size=80))
def test_any_page_is_text(html: str) -> None:
    read_page(html, is_xml=False)
    read_page(html, is_xml=True)
