"""Analyze the finished documents with SQL; `pip install 'raypipe[examples]'` installs DuckDB.

    python examples/quickstart.py
    python examples/analysis_duckdb.py

`raypipe.read_documents` returns an Arrow table with each book once. For a state that does not fit
into memory, let DuckDB read the file that `raypipe export to=books.parquet` writes.
"""

from __future__ import annotations

import duckdb

import raypipe

LONGEST = "SELECT title, words FROM books ORDER BY words DESC, title LIMIT 3"

SIMILAR = """
    SELECT a.title, b.title,
        list_cosine_similarity(a.summary_vector, b.summary_vector) AS similarity
    FROM books a JOIN books b ON a.book_id < b.book_id AND a.embedder = b.embedder
    ORDER BY similarity DESC, a.title LIMIT 3
"""


def main() -> None:
    """Print the longest books, and the books that are most alike."""
    columns = ["book_id", "title", "words", "embedder", "summary_vector"]
    connection = duckdb.connect()
    connection.register("books", raypipe.read_documents(columns=columns))
    for title, words in connection.execute(LONGEST).fetchall():
        print(f"{words:>9,} words  {title}")
    for first, second, similarity in connection.execute(SIMILAR).fetchall():
        print(f"{similarity:9.3f}        {first} / {second}")


if __name__ == "__main__":
    main()
