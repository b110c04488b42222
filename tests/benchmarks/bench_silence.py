"""The longest silence of a command, from Enter to its end, in six kinds of runs.

    python tests/benchmarks/bench_silence.py

Each command writes to pipes, as in a cron job: what it writes to stdout or stderr is a sign of
life. The first sign counts from the start of the process, the end from the last sign. The runs: a
first run without a model on each executor, slow model calls, a source that is slow to list, a
rerun with nothing to do, and a run that is stopped while calls are in flight. The last
line is one JSON object.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from bench_overhead import write_books as write_small_books  # noqa: E402
from processes import environment  # noqa: E402
from report import Report, say  # noqa: E402
from simulated import options, server, write_books  # noqa: E402

REACH_S, REACH_FIRST_S = 5.0, 2.0
LISTED = 100_000
STOP_AFTER_S = 20.0
"""Seconds until a run is stopped: the check took 12 s, and the first calls are in flight."""


@dataclass(frozen=True)
class Silence:
    """How long a command wrote nothing.

    Args:
        first_s: Seconds from the start to the first sign of life.
        longest_s: The longest silence, in seconds, those at the start and the end included.
        after: The line before the longest silence.
        wall_s: Seconds of the whole command.
    """

    first_s: float
    longest_s: float
    after: str
    wall_s: float


def main() -> None:
    """Run each kind and print."""
    report = Report("silence")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        write_small_books(folder / "many", LISTED)
        write_small_books(folder / "few", 2_000)
        write_books(folder / "large", {f"b{one}": (one, 5, 1_000) for one in range(4)})
        plain = ["embedder=hash", "summarizer=lead", "opensearch=none"]
        slow = ["latency.base_s=12", "latency.sigma=0"]
        model = ["summarizer.chunk_tokens=300", "quota=none", "quota.max_in_flight=4"]
        few, many = (
            [f"storage.path={folder / books}", "storage=local", *plain] for books in ("few", "many")
        )
        state = [f"state.uri={folder / 'first'}"]
        ray = [f"state.uri={folder / 'ray'}", "executor=ray", "ray.dashboard=false"]
        long_list = [f"state.uri={folder / 'many-state'}", "executor=local"]
        found = {
            "local_run": run(folder, [*few, *state, "executor=local"]),
            "nothing_to_do": run(folder, [*few, *state, "executor=local"]),
            "ray_run": run(folder, [*few, *ray]),
            "long_list": run(folder, [*many, *long_list]),
        }
        for kind, stop_after_s in (("slow_calls", None), ("stopped", STOP_AFTER_S)):
            with server(*slow) as models:
                given = [*options(folder / "large", folder / kind, *model), "executor=local"]
                env = models.environment()
                found[kind] = run(folder, [*given, "output=text"], env, stop_after_s)
    for kind, silence in found.items():
        report.note(f"{kind}_wall_s", silence.wall_s)
        report.note(f"{kind}_silence_s", silence.longest_s)
        report.note(f"{kind}_after", silence.after)
    longest_s = max(silence.longest_s for silence in found.values())
    report.at_most("longest_silence_s", longest_s, REACH_S, "s")
    first_s = max(silence.first_s for silence in found.values())
    report.at_most("latest_first_sign_s", first_s, REACH_FIRST_S, "s")
    report.finish()


def run(
    folder: Path,
    given: Sequence[str],
    env: Mapping[str, str] | None = None,
    stop_after_s: float | None = None,
) -> Silence:
    """Run a command, and return its silences."""
    command = [sys.executable, "-m", "raypipe", "run", *given]
    found = listen(command, folder, env or environment(), stop_after_s)
    say(f"{found.wall_s:.1f} s, silent for {found.longest_s:.1f} s after {found.after!r}")
    return found


def listen(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], stop_after_s: float | None
) -> Silence:
    """Run a command, and note when it writes.

    Raises:
        RuntimeError: It failed.
    """
    began = last = time.monotonic()
    longest, first, after, line, stopped = 0.0, None, "", "", stop_after_s is None
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(timeout=0.1):
                data = os.read(key.fd, 65_536)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                now = time.monotonic()
                first = now - began if first is None else first
                if now - last > longest:
                    longest, after = now - last, line
                last, line = now, data.decode(errors="replace").strip().splitlines()[-1]
            if not stopped and time.monotonic() - began > (stop_after_s or 0):
                stopped = True
                process.send_signal(signal.SIGINT)
    code = process.wait()
    ended = time.monotonic()
    if ended - last > longest:
        longest, after = ended - last, line
    if code and stop_after_s is None:
        raise RuntimeError(f"exit {code}: {json.dumps(line)}")
    return Silence(ended - began if first is None else first, longest, after, ended - began)


if __name__ == "__main__":
    main()
