"""Do 24 blind descriptions find their books? Eight real books, in pieces and whole.

The books are not part of the project: --books FOLDER names them. Their descriptions were
written and committed before the first search (descriptions.yaml).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from descriptions import check_against, load_descriptions
from processes import environment
from report import Report, parse_books_folder, say

WORDS = 10_000
TOP = 3


def main() -> None:
    """Index pieces, whole books and samples together; search with every description."""
    source = parse_books_folder(__doc__)
    report = Report("retrieval")
    with tempfile.TemporaryDirectory(prefix="raypipe-retrieval-") as name:
        folder = Path(name)
        owners = lay_out(source, folder / "books")
        options = [f"embedded.data={folder / 'data'}"]
        command = [sys.executable, "-m", "raypipe"]
        subprocess.run([*command, "up", *options], cwd=folder, env=environment(), check=True)
        try:
            record = index(command, options, folder)
            found = search_all(source, owners, command, options, folder)
        finally:
            subprocess.run([*command, "down", *options], cwd=folder, env=environment(), check=True)
    report.note("books_and_pieces", len(owners))
    report.note("indexed", record["indexed"])
    report.note("not_found", [text for text, rank in found.items() if not rank])
    report.at_least("found_in_top_3", sum(1 for rank in found.values() if rank), 18, "of 24")
    report.finish()


def lay_out(source: Path, target: Path) -> dict[str, str]:
    """Write whole books, pieces of 10,000 words, and the samples; returns each key's book."""
    from raypipe.embedded.sample_books import find_sample_books
    from raypipe.text import TextCleaner

    target.mkdir()
    owners: dict[str, str] = {}
    for path in sorted(source.glob("*.txt")):
        data = path.read_bytes()
        owners[path.name] = path.name
        (target / path.name).write_bytes(data)
        # Pieces of the clean text under numbers: neither a header nor a name tells the book.
        words = re.findall(r"\S+\s*", TextCleaner().clean(data, path.name).text)
        for at in range(0, len(words), WORDS):
            name = f"piece-{len(owners):04d}.txt"
            owners[name] = path.name
            (target / name).write_text("".join(words[at : at + WORDS]))
    for key, path in find_sample_books().items():
        (target / key.replace("/", "-")).write_bytes(path.read_bytes())
    return owners


def index(command: list[str], options: list[str], folder: Path) -> dict[str, int]:
    """Run the job with its defaults over the folder."""
    args = ["storage=local", f"storage.path={folder / 'books'}", "output=json"]
    done = subprocess.run(
        [*command, "run", *options, *args, f"state.uri={folder / 'state'}"],
        cwd=folder, env=environment(), check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    record: dict[str, int] = json.loads(done.stdout)
    return record


def search_all(
    source: Path, owners: dict[str, str], command: list[str], options: list[str], folder: Path
) -> dict[str, int]:
    """Return the rank of each description's book, or 0 where it is not in the top 3."""
    ranks = {}
    for entry in load_descriptions():
        body = read(source / entry.book)
        for text in entry.descriptions:
            broken = check_against(body, text)
            if broken:
                raise SystemExit(f"{text!r} breaks the rules: {broken}")
            done = subprocess.run(
                [*command, "search", text, f"limit={TOP}", "output=json", *options],
                cwd=folder, env=environment(), check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            hits = json.loads(done.stdout)["hits"]
            mine = [hit["rank"] for hit in hits if owners.get(hit["key"]) == entry.book]
            ranks[text] = min(mine, default=0)
            say(f"{ranks[text] or '-'}  {entry.book[:24]:<24} {text}")
    return ranks


def read(path: Path) -> str:
    """Return a book's text."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


if __name__ == "__main__":
    main()
