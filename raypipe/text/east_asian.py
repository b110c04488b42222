"""Recognize the encodings of Chinese, Japanese and Korean by the characters they give."""

from __future__ import annotations

import re
from collections.abc import Callable

from raypipe.text.code_pages import Guess, take_sample

_COMMON_HAN = frozenset(
    "的一是不了人我在有他这這为為之大来來以个個中上们們到说說国國和地也子时時道出而要于於就下得可你年生"
    "自会會那后後能对對着著事其里裡裏所去行过過家十用发發天如然作方成者多日都三小军軍二无無同么麼经經法"
    "当當起与與好看学學进進种種将將还還分此心前面又定见見只主没沒公从從何曰乃矣乎焉哉夫故若非吾汝言使"
    "王君臣今知相老两兩回头頭话話听聽走手想给給吃身门門太把被再次叫問问笑书書水山女"
)
_COMMON_HANGUL = frozenset(
    "이다는의에을가고하은를로한지도그나서사리어인기자시라있었아것들과와으니여해일정대부만수보면게던스오무상"
    "전않없말내때않너우마람"
)
_HIRAGANA = re.compile(r"[\u3041-\u309f]")
_KANA = re.compile(r"[\u3041-\u30ff]")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_HANGUL = re.compile(r"[\uac00-\ud7a3]")
_USUAL = re.compile(r"[\x00-\x7f\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff00-\uff5e\u2010-\u2026]")
_EXPECTED_KANA, _EXPECTED_HAN, _EXPECTED_HANGUL = 0.3, 0.22, 0.25
_SAMPLE_BYTES = 12_000
_ERROR_COST = 8.0
_MIN_CHARS = 4
_MIN_SHARE, _MAX_FIT_OF_FEW = 0.15, 0.7
"""A few characters in a text of another script may be there by accident."""


def rate_japanese(text: str) -> float:
    """Return 1 for a text with as much kana as Japanese has, less for others."""
    kana, han = len(_KANA.findall(text)), len(_HAN.findall(text))
    hiragana = len(_HIRAGANA.findall(text))
    return _purity(text) * min(1.0, (hiragana + kana) / 2 / max(kana + han, 1) / _EXPECTED_KANA)


def rate_chinese(text: str) -> float:
    """Return 1 for a text with the frequent characters of Chinese, less for others."""
    kana, han = len(_KANA.findall(text)), _HAN.findall(text)
    if 10 * kana > len(han):
        return 0.0
    share = sum(map(_COMMON_HAN.__contains__, han)) / max(len(han), 1)
    return _purity(text) * min(1.0, share / _EXPECTED_HAN)


def rate_korean(text: str) -> float:
    """Return 1 for a text with the frequent syllables of Korean, less for others."""
    hangul, others = _HANGUL.findall(text), len(_HAN.findall(text)) + len(_KANA.findall(text))
    if others > len(hangul):
        return 0.0
    share = sum(map(_COMMON_HANGUL.__contains__, hangul)) / max(len(hangul), 1)
    return _purity(text) * min(1.0, share / _EXPECTED_HANGUL)


_RATERS: tuple[tuple[str, str, Callable[[str], float]], ...] = (
    ("gb18030", "zh", rate_chinese),
    ("cp950", "zh", rate_chinese),
    ("big5hkscs", "zh", rate_chinese),
    ("cp932", "ja", rate_japanese),
    ("euc_jp", "ja", rate_japanese),
    ("euc_jis_2004", "ja", rate_japanese),
    ("cp949", "ko", rate_korean),
    ("gb18030", "ja", rate_japanese),
    ("johab", "ko", rate_korean),
)
EAST_ASIAN = frozenset({"gb2312", "gbk", "big5", *(encoding for encoding, _, _ in _RATERS)})
"""Python's names of the encodings that are tried, and of those that they contain."""


def guess_east_asian(data: bytes, declared: str = "") -> Guess | None:
    """Return the encoding of several bytes a character that fits best; None if there is none.

    Args:
        data: The whole file.
        declared: An encoding that the file names; it is chosen among equals.
    """
    sample = take_sample(data, _SAMPLE_BYTES, max_piece=len(data))
    best: Guess | None = None
    for encoding, language, rate in _RATERS:
        text = sample.decode(encoding, "replace")
        high = sum(char > "\x7f" for char in text)
        if high < _MIN_CHARS:
            continue
        errors = max(text.count("\ufffd") - 1, 0)  # the last character may have been cut
        letters = sum(map(str.isalpha, text))
        limit = 1.0 if high >= _MIN_SHARE * letters else _MAX_FIT_OF_FEW
        fit = min(rate(text), limit) - _ERROR_COST * errors / high + 0.01 * (encoding == declared)
        if best is None or fit > best.fit + 0.002:
            best = Guess(encoding, language, fit)
    return best


def rate_east_asian(text: str) -> float:
    """Return the best rating of a text as Chinese, Japanese or Korean."""
    return max(rate_chinese(text), rate_japanese(text), rate_korean(text))


def _purity(text: str) -> float:
    """Return the share of usual characters, squared: wrong decodings have many others."""
    high = [char for char in text if char > "\x7f"]
    usual = sum(1 for char in high if _USUAL.match(char))
    return (usual / max(len(high), 1)) ** 2
