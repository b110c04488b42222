"""HTML is read as its text: title and meta elements used, page furniture left out."""

from __future__ import annotations

import time

import pytest

from raypipe.core.errors import BookError
from raypipe.text import TextCleaner
from raypipe.text.formats import ExtractedText
from raypipe.text.formats.html import HtmlFormat
from tests.unit.text.formats.books import PARAGRAPH

BODY = f"<p>{PARAGRAPH}</p>" * 20


def read(html: str | bytes, name: str = "a.html") -> ExtractedText:
    data = html if isinstance(html, bytes) else html.encode()
    return HtmlFormat().read(data, name, 1 << 22)


def page(body: str, head: str = "") -> str:
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{body}</body></html>'


@pytest.mark.parametrize(
    "start",
    [
        "<!DOCTYPE html>\n<html>",
        "\ufeff  <HTML lang='en'>",
        "<?xml version='1.0'?>\n<!-- made by hand -->\n<!DOCTYPE html PUBLIC 'x'>",
        "<head><title>x</title>",
    ],
)
def test_a_page_is_recognized_by_its_start(start: str) -> None:
    assert HtmlFormat().recognizes(start.encode())
    for encoding in ("utf-16-le", "utf-16-be"):
        assert HtmlFormat().recognizes(("\ufeff" + start.lstrip("\ufeff")).encode(encoding))


@pytest.mark.parametrize(
    "start", ["The <html> element", "<i>Hamlet</i>", "<htmlx>", "< html>", "", "<!-- x -->"]
)
def test_other_texts_are_not_recognized(start: str) -> None:
    assert not HtmlFormat().recognizes(start.encode())


def test_blocks_are_paragraphs_and_breaks_are_lines() -> None:
    html = page(
        "<h1>The <em>Lamp</em></h1><p>One\n  two&nbsp;&amp; <b>th</b>ree.</p>loose text"
        "<div>Lines<br>kept<br/>here</div><ul><li>a<li>b</ul><table><tr><td>c<td>d</table>"
    )
    assert read(html).text.split("\n\n") == [
        *("The Lamp", "One two\xa0& three.", "loose text", "Lines\nkept\nhere", "a", "b", "c d"),
    ]


def test_furniture_and_notes_are_left_out() -> None:
    noise = (
        "<nav><a href='/'>Home</a></nav><script>var a = '<p>no</p>'</script><style>p{}</style>"
        "<footer>Imprint</footer><div style='display: none'>no</div><div hidden>no</div>"
        "<span class='pagenum'>[12]</span><div class='footnote'>1. A note.</div>"
        "<a href='#footnote-1' id='footnote-ref-1'>[1]</a><div role='navigation'>no</div>"
        "<form><button>Search</button></form><noscript>no</noscript><!-- no -->"
    )
    assert read(page(f"{noise}<p>Yes{noise}!</p>")).text.split() == ["Yes", "!"]


def test_an_element_without_an_end_tag_hides_no_more_than_itself() -> None:
    notes = "<ul><li id=fn1>no<li>yes</ul><p class=footnote>no<p>and<p class=pagenum>9<h2>on</h2>"
    assert read(page(notes)).text.split() == ["yes", "and", "on"]
    assert read("<html><head><meta name=x><title>T</title><p>text").text == "text"


def test_ruby_keeps_the_characters_and_an_initial_image_its_letter() -> None:
    assert read(page("<p><ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>字</p>")).text == "漢字"
    assert read(page("<p><img src='o.png' alt='O'>nce upon a time</p>")).text == "Once upon a time"


@pytest.mark.parametrize(
    ("head", "title", "authors"),
    [
        ("<title>The Goose Ledger, by R. Pell</title>", "The Goose Ledger", ("R. Pell",)),
        (
            "<title>The Project Gutenberg eBook of Emma, by Jane Austen.</title>",
            "Emma",
            ("Jane Austen",),
        ),
        ("<title>Emma | Project Gutenberg</title>", "Emma", ()),
        (
            "<title>x</title><meta name='DC.Title' content='The  Lamp'>"
            "<meta name=author content='Ada Keeper'>",
            "The Lamp",
            ("Ada Keeper",),
        ),
    ],
)
def test_title_and_meta_elements_are_used(head: str, title: str, authors: tuple[str, ...]) -> None:
    metadata = read(page(BODY, head)).metadata
    assert (metadata.title, metadata.authors, metadata.language) == (title, authors, "en")


@pytest.mark.parametrize(
    "title",
    [
        *("404 Not Found", "Error 503", "Access Denied", "Just a moment...", "Sign in"),
        *("Library - Page Not Found", "Seite nicht gefunden", "Page introuvable – Bibliothèque"),
        *("Página no encontrada", "Страница не найдена", "Erreur 404"),
    ],
)
def test_an_error_page_is_a_failure(title: str) -> None:
    with pytest.raises(BookError, match=r"a\.html is a page of a server") as caught:
        read(page("<h1>Sorry</h1>", f"<title>{title}</title>"))
    assert (caught.value.kind, caught.value.retryable) == ("error_page", False)
    with pytest.raises(BookError, match="is a page of a server"):
        read(page(f"<h1>{title}</h1><p>nginx</p>"))
    assert read(page(BODY * 5, f"<title>{title}</title>")).text  # a book with such a title


def test_an_answer_of_s3_is_an_error_page() -> None:
    answer = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>No</Message></Error>'
    assert HtmlFormat().recognizes(answer)
    with pytest.raises(BookError, match="is the answer AccessDenied of a storage server"):
        read(answer)


LANGUAGES = {
    "ru": "Смотритель маяка спустился по лестнице и долго глядел на море. Ветер был слабый.",
    "pl": "Latarnik zszedł po schodach i długo patrzył na morze. Wiatr był słaby, a łodzie.",
    "tr": "Rüzgâr hafifti, balıkçı tekneleri ağır ağır kıyıya dönüyordu. Kimse konuşmuyordu.",
    "de": "Der Müller saß früh am Morgen vor der Tür und zählte die Säcke. „Heute kommt niemand“.",
    "el": "Ο φύλακας του φάρου κατέβηκε τη σκάλα και κοίταξε πολλή ώρα τη θάλασσα.",
}


@pytest.mark.parametrize(
    ("language", "declared", "encoding"),
    [
        ("ru", "iso-8859-1", "cp1251"),
        ("ru", "windows-1251", "koi8-r"),
        ("ru", "koi8-r", "cp1251"),
        ("pl", "iso-8859-1", "iso8859-2"),
        ("tr", "windows-1252", "cp1254"),
        ("el", "utf-8", "iso8859-7"),
        ("de", "windows-1251", "utf-8"),
        ("de", "unicode_escape", "utf-8"),
        ("de", "utf-16", "utf-8"),
    ],
)
def test_a_wrong_declaration_is_not_believed(language: str, declared: str, encoding: str) -> None:
    text = LANGUAGES[language]
    html = page(f"<p class='indent' style='margin: 0 1em'>{text}</p>", f"<meta charset={declared}>")
    assert read(html.encode(encoding)).text == text


def test_a_page_in_utf16_without_a_mark_is_recognized() -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        data = page(f"<p>{LANGUAGES['de']}</p>").encode(encoding)
        assert HtmlFormat().recognizes(data)
        assert read(data).text == LANGUAGES["de"]


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "windows-1251", "shift_jis"])
def test_the_declared_encoding_is_used(encoding: str) -> None:
    text = {"windows-1251": "Лампа", "shift_jis": "灯台"}.get(encoding, "Café")
    html = page(f"<p>{text}</p>", f'<meta http-equiv="x" content="text/html; charset={encoding}">')
    assert read(html.encode(encoding)).text == text
    assert read(f"<meta charset='nonsense'><p>{text}</p>".encode()).text == text


def test_a_self_closed_element_of_xhtml_is_empty() -> None:
    html = (
        "<?xml version='1.0'?><html><head><title/><script src='x'/></head><body>"
        "<span class='pagenum'/><p>Kept<br/>text</p><a id='x'/><p>and more</p></body></html>"
    )
    assert read(html).text == "Kept\ntext\n\nand more"


def test_a_text_file_inside_of_pre_stays_wrapped() -> None:
    text = "Title: The Lamp\n\n" + "\n".join([PARAGRAPH] * 20)
    extracted = read(page(f"<pre>\n{text}\n</pre>"))
    assert extracted.is_wrapped
    assert extracted.text == text


@pytest.mark.parametrize("end", ["<br>\n", "</p>\n<p>"])
def test_lines_that_a_converter_broke_are_joined(end: str) -> None:
    lines = [
        "The keeper lit the lamp and looked at the wide",
        "cold sea, because nobody had come to the rock",
        "for a week.",
    ]
    gap = "<br>\n<br>\n" if "br" in end else end
    html = page("<p>" + gap.join([end.join(lines)] * 12) + "</p>")
    book = TextCleaner(formats={"html": HtmlFormat()}).clean(html.encode(), "lamp.html")
    assert book.text.split("\n\n")[0] == " ".join(lines)


def test_verse_in_small_letters_keeps_its_lines() -> None:
    verse = "the wind is low upon the sea,<br/>the lamp is lit,<br/>and nobody shall<br/>look at it"
    html = page(f"<p>{verse}</p>" * 12)
    book = TextCleaner(formats={"html": HtmlFormat()}).clean(html.encode(), "verse.html")
    assert book.text.startswith("the wind is low upon the sea,\nthe lamp is lit,\nand nobody")


def test_a_deep_page_is_read() -> None:
    assert read(page("<div>" * 50_000 + "deep")).text == "deep"
    assert read("<font>" * 20_000 + "text").text == "text"


def test_a_page_named_txt_becomes_a_book() -> None:
    html = page(f"<h1>The Goose Ledger</h1>{BODY}", "<title>The Goose Ledger, by R. Pell</title>")
    book = TextCleaner(formats={"html": HtmlFormat()}).clean(html.encode(), "goose.txt")
    assert (book.title, book.author, book.language) == ("The Goose Ledger", "R. Pell", "en")
    assert book.text.startswith(f"The Goose Ledger\n\n{PARAGRAPH}\n\n")
    assert "<" not in book.text


def test_a_page_of_project_gutenberg_becomes_its_book() -> None:
    paragraphs = f"<p id='x'>\n{PARAGRAPH}</p>\n" * 15
    html = page(
        '<section class="pg-boilerplate" id="pg-header"><h2>The Project Gutenberg eBook of The Lamp'
        "</h2><p><strong>Title</strong>: The Lamp</p><p><strong>Author</strong>: Ada Keeper</p>"
        "<p><strong>Credits</strong>: Produced by X</p><div id='pg-start-separator'>"
        "<span>*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP ***</span></div></section>"
        f"<h1>THE LAMP</h1><h2><a id='c1'></a>CHAPTER I.<br>The Storm</h2>{paragraphs}"
        "<p><span class='pagenum'>[Pg 3]</span>More"
        "<a href='#Footnote_1' class='fnanchor'>[1]</a>.</p>"
        f"<h2>CHAPTER II.<br>The Calm</h2>{paragraphs}<div class='footnote'><p>A note.</p></div>"
        "<section><span>*** END OF THE PROJECT GUTENBERG EBOOK THE LAMP ***</span>"
        "<div>Updated editions will replace the previous one.</div></section>",
        "<title>The Lamp | Project Gutenberg</title>",
    )
    book = TextCleaner(formats={"html": HtmlFormat()}).clean(html.encode(), "pg35-images.html")
    assert (book.title, book.author) == ("The Lamp", "Ada Keeper")
    titles = ["CHAPTER I. The Storm", "CHAPTER II. The Calm"]
    assert [chapter.title for chapter in book.chapters] == titles
    assert book.text.startswith("THE LAMP\n\nCHAPTER I.\nThe Storm\n\nThe keeper")
    assert book.text.endswith(PARAGRAPH)
    assert "More." in book.text


def test_a_megabyte_is_read_in_half_a_second() -> None:
    html = page(f"<p class='x'>{PARAGRAPH} <i>so</i> {PARAGRAPH}</p>\n" * 6_000)
    started = time.process_time()
    read(html)
    assert time.process_time() - started < 2  # 0.2 s on an idle machine
