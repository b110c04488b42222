"""The letters that each language writes, to tell a right decoding from a wrong one."""

from __future__ import annotations

from functools import cache

WESTERN = "àáâãäåæçèéêëìíîïñòóôõöøœùúûüÿß"
"""Letters of loan words and names in any language with Latin letters."""

_SOUTH_SLAVIC = "čćđšž"
_NORDIC = "åæøäöéèêóòôüâ"
_IBERIAN = "àáâãçèéêíïñòóôõúü"
_LATIN = {
    **dict.fromkeys(("en", "und", "la"), WESTERN + "þðýāēīōū"),
    **dict.fromkeys(("hr", "bs", "sr", "sl"), _SOUTH_SLAVIC),
    **dict.fromkeys(("da", "no", "nn", "sv"), _NORDIC),
    **dict.fromkeys(("es", "gl", "ca", "pt", "an", "ext", "eu", "oc"), _IBERIAN),
    **dict.fromkeys(("cs", "sk"), "áäčďéěíĺľňóôŕřšťúůýž"),
    **dict.fromkeys(("lv", "ltg"), "āčēģīķļņōŗšūž"),
    **dict.fromkeys(("tr", "az", "crh"), "çğıöşüâîûəİ"),
    "de": "äöüß",
    "nl": "áàéèëêïíóöüç",
    "fr": "àâæçéèêëîïôœùûüÿ",
    "it": "àèéìíîòóùú",
    "fi": "äöåšž",
    "is": "áðéíóúýþæö",
    "fo": "áðíóúýæø",
    "et": "äõöüšž",
    "lt": "ąčęėįšųūž",
    "pl": "ąćęłńóśźż",
    "hu": "áéíóöőúüű",
    "ro": "ăâîșşțţ",
    "sq": "çë",
    "eo": "ĉĝĥĵŝŭ",
    "mt": "ċġħżàèìîòù",
    "cy": "âêîôûŵŷëïöẅÿáéíóúàèìòù",
    "ga": "áéíóúḃċḋḟġṁṗṡṫ",
    "gd": "àèìòùáéó",
    "br": "âêñùüé",
    "ku": "çêîşû",
    "tk": "çäňöşüýž",
    "se": "áčđŋšŧžäåöæø",
    "af": "êëéèôîïûöá",
    "vi": ("àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ"),
}
_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
_ARABIC = "ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئةىپچژگکیٹڈڑںھہےـًٌٍَُِّْ"
_OTHER = {
    "ru": _CYRILLIC + "іѣѳѵ",
    "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "be": "абвгдеёжзійклмнопрстуўфхцчшыьэюя",
    "bg": "абвгдежзийклмнопрстуфхцчшщъьюя",
    "sr": "абвгдђежзијклљмнњопрстћуфхцчџш",
    "mk": "абвгдѓежзѕијклљмнњопрстќуфхцчџш",
    **dict.fromkeys(("kk", "ky", "tt", "ba", "mn", "tg"), _CYRILLIC + "әғқңөұүһіӣӯҳҷ"),
    "el": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",
    "he": "אבגדהוזחטיכךלמםנןסעפףצץקרשת" + "".join(map(chr, range(0x5B0, 0x5C3))),
    **dict.fromkeys(("ar", "fa", "ur", "ary", "arz", "ps"), _ARABIC),
    "th": "".join(map(chr, range(0xE01, 0xE5C))),
}
_COMMON = {
    **dict.fromkeys(("ru", "kk", "ky", "tt", "ba", "mn", "tg", "bg"), "оеаинтсрвлк"),
    "uk": "оанивтіеср",
    "be": "анаіеорсця",
    "sr": "аоиенрсјту",
    "mk": "аоеинтрсвд",
    "el": "αοιετσνηυρςάίό",
    "he": "יוהלאמרבתש",
    **dict.fromkeys(("ar", "fa", "ur", "ary", "arz", "ps"), "اليمونرتبهده"),
    "th": "านรอกเงทยลมว่้ี",
}
"""The letters of about half of each text, for scripts where code pages permute the letters."""


@cache
def letters_of(language: str) -> frozenset[str]:
    """Return the letters above ASCII of a language, in both cases.

    Args:
        language: ISO 639 code; an unknown code has the letters of Western Europe.
    """
    letters = _OTHER.get(language) or _LATIN.get(language) or _LATIN["und"]
    return frozenset(letters) | frozenset(letter for letter in letters.upper() if letter > "\x7f")


@cache
def common_letters_of(language: str) -> frozenset[str]:
    """Return the most frequent letters of a language without Latin letters; empty for others."""
    letters = _COMMON.get(language, "")
    return frozenset(letters + letters.upper())


def has_latin_letters(language: str) -> bool:
    """Return whether a language is written with Latin letters; true if unknown."""
    return language not in _OTHER


def is_known(language: str) -> bool:
    """Return whether there is an alphabet of a language."""
    return language in _OTHER or language in _LATIN
