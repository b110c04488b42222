"""A rerun with everything processed: 2,500 books on S3, services up."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

from processes import Watched, environment
from report import Report, say

ROUNDS = 5


def main() -> None:
    """Process the books once, then rerun and count what the rerun does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=2_500)
    books = parser.parse_args().books
    report = Report("rerun")
    requests: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="raypipe-rerun-") as name:
        folder, data = Path(name), f"embedded.data={Path(name) / 'data'}"
        command = [sys.executable, "-m", "raypipe"]
        s3 = serve(requests)
        put_books(s3, books)
        subprocess.run([*command, "up", data], cwd=folder, env=environment(), check=True)
        try:
            args = [*command, "run", *options(s3, folder), data, "output=json"]
            first = json.loads(Watched(args, folder, environment()).wait())
            assert first["indexed"] == books, first
            requests.clear()
            seconds, started = rerun(args, folder, books)
        finally:
            subprocess.run([*command, "down", data], cwd=folder, env=environment(), check=True)
    report.at_most("rerun_s", statistics.median(seconds), 4, f"s, median of {ROUNDS}")
    report.at_most("object_gets", requests["object"], 0)
    report.at_most("model_calls", started["model_calls"], 0)
    report.at_most("ray_processes", started["ray"], 0)
    report.note("listing_requests_per_rerun", requests["listing"] / ROUNDS)
    report.note("seconds", [round(one, 2) for one in seconds])
    report.finish()


def options(s3: str, folder: Path) -> list[str]:
    """Return the options of the run: hash embedder, since nothing is embedded in a rerun."""
    return [
        "storage=s3", "storage.bucket=books", f"storage.endpoint_url={s3}",
        "storage.anonymous=true", "summarizer=lead", "embedder=hash",
        f"state.uri={folder / 'state'}", "scale=large", "examples=[]",
    ]  # fmt: skip


def rerun(args: list[str], folder: Path, books: int) -> tuple[list[float], Counter[str]]:
    """Rerun a few times; returns the seconds, and the model calls and Ray processes seen."""
    seconds, seen = [], Counter[str]()
    for _ in range(ROUNDS):
        began = time.monotonic()
        watched = Watched(args, folder, environment())
        spy = Thread(target=spy_on_ray, args=(watched, seen), daemon=True)
        spy.start()
        record = json.loads(watched.wait())
        seconds.append(time.monotonic() - began)
        assert (record["skipped"], record["listed"]) == (books, books), record
        seen["model_calls"] += record["model_calls"]
        say(f"rerun: {seconds[-1]:.2f} s")
    return seconds, seen


def spy_on_ray(watched: Watched, seen: Counter[str]) -> None:
    """Count processes of Ray among what the command started."""
    while watched.process.poll() is None:
        names = [process.name() for process in watched.alive()]
        seen["ray"] += sum(name in ("raylet", "gcs_server") or "ray::" in name for name in names)
        time.sleep(0.2)


def serve(requests: Counter[str]) -> str:
    """Start an S3 server in this process that counts requests; returns its URL."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app = DomainDispatcherApplication(create_backend_app)

    def counted(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        parts = environ["PATH_INFO"].strip("/").split("/")
        if environ["REQUEST_METHOD"] == "GET":
            requests["object" if len(parts) > 1 and parts[1] else "listing"] += 1
        answer: Iterable[bytes] = app(environ, start)
        return answer

    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, counted, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def put_books(s3: str, books: int) -> None:
    """Put small books that anybody may read."""
    from raypipe.core.s3 import S3Connection

    say(f"putting {books:,} books")
    client = S3Connection(endpoint_url=s3, anonymous=True).client()
    client.create_bucket(Bucket="books", ACL="public-read-write")

    def put(number: int) -> None:
        text = f"The small book {number} tells of a lamp, a harbor and the number {number}. " * 14
        client.put_object(
            Bucket="books", Key=f"{number:06d}.txt", Body=text.encode(), ACL="public-read"
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(books)))


if __name__ == "__main__":
    main()
