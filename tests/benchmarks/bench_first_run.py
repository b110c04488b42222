"""From a fresh clone to the first search hit, downloads included; then a second time.

Needs the network once: every cache is a new, empty folder. `make` sets up .venv by itself.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from processes import Watched
from report import ROOT, Report, say

GIGABYTE = 1024**3
FIRST_HIT = "1. The Lamp on Harrow Point"


def main() -> None:
    """Clone, make run twice, and measure time and memory."""
    report = Report("first_run")
    with tempfile.TemporaryDirectory(prefix="raypipe-first-") as name:
        folder = Path(name)
        clone = folder / "raypipe"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        env = fresh_environment(folder)
        first, peak, names = run(clone, env)
        second, again, _ = run(clone, env)
        report.at_most("first_run_s", first, 180, "s, fresh clone to the end of the searches")
        report.at_most("second_run_s", second, 30, "s")
        report.at_most("peak_memory_gb", max(peak, again) / GIGABYTE, 4, "GiB PSS")
        report.note("peak_memory_mb_by_program", {key: value >> 20 for key, value in names.items()})
    report.finish()


def fresh_environment(folder: Path) -> dict[str, str]:
    """Return an environment whose caches are all empty folders."""
    caches = {
        "HOME": folder / "home",
        "XDG_CACHE_HOME": folder / "cache",
        "RAYPIPE_CACHE": folder / "cache" / "raypipe",
        "PIP_CACHE_DIR": folder / "cache" / "pip",
        "UV_CACHE_DIR": folder / "cache" / "uv",
    }
    for path in caches.values():
        path.mkdir(parents=True, exist_ok=True)
    inherited = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    return {**inherited, **{key: str(path) for key, path in caches.items()}}


def run(clone: Path, env: dict[str, str]) -> tuple[float, int, dict[str, int]]:
    """Run `make run`; returns seconds, peak bytes, and peak bytes by program."""
    began = time.monotonic()
    watched = Watched(["make", "run"], clone, env)
    out = watched.wait()
    seconds = time.monotonic() - began
    if FIRST_HIT not in out:
        raise RuntimeError(f"the first search did not find its book: {out[-2000:]}")
    left = [process.name() for process in watched.alive()]
    if left:
        raise RuntimeError(f"left running: {left}")
    say(f"make run: {seconds:.1f} s")
    return seconds, watched.peak_bytes, watched.peak_processes


if __name__ == "__main__":
    main()
