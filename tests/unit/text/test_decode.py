from __future__ import annotations

import codecs
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import BookError
from raypipe.text.decode import DecodedText, decode, detect_binary_format
from tests.benchmarks.encoding_texts import TEXTS

ENGLISH = "The café’s owner wrote “naïve” in the guest book — twice.\n" * 20
RUSSIAN = "Старый маяк стоял на краю мыса, и никто не помнил, кто его построил.\n" * 40


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (codecs.BOM_UTF8 + ENGLISH.encode(), "utf-8"),
        (codecs.BOM_UTF16_LE + ENGLISH.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + ENGLISH.encode("utf-16-be"), "utf-16-be"),
        (codecs.BOM_UTF32_LE + ENGLISH.encode("utf-32-le"), "utf-32-le"),
        (codecs.BOM_UTF32_BE + ENGLISH.encode("utf-32-be"), "utf-32-be"),
        (ENGLISH.encode(), "utf-8"),
        (ENGLISH.encode("cp1252"), "cp1252"),
        (ENGLISH.encode("utf-16-le"), "utf-16-le"),
        (ENGLISH.encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_decodes_each_encoding(data: bytes, encoding: str) -> None:
    decoded = decode(data)
    assert decoded.text == ENGLISH
    assert decoded.encoding == encoding
    assert decoded.flags == ()


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
def test_cyrillic_is_not_decoded_as_cp1252(encoding: str) -> None:
    assert decode(RUSSIAN.encode(encoding)).text == RUSSIAN


def test_dos_accents_inside_words_are_not_decoded_as_cp1252() -> None:
    french = "Le général avait été blessé à la tête près de la rivière gelée.\n" * 30
    assert decode(french.encode("cp850")).encoding != "cp1252"


def test_a_declared_encoding_counts_where_cp1252_would_not_fail() -> None:
    polish = "Character set encoding: ISO-8859-2\n\n" + "Zażółć gęślą jaźń, powiedział.\n" * 20
    decoded = decode(polish.encode("iso8859-2"))
    assert (decoded.encoding, decoded.text) == ("iso8859-2", polish)


def test_a_wrong_ascii_declaration_is_ignored() -> None:
    text = "Character set encoding: ASCII\n\n" + ENGLISH
    assert decode(text.encode("cp1252")).text == text


def test_declared_latin1_with_curly_quotes_is_decoded_as_cp1252() -> None:
    text = "Character set encoding: ISO-8859-1\n\n" + ENGLISH
    decoded = decode(text.encode("cp1252"))
    assert (decoded.encoding, decoded.text) == ("cp1252", text)


def test_utf8_with_a_stray_byte_is_still_decoded_as_utf8() -> None:
    decoded = decode(ENGLISH.encode() + b"\xff and on\n" + ENGLISH.encode())
    assert decoded.encoding == "utf-8"
    assert decoded.flags == ("bad_bytes",)
    assert decoded.text.count("\ufffd") == 1


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n" + b"text " * 99, "PDF"),
        (b"PK\x03\x04" + b"mimetypeapplication/epub+zip" * 9, "EPUB"),
        (b"GIF89a" + b"a" * 99, "GIF"),
        (b"\x89PNG\r\n\x1a\n" + b"a" * 99, "PNG"),
        (b"a" * 60 + b"BOOKMOBI" + b"a" * 99, "MOBI"),
        (bytes(range(256)) * 20, "control characters"),
        (b"text with \x00 zeros \x00 " * 50, "control characters"),
    ],
)
def test_the_failure_names_the_binary_format(data: bytes, name: str) -> None:
    with pytest.raises(BookError, match=name) as failure:
        decode(data)
    assert failure.value.kind == "binary"
    assert not failure.value.retryable


def test_a_stray_nul_in_a_long_text_is_not_binary() -> None:
    assert detect_binary_format(ENGLISH.encode() + b"\x00\x1a") == ""


def test_a_wrong_byte_order_mark_is_undecodable() -> None:
    with pytest.raises(BookError) as failure:
        decode(codecs.BOM_UTF16_LE + b"\x00\xd8" * 400)
    assert failure.value.kind == "undecodable"


@given(st.binary(max_size=400))
def test_any_bytes_give_text_or_a_failure_that_is_not_retryable(data: bytes) -> None:
    try:
        outcome = decode(data).encoding
    except BookError as failure:
        outcome = f"{failure.kind} {failure.retryable}"
    assert outcome in {"binary False", "undecodable False"} or codecs.lookup(outcome)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_utf8_is_decoded_without_changes(text: str) -> None:
    assert decode(("Once upon a time " + text).encode()).text == "Once upon a time " + text


LIGHTHOUSE = {
    "pl": (
        "Latarnik zszedł po schodach i długo patrzył na morze. Wiatr był słaby, a łodzie "
        "rybackie wracały powoli do brzegu. Nikt się nie odzywał, bo każdy wiedział, że tej "
        "nocy przyjdzie sztorm. Stary człowiek zapalił lampę, usiadł przy oknie i zaczął "
        "pisać list do córki, której nie widział od dziesięciu lat."
    ),
    "cs": (
        "Strážce majáku sešel po schodech a dlouho se díval na moře. Vítr byl slabý a "
        "rybářské lodě se pomalu vracely ke břehu. Nikdo nemluvil, protože každý věděl, že té "
        "noci přijde bouře. Starý muž rozsvítil lampu, posadil se k oknu a začal psát dopis "
        "dceři, kterou neviděl deset let, neboť žila daleko."
    ),
    "hu": (
        "A világítótorony őre lement a lépcsőn, és sokáig nézte a tengert. Gyenge szél fújt, "
        "a halászhajók lassan tértek vissza a partra. Senki sem szólt egy szót sem, mert "
        "mindenki tudta, hogy éjjel vihar jön. Az öreg ember meggyújtotta a lámpát, leült az "
        "ablakhoz, és levelet kezdett írni a lányának, akit tíz éve nem látott, és akinek "
        "hűtlensége őt bántotta."
    ),
    "ro": (
        "Paznicul farului a coborât scările şi a privit îndelung marea. Vântul era slab, iar "
        "bărcile pescarilor se întorceau încet spre ţărm. Nimeni nu vorbea, căci fiecare ştia "
        "că în noaptea aceea va veni furtuna. Bătrânul a aprins lampa, s-a aşezat la "
        "fereastră şi a început să scrie o scrisoare fiicei sale, pe care nu o văzuse de zece "
        "ani."
    ),
    "hr": (
        "Čuvar svjetionika sišao je niz stepenice i dugo gledao more. Vjetar je bio slab, a "
        "ribarski čamci polako su se vraćali prema obali. Nitko nije govorio jer je svatko "
        "znao da će te noći doći oluja. Starac je upalio svjetiljku, sjeo kraj prozora i "
        "počeo pisati pismo kćeri koju nije vidio deset godina."
    ),
    "fr": (
        "Le gardien du phare descendit l'escalier et regarda longtemps la mer. Le vent était "
        "faible et les barques de pêche rentraient lentement vers la côte. Personne ne "
        "parlait, car chacun savait que la tempête viendrait cette nuit-là. Le vieil homme "
        "alluma la lampe, s'assit près de la fenêtre et commença une lettre à sa fille, qu'il "
        "n'avait pas vue depuis dix ans; où était-elle? Son cœur le savait déjà."
    ),
    "pt": (
        "O faroleiro desceu a escada e olhou longamente para o mar. O vento era fraco e os "
        "barcos de pesca voltavam devagar para a praia. Ninguém falava, porque todos sabiam "
        "que naquela noite viria a tempestade. O velho acendeu a lâmpada, sentou-se à janela "
        "e começou a escrever uma carta à filha, que não via há dez anos; as estações, os "
        "corações e as ilusões não mudam."
    ),
    "et": (
        "Majakavaht läks trepist alla ja vaatas kaua merd. Tuul oli nõrk ja kalapaadid tulid "
        "aeglaselt randa tagasi. Keegi ei rääkinud, sest igaüks teadis, et sel ööl tuleb "
        "torm. Vana mees süütas lambi, istus akna äärde ja hakkas kirjutama kirja tütrele, "
        "keda ta polnud kümme aastat näinud; õhtu jõudis kätte."
    ),
    "is": (
        "Vitavörðurinn gekk niður stigann og horfði lengi á hafið. Vindurinn var hægur og "
        "fiskibátarnir sneru hægt til lands. Enginn talaði, því að allir vissu að þá nótt "
        "kæmi stormur. Gamli maðurinn kveikti á lampanum, settist við gluggann og byrjaði að "
        "skrifa bréf til dóttur sinnar, sem hann hafði ekki séð í tíu ár."
    ),
}
"""The same few sentences in languages whose letters share bytes."""


@pytest.mark.parametrize("language", ["pl", "cs", "hu", "ro", "hr"])
def test_central_european_languages_are_not_decoded_as_cp1252(language: str) -> None:
    text = (LIGHTHOUSE[language] + "\n\n") * 9
    decoded = decode(f"„{text}”".encode("cp1250"))
    assert (decoded.encoding, decoded.text) == ("cp1250", f"„{text}”")
    decoded = decode(text.encode("iso8859-2"))
    assert (decoded.encoding, decoded.text) == ("iso8859-2", text)


def test_decodes_polish_in_cp1250_without_quotation_marks() -> None:
    text = (LIGHTHOUSE["pl"].replace("ś", "s") + "\n\n") * 9
    assert decode(text.encode("cp1250")).text == text


@pytest.mark.parametrize("language", ["fr", "pt", "et", "is"])
def test_western_languages_are_decoded_as_cp1252(language: str) -> None:
    text = (LIGHTHOUSE[language] + "\n\n") * 9
    decoded = decode(text.encode("cp1252"))
    assert (decoded.encoding, decoded.text) == ("cp1252", text)


@pytest.mark.parametrize(
    ("language", "encoding"), [("pl", "cp852"), ("hr", "cp852"), ("hr", "mac_latin2")]
)
def test_a_dos_or_mac_code_page_is_not_decoded_as_cp1250(language: str, encoding: str) -> None:
    text = (LIGHTHOUSE[language] + "\n\n") * 9
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize("encoding", ["cp1251", "shift_jis", "big5", "cp1252"])
def test_zeros_that_fill_up_a_file_or_its_records_are_removed(encoding: str) -> None:
    text = f"{TEXTS[_LANGUAGES[encoding]]}\n" * 3
    data = text.encode(encoding)
    filled = decode(b"\x00" * 9 + data + b"\x00" * 5_000)
    assert (filled.text, filled.flags) == (text, ())
    records = decode(data.replace(b"\n", b"\x00" * 40))
    assert (records.text, records.flags) == (text.rstrip("\n"), ("bad_bytes",))


_LANGUAGES = {"cp1251": "ru", "shift_jis": "ja", "big5": "zh-hant", "cp1252": "nl"}


@pytest.mark.parametrize("encoding", ["shift_jis", "big5"])
def test_stray_bytes_are_flagged(encoding: str) -> None:
    data = f"{TEXTS[_LANGUAGES[encoding]]}\n".encode(encoding) * 9
    decoded = decode(data[:400] + b"\xff" + data[400:])
    assert decoded.flags == ("bad_bytes",)
    assert decoded.text.endswith(TEXTS[_LANGUAGES[encoding]] + "\n")


def test_mixed_encodings_are_repaired_and_flagged() -> None:
    line = "The café’s owner — naïve — wrote “résumé” in it.\n"
    decoded = decode((line * 9).encode() + (line * 5).encode("cp1252"))
    assert decoded == DecodedText(line * 14, "utf-8", ("mixed_encodings",))


def test_a_text_in_two_code_pages_is_flagged() -> None:
    data = (RUSSIAN.encode("cp1251") + RUSSIAN.encode("koi8-r")) * 2
    assert decode(data).flags == ("encoding_unsure",)


@pytest.mark.parametrize(
    "data",
    [
        # The fonts of TCVN 3 and EBCDIC, which Python or this cleaner cannot decode.
        "Ng­êi g¸c ngän h¶i ®¨ng b­íc xuèng cÇu thang vµ nh×n ra biÓn rÊt l©u.\n".encode("cp1252")
        * 9,
        ENGLISH.replace("“", "").replace("”", "").replace("’", "").replace("—", "").encode("cp037"),
        bytes(random.Random(1).choices(range(0x80, 0x100), k=4_000)),
    ],
)
def test_what_fits_no_language_is_undecodable(data: bytes) -> None:
    with pytest.raises(BookError) as failure:
        decode(data)
    assert failure.value.kind == "undecodable"


def test_a_kindle_book_is_named_though_zeros_fill_it_up() -> None:
    data = b"A Book".ljust(60, b"\0") + b"BOOKMOBI" + bytes(range(256)) * 8
    with pytest.raises(BookError, match="a Kindle"):
        decode(data)
