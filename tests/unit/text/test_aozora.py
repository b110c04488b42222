from __future__ import annotations

from raypipe.text import TextCleaner
from raypipe.text.aozora import is_aozora, strip_aozora
from tests.benchmarks.encoding_texts import TEXTS

WORK = (
    "　灯台守《とうだいもり》は階段を降りて、長いあいだ｜暗い海《くらいうみ》を眺めていた。\n"
    "［＃５字下げ］二［＃「二」は中見出し］\n"
    "　※［＃「てへん＋劣」、第3水準1-84-77］と※［＃「口＋世」、U+546D、12-3］と"
    "※［＃「不明」、34-5］。いろ／＼、とき／″＼。\n"
)
CLEAN = (
    "　灯台守は階段を降りて、長いあいだ暗い海を眺めていた。\n"
    "二\n　挘と呭と〓。いろ〳〵、とき〴〵。\n"
)
RULE = "-" * 55
BOOK = (
    f"灯台の話\n灯台守子\n\n{RULE}\n【テキスト中に現れる記号について】\n\n《》：ルビ\n（例）灯台守"
    f"《とうだいもり》\n\n［＃］：入力者注\n{RULE}\n\n{WORK}{TEXTS['ja']}\n\n\n底本：「灯台全集」岩"
    "書房\n　　　1992（平成4）年1月20日発行\n入力：誰か\n青空文庫作成ファイル：\nこのファイルは、青"
    "空文庫で作られました。\n"
)


def test_legend_ruby_notes_and_colophon_are_removed() -> None:
    assert is_aozora(BOOK)
    header, body = strip_aozora(BOOK)
    assert header == "Title: 灯台の話\nAuthor: 灯台守子\nLanguage: ja"
    assert body.strip() == f"灯台の話\n灯台守子\n\n\n{CLEAN}{TEXTS['ja']}"


def test_title_and_author_come_from_the_first_lines() -> None:
    book = TextCleaner().clean(BOOK.encode("shift_jis"), "773_ruby_5968.txt")
    assert (book.title, book.author, book.language) == ("灯台の話", "灯台守子", "ja")
    assert "底本" not in book.text
    assert "《" not in book.text


def test_a_translator_is_no_author() -> None:
    header, _ = strip_aozora(BOOK.replace("灯台守子\n", "エイダ・キーパー\n灯台守子訳\n", 1))
    assert "Author: エイダ・キーパー" in header


def test_titles_in_chinese_brackets_are_no_ruby() -> None:
    assert not is_aozora("他讀了《紅樓夢》和《西遊記》。\n" * 40)
