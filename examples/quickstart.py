"""Index the sample books, then find some by a description.

    python examples/quickstart.py

Beside a `raypipe.yaml` (`raypipe init`), the same lines index your own books. Without it, raypipe
starts an OpenSearch node and an S3 server for each call; `raypipe.up()` leaves them running.
"""

from __future__ import annotations

import raypipe


def main() -> None:
    """Run, search, and show what the ledger recorded."""
    result = raypipe.run()
    print(f"{result.listed} books: {result.indexed} indexed, {result.skipped} done before")
    for failure in raypipe.failures():
        print(f"{failure.key}: {failure.message}. {failure.advice}")
    for hit in raypipe.search("two old friends fall out over a lighthouse", limit=3):
        print(f"{hit.rank}. {hit.title} ({hit.author or 'unknown author'}), {hit.key}")


if __name__ == "__main__":
    main()
