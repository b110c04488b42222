"""A rerun with everything processed: 400 books on S3, a model that would summarize them.

The services are up. Each rerun follows a process that only imports the libraries of a run, so that
the ratio of their CPU times does not depend on the machine. The model server counts calls, and the
S3 server requests.
"""

from __future__ import annotations

import argparse
import json
import resource
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
from simulated import Server, server

ROUNDS = 9
REACH_S, REACH_RATIO = 1.5, 2.2
IMPORTS = "import boto3, hydra, opensearchpy, psutil, pyarrow.parquet"


def main() -> None:
    """Process the books once, then rerun and count what the rerun does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=400)
    books = parser.parse_args().books
    report = Report("rerun")
    requests: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory(prefix="raypipe-rerun-") as name,
        server("latency.base_s=0.01", "latency.sigma=0") as model,
    ):
        folder, data = Path(name), f"embedded.data={Path(name) / 'data'}"
        command = [sys.executable, "-m", "raypipe"]
        s3 = serve(requests)
        put_books(s3, books)
        subprocess.run([*command, "up", data], cwd=folder, env=environment(), check=True)
        try:
            args = [*command, "run", *options(s3, folder), data, "output=json"]
            first = json.loads(Watched(args, folder, model.environment()).wait())
            assert first["indexed"] == books, first
            assert model.stats()["answered"] >= books, "the model summarizes the books"
            requests.clear()
            model.reset()
            seconds, ratios, processes = rerun(args, folder, books, model)
            calls = model.stats()["answered"]
        finally:
            subprocess.run([*command, "down", data], cwd=folder, env=environment(), check=True)
    report.at_most("rerun_s", statistics.median(seconds), REACH_S, f"s, median of {ROUNDS}")
    report.at_most("rerun_to_imports", statistics.median(ratios), REACH_RATIO, "x CPU, median")
    report.at_most("object_gets", requests["object"], 0)
    report.at_most("model_calls", calls, 0)
    report.at_most("ray_processes", processes, 0)
    report.at_most("listing_requests_per_rerun", requests["listing"] / ROUNDS, 1)
    report.note("seconds", [round(value, 2) for value in seconds])
    report.note("ratios", [round(value, 2) for value in ratios])
    report.finish()


def options(s3: str, folder: Path) -> list[str]:
    """Return the options of the run."""
    return [
        "storage=s3", "storage.bucket=books", f"storage.endpoint_url={s3}",
        "storage.anonymous=true", "summarizer=bedrock", "embedder=hash",
        f"state.uri={folder / 'state'}", "scale=small", "examples=[]", "quota=none",
    ]  # fmt: skip


def rerun(
    args: list[str], folder: Path, books: int, model: Server
) -> tuple[list[float], list[float], int]:
    """Rerun a few times; return the seconds, their ratio to the imports, and Ray's processes."""
    seconds, ratios, seen = [], [], Counter[str]()
    for _ in range(ROUNDS):
        before = cpu_seconds()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        imports = cpu_seconds() - before
        began, before = time.monotonic(), cpu_seconds()
        watched = Watched(args, folder, model.environment())
        spy = Thread(target=spy_on_ray, args=(watched, seen), daemon=True)
        spy.start()
        record = json.loads(watched.wait())
        seconds.append(time.monotonic() - began)
        ratios.append((cpu_seconds() - before) / imports)
        assert (record["skipped"], record["listed"]) == (books, books), record
        say(f"rerun: {seconds[-1]:.2f} s, {ratios[-1]:.2f} times the imports")
    return seconds, ratios, seen["ray"]


def cpu_seconds() -> float:
    """Return the CPU time of all ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
