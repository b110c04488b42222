"""How many calls a second the model server answers: Converse, 256 in flight, a chunk of text each.

The client is another process, plain sockets without boto3, so that the server is the limit. Then
the same with a slow model: what holding 256 calls costs. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import subprocess
import sys
import time
from urllib.parse import urlsplit

from processes import environment
from report import ROOT, Report

CHUNK_TOKENS = 1_000
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
REACH = 0.95


def request(number: int, book: str) -> bytes:
    """Return the bytes of a Converse call with a prompt of its own."""
    text = f"Summarize in at most 100 words.\n<book>\nPart {number}. {book}\n</book>"
    message = {"role": "user", "content": [{"text": text}]}
    body = json.dumps({"messages": [message], "inferenceConfig": {"maxTokens": 400}}).encode()
    head = "POST /model/us.amazon.nova-lite-v1%3A0/converse HTTP/1.1\r\nHost: x\r\n"
    return f"{head}Authorization: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def caller(host: str, port: int, book: str, numbers: range, until: float) -> int:
    """Make one call after another over one connection; returns how many were answered."""
    reader, writer = await asyncio.open_connection(host, port)
    done = 0
    for number in numbers:
        if time.monotonic() >= until:
            break
        writer.write(request(number, book))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        found = LENGTH.search(head)
        assert found is not None
        await reader.readexactly(int(found[1]))
        done += 1
    writer.close()
    return done


async def load(url: str, calls: int, seconds: float) -> float:
    """Keep this many calls in flight; returns the calls a second."""
    place = urlsplit(url)
    samples = ROOT / "raypipe" / "embedded" / "samples"
    book = (samples / "stovepipe-lookout-diary.txt").read_text()[: CHUNK_TOKENS * 4]
    began = time.monotonic()
    ranges = [range(at * 10**6, (at + 1) * 10**6) for at in range(calls)]
    jobs = [
        caller(str(place.hostname), place.port or 0, book, one, began + seconds) for one in ranges
    ]
    done = sum(await asyncio.gather(*jobs))
    return done / (time.monotonic() - began)


def measure(latency_s: float, calls: int, seconds: float) -> tuple[float, float]:
    """Return calls a second, and the share of a core that the server took."""
    command = [sys.executable, "-m", "raypipe", "simulate", "port=0"]
    options = [f"latency.base_s={latency_s}", "latency.sigma=0"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, env=environment(), text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        try:
            rate = asyncio.run(load(url, calls, seconds))
        finally:
            process.terminate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return rate, used / seconds


def main() -> None:
    """Run the benchmark; exit with 1 if a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    report = Report("model_server")
    for name, latency_s in (("fast", 0.05), ("slow", 2.0)):
        rate, share = measure(latency_s, args.calls, args.seconds)
        report.note(f"{name}_calls_s", rate)
        report.note(f"{name}_server_cores", share)
        if name == "slow":
            # Calls that the end of the measurement met half-way are waited for, and counted.
            ideal = args.calls / latency_s
            report.at_least("slow_share_of_ideal", rate / ideal, REACH)
    report.finish()


if __name__ == "__main__":
    main()
