"""Listing a bucket: keys a second through the real client, from pages that are ready.

A stub in a process of its own serves ListObjectsV2 pages that it made before, so the figure is
what this side costs: HTTP, XML, URL-decoding, and a `Book` with its id for each key. The CPU time
is compared with that of expat, which only checks the same pages, so that the ratio does not depend
on the machine. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, quote, urlsplit
from xml.parsers import expat

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402

KEYS_PER_PAGE = 1_000
REACH = 30_000
REACH_RATIO = 12
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>books</Name>'
    "<Prefix></Prefix><KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys>"
    "<EncodingType>url</EncodingType>"
)


def key(number: int) -> str:
    """Return a key like those of a real shelf: blanks, an accent, a folder."""
    return f"shelf {number // 5_000:03d}/The_Café_of_Lost_Maps,_{number:07d}__by__Ada Lark.txt"


def number_of(name: str) -> int:
    """Return the number of a key, which may be URL-encoded."""
    return int(re.findall(r"_(\d{7})__by__", name)[-1])


def size(number: int) -> int:
    """Return the bytes of a book."""
    return 40_000 + number % 1_000


def page(number: int, pages: int) -> bytes:
    """Return one page, as Amazon renders it."""
    more = number + 1 < pages
    token = f"<NextContinuationToken>{number + 1}</NextContinuationToken>" if more else ""
    entries = "".join(
        f"<Contents><Key>{quote(key(at))}</Key>"
        f"<LastModified>2026-{at % 12 + 1:02d}-07T08:{at % 60:02d}:11.000Z</LastModified>"
        f"<ETag>&quot;{at:032x}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
        f"<ChecksumType>FULL_OBJECT</ChecksumType><Size>{size(at)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for at in range(number * KEYS_PER_PAGE, (number + 1) * KEYS_PER_PAGE)
    )
    truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
    return f"{_HEAD}{truncated}{entries}{token}</ListBucketResult>".encode()


def serve(pages: int) -> None:
    """Serve the pages until stdin closes; the port is the first line of stdout."""
    ready = [page(number, pages) for number in range(pages)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = parse_qs(parts.query)
            body = ready[int(asked.get("continuation-token", ["0"])[0])]
            self.send_response(200)
            if name := parts.path.partition("/books/")[2]:
                number = number_of(name)
                body = (b"One book. " * 100_000)[: size(number)]
                self.send_header("ETag", f'"{number:032x}"')
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    os._exit(0)


@contextmanager
def stub(pages: int) -> Iterator[str]:
    """Run the stub; yields its URL."""
    command = [sys.executable, __file__, "--serve", "--pages", str(pages)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as own:
        assert own.stdin is not None
        assert own.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(own.stdout.readline())}"
        finally:
            own.stdin.close()


def listing(url: str, pages: int) -> tuple[float, float]:
    """List everything once; returns seconds by the clock and of this process's CPU."""
    from raypipe.sources.s3 import S3BookSource

    store = S3BookSource("books", endpoint_url=url, anonymous=True)
    store.check()  # the client is made and connected
    began, cpu = time.perf_counter(), time.process_time()
    count, last = 0, None
    for book in store.list_books():
        count, last = count + 1, book
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert count == pages * KEYS_PER_PAGE, count
    assert last is not None
    assert (last.key, last.size) == (key(count - 1), size(count - 1))
    return seconds, cpu


def check_by_expat(pages: int) -> float:
    """Return the microseconds of CPU a key in which expat checks pages."""
    bodies = [page(number, pages) for number in range(min(pages, 20))]
    cpu = time.process_time()
    for body in bodies:
        expat.ParserCreate("utf-8").Parse(body, True)
    return (time.process_time() - cpu) / len(bodies) / KEYS_PER_PAGE * 1e6


def main() -> None:
    """Run the benchmark; exit with 1 if the figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.pages)
        return
    keys = options.pages * KEYS_PER_PAGE
    report = Report("listing")
    rates, cpus = [], []
    with stub(options.pages) as url:
        for _ in range(options.rounds):
            seconds, cpu = listing(url, options.pages)
            rates.append(keys / seconds)
            cpus.append(cpu / keys * 1e6)
            say(f"{keys:,} keys in {seconds:.2f} s: {rates[-1]:,.0f} keys/s")
    report.at_least("keys_per_s", statistics.median(rates), REACH, "keys/s, median")
    expat_cpu = statistics.median(check_by_expat(options.pages) for _ in range(options.rounds))
    report.at_most("cpu_to_expat", statistics.median(cpus) / expat_cpu, REACH_RATIO, "x")
    report.note("keys_per_s_rounds", [round(rate) for rate in rates])
    report.note("cpu_us_per_key", statistics.median(cpus))
    report.note("keys", keys)
    report.finish()


if __name__ == "__main__":
    main()
