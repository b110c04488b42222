"""Make small books in several formats."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

PARAGRAPH = "The keeper lit the lamp and looked at the sea, because nobody had come for a week."

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="OEBPS/book.opf" '
    'media-type="application/oebps-package+xml"/></rootfiles></container>'
)
METADATA = (
    "<dc:title>The Lamp</dc:title><dc:creator>Ada Keeper</dc:creator>"
    "<dc:language>en</dc:language><dc:date>1901</dc:date><dc:subject>Sea stories</dc:subject>"
)


def make_zip(files: Mapping[str, str | bytes]) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            method = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(name, data, method)
    return buffer.getvalue()


def make_chapter(title: str, body: str = "") -> str:
    """Return a chapter in XHTML."""
    paragraphs = body or f"<p>{PARAGRAPH}</p>" * 8
    return (
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml" '
        'xmlns:epub="http://www.idpf.org/2007/ops">'
        f"<head><title/></head><body><h2>{title}</h2>{paragraphs}</body></html>"
    )


def make_package(
    chapters: Mapping[str, str],
    metadata: str = METADATA,
    items: str = "",
    spine: str = "",
    guide: str = "",
) -> str:
    """Return a package document whose spine is the chapters.

    Args:
        chapters: Ids and paths.
        metadata: Elements of the metadata.
        items: Further items of the manifest.
        spine: Further references of the spine, which come first.
        guide: References of the guide.
    """
    manifest = "".join(
        f'<item id="{name}" href="{path}" media-type="application/xhtml+xml"/>'
        for name, path in chapters.items()
    )
    references = "".join(f'<itemref idref="{name}"/>' for name in chapters)
    return (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/" '
        f'xmlns:opf="http://www.idpf.org/2007/opf">{metadata}</metadata>'
        f"<manifest>{manifest}{items}</manifest><spine>{spine}{references}</spine>"
        f"<guide>{guide}</guide></package>"
    )


def make_epub(files: Mapping[str, str | bytes] | None = None, package: str = "") -> bytes:
    """Return an EPUB with two chapters, whose files may be replaced or completed."""
    package = package or make_package({"one": "one.xhtml", "two": "sub/two.xhtml"})
    return make_zip(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "OEBPS/book.opf": package,
            "OEBPS/one.xhtml": make_chapter("CHAPTER I"),
            "OEBPS/sub/two.xhtml": make_chapter("CHAPTER II"),
            **(files or {}),
        }
    )


_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
STYLES = (
    f'<w:styles {_WORD}><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:styleId="Verz"><w:name w:val="toc 1"/></w:style></w:styles>'
)
PROPERTIES = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/'
    'core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:dcterms="http://purl.org/dc/terms/"><dc:title>The Lamp</dc:title>'
    "<dc:creator>Ada Keeper</dc:creator><dc:language>en-GB</dc:language>"
    "<dcterms:created>1901-02-03T00:00:00Z</dcterms:created></cp:coreProperties>"
)


def run(text: str) -> str:
    """Return a run of a Word document."""
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(content: str, style: str = "") -> str:
    """Return a paragraph of a Word document."""
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}{content}</w:p>"


def make_docx(*paragraphs: str) -> bytes:
    """Return a Word document."""
    body = f"<w:document {_WORD}><w:body>{''.join(paragraphs)}</w:body></w:document>"
    files = {"word/document.xml": body, "word/styles.xml": STYLES, "docProps/core.xml": PROPERTIES}
    return make_zip({"[Content_Types].xml": "<Types/>", **files})


def make_pdf(pages: Sequence[Sequence[tuple[float, float, str]]], title: str = "") -> bytes:
    """Return a PDF file in Helvetica.

    Args:
        pages: Position in points and ASCII text of each line, by page.
        title: Title of the document.
    """
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 "]
    objects[2] += "/BaseFont /Helvetica >>"
    kids = []
    for lines in pages:
        texts = "\n".join(f"1 0 0 1 {x:g} {y:g} Tm ({text}) Tj" for x, y, text in lines)
        stream = f"BT /F1 10 Tf\n{texts}\nET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {len(objects)} 0 R >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< /Title ({title}) /Author (Ada Keeper) /CreationDate (D:19010203) >>")
    data, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{text}\nendobj\n".encode("ascii")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>"
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode("ascii")
    return data + f"trailer\n{trailer}\nstartxref\n{start}\n%%EOF\n".encode("ascii")
