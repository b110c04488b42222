"""Remove what digital libraries other than Project Gutenberg put around a book."""

# ruff: noqa: RUF001 - typographic quotes are intended
from __future__ import annotations

import re
from dataclasses import dataclass

from raypipe.text.cuts import PARAGRAPH, TextCuts

_TOP_CHARS, _FRONT_SHARE = 30_000, 0.4
_MAX_PARAGRAPH = 4_000
_END_SHARE = 0.6
"""What ends a book stands after this share of it."""
_NEAR_CHARS = 1_500


@dataclass(frozen=True, slots=True)
class _Library:
    """The frame of a digital library.

    Attributes:
        sign: A word that texts of the library have, in small letters.
        front: Paragraphs before the book that are removed.
        back: The line at which the text after the book begins.
        proof: Words near this line that prove it.
    """

    sign: str
    front: re.Pattern[str]
    back: re.Pattern[str]
    proof: re.Pattern[str]


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.I | re.M)


_NEVER = _compile(r"(?!)")
_GOOGLE = (
    # English, French, German, Spanish and Italian, paragraph by paragraph.
    r"digital copy of a book that was preserved for generations|^\W*usage guidelines"
    r"|^\W*about google book search|google book search helps readers|books\.google\.com"
    r"|public domain books (?:are our gateways|belong to the public)|we also ask that you"
    r"|make non-?commercial use of the files|refrain from automated quer|maintain attribution"
    r"|keep it legal|marks, notations and other marginalia|google is proud to partner"
    r"|copie numérique d['’]un ouvrage conservé|^\W*consignes d['’]utilisation"
    r"|google recherche de livres|ne pas utiliser les fichiers à des fins commerciales"
    r"|requêtes automatisées|ne pas supprimer l['’]attribution|rester dans la légalité"
    r"|digitales exemplar eines buches|^\W*nutzungsrichtlinien|google[ -]buchsuche"
    r"|nichtkommerziellen zwecken|keine automatisierten abfragen|google-markenelementen"
    r"|innerhalb der legalität|gebrauchsspuren, anmerkungen"
    r"|copia digital de un libro que|^\W*normas de uso|búsqueda de libros de google"
    r"|uso exclusivamente no comercial|solicitudes automatizadas|conserve la atribución"
    r"|dentro de la legalidad|copia digitale di un libro|google ricerca libri"
    r"|^\W*informazioni su questo libro|^\W*linee guide per l['’]utilizzo"
    r"|non fare un uso commerciale|query automatizzate|conservare la filigrana"
    r"|fanne un uso legale"
)
_LIBRARIES = (
    _Library(
        "google",
        _compile(_GOOGLE),
        _NEVER,
        _NEVER,
    ),
    _Library(
        "archive",
        _compile(
            r"digiti[sz]ed by the internet archive|with funding from"
            r"|^\W*https?://(?:www\.)?archive\.org/|^\W*full text of [\"“]|^\W*see other formats"
            r"|^\W*(?:internet archive|archive\.org)\W*$"
        ),
        _NEVER,
        _NEVER,
    ),
    _Library(
        "wikisource",
        _compile(
            r"^\W*(?:exported from|exporté(?:e)? de|exportiert aus|esportato da|exportado (?:de|do)"
            r"|geëxporteerd uit|eksport[a-z]* z|экспортировано из) (?:the )?wikisource\b"
        ),
        _compile(
            r"^\W*(?:about this (?:digital|electronic) edition"
            r"|à propos de cette édition (?:électronique|numérique)"
            r"|über diese (?:digitale|elektronische) (?:edition|ausgabe)"
            r"|informazioni su questa edizione (?:elettronica|digitale)"
            r"|(?:acerca de|sobre) esta edici[oó]n (?:electrónica|digital)"
            r"|sobre esta edição (?:eletr[oôó]nica|digital)"
            r"|public domain\s*public domain|this work is in the public domain"
            r"|this work was published before january 1)"
        ),
        _compile(r"wikisource|public domain"),
    ),
    _Library(
        "libres et gratuits",
        _compile(r"ebooks libres et gratuits|^\W*ebooksgratuits\.com"),
        _compile(r"^\W*à propos de cette édition électronique"),
        _compile(r"libres et gratuits"),
    ),
    _Library(
        "standard ebooks",
        _compile(
            r"^\W*imprint\W*$|for standard ebooks, and builds on|produced for standard ebooks"
            r"|particular ebook is based on|source text and artwork in this|standardebooks\.org"
            r"|standard ebooks is a volunteer"
        ),
        _compile(r"^\W*(?:colophon|uncopyright)\W*$"),
        _compile(r"standard ebooks|uncopyright page|may you do good and not evil"),
    ),
    _Library(
        "manuzio",
        _compile(
            r"liber liber|liberliber|progetto manuzio|^\W*questo e-?(?:book|text)\b|^\W*(?:titolo"
            r"|autore|traduttore|traduzione|curatore|note|diritti d['’]autore|licenza|tratto da"
            r"|codice isbn[\w ]{0,40}|copertina|soggetto|digitalizzazione|revisione|impaginazione"
            r"|pubblicazione|1a edizione elettronica[\w ,]{0,60}|indice di affidabilit[àa]'?):"
        ),
        _NEVER,
        _NEVER,
    ),
    _Library(
        "runeberg",
        _compile(r"project runeberg|runeberg\.org"),
        _compile(r"^\W*(?:project runeberg|this (?:text|page) was (?:produced|scanned))"),
        _compile(r"runeberg"),
    ),
    _Library(
        "feedbooks",
        _compile(
            r"brought to you by feedbooks|feedbooks\.com"
            r"|^\W*copyright: (?:this work is available for|please read the legal notice)"
        ),
        _compile(r"^\W*loved this book\?"),
        _compile(r"feedbooks"),
    ),
    _Library(
        "ebooks@adelaide",
        _compile(r"ebooks@adelaide|ebooks\.adelaide\.edu\.au"),
        _compile(r"^\W*this web edition published by"),
        _compile(r"ebooks@adelaide"),
    ),
    _Library(
        "spiegel.de",
        _compile(r"gutenberg\.spiegel\.de|projekt gutenberg-de"),
        _compile(r"^[^\n]{0,80}(?:gutenberg\.spiegel\.de|projekt gutenberg-de)"),
        _compile(r"gutenberg"),
    ),
)


def remove_frames(text: str) -> str:
    """Return the text without the notices of the digital libraries whose words it has.

    Before the book only the paragraphs are removed that are notices, so that a title page between
    them stays. After it, everything from the first line of the colophon on is.

    Args:
        text: The text with LF line ends.
    """
    lowered = text.lower()
    for library in _LIBRARIES:
        if library.sign in lowered:
            text = _cut_back(_cut_front(text, library), library)
    return text


def _cut_front(text: str, library: _Library) -> str:
    cuts, is_cut = TextCuts(text), False
    for paragraph in PARAGRAPH.finditer(text, 0, min(_TOP_CHARS, int(_FRONT_SHARE * len(text)))):
        if len(paragraph[0]) <= _MAX_PARAGRAPH and library.front.search(paragraph[0]):
            cuts.cut(paragraph.start(), paragraph.end())
            is_cut = True
    return cuts.shorten().lstrip("\n") if is_cut else text


def _cut_back(text: str, library: _Library) -> str:
    for line in library.back.finditer(text, int(_END_SHARE * len(text))):
        if library.proof.search(text, line.start(), line.start() + _NEAR_CHARS):
            return text[: line.start()].rstrip() + "\n"
    return text
