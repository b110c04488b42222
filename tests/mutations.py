"""Break rules on purpose, as a careless change would, and check that a test fails for each.

    python tests/mutations.py [--only TEXT] [--jobs 2]

`tests/mutation_list/` holds the mutations. The script copies the project to a temporary folder,
applies each mutation there, and runs only the tests that the mutation names. It prints a line for
each mutation, and last a JSON object. The exit code is 1 if a mutation survives, or if the tests
fail without any mutation.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
MUTATION_FOLDER = Path(__file__).parent / "mutation_list"

CAUGHT = "caught"
_PASSED = "passed"
_TEST_TIMEOUT_S = 60
_PROCESS_TIMEOUT_S = 300.0
# A test that fails like this says nothing about the rule: the mutation itself is invalid, or hangs.
_INVALID_FAILURE = re.compile(
    r" - (NameError|UnboundLocalError|ImportError|ModuleNotFoundError|SyntaxError)\b|Timeout \(>"
)


@dataclass(frozen=True)
class Mutation:
    """A change that breaks a rule.

    Args:
        area: Name of the file in `tests/mutation_list/`, without its ending.
        rule: The rule, in a sentence.
        file: Path of the source file, relative to the project.
        old: Whole lines of that file, without their common indentation; they occur there once.
        new: The lines that replace them.
        tests: Ids of the tests that must fail.
    """

    area: str
    rule: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, source: str) -> str:
        """Return the source with the rule broken.

        Raises:
            ValueError: The old lines do not occur exactly once.
        """
        lines, old = source.splitlines(), self.old.splitlines()
        starts = [
            start
            for start in range(len(lines) - len(old) + 1)
            if _dedent(lines[start : start + len(old)]) == old
        ]
        if len(starts) != 1:
            raise ValueError(f"the old lines occur {len(starts)} times in {self.file}")
        [start] = starts
        first = lines[start]
        indentation = " " * (len(first) - len(first.lstrip()))
        new = textwrap.indent(self.new, indentation).splitlines()
        return "\n".join([*lines[:start], *new, *lines[start + len(old) :], ""])


def _dedent(lines: Sequence[str]) -> list[str]:
    return textwrap.dedent("\n".join(lines)).splitlines()


def load_mutations(folder: Path = MUTATION_FOLDER) -> list[Mutation]:
    """Return the mutations of all YAML files in a folder."""
    return [
        _parse_mutation(file.stem, entry)
        for file in sorted(folder.glob("*.yaml"))
        for entry in yaml.safe_load(file.read_text(encoding="utf-8"))
    ]


def _parse_mutation(area: str, entry: Mapping[str, Any]) -> Mutation:
    tests = entry["tests"]
    return Mutation(
        area=area,
        rule=entry["rule"],
        file=entry["file"],
        old=entry["old"].rstrip("\n"),
        new=entry["new"].rstrip("\n"),
        tests=(tests,) if isinstance(tests, str) else tuple(tests),
    )


def copy_project(root: Path, target: Path) -> None:
    """Copy the files that git tracks or would track; modification times stay."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def run_tests(folder: Path, tests: Iterable[str], *, write_bytecode: bool = False) -> str:
    """Run tests in a copy of the project until the first failure.

    Args:
        folder: The copy.
        tests: Ids of the tests.
        write_bytecode: Whether to write bytecode of the modules. Never do so for a mutated module:
            bytecode is recognized by the time of the module in seconds, and would be used later.

    Returns:
        `passed`; `caught` if a test failed; else the problem that kept the tests from ending.
    """
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider"),
        # Not the project's own options, which may spread the tests over processes.
        *("-o", "addopts=--import-mode=importlib", f"--timeout={_TEST_TIMEOUT_S}"),
        *("--timeout-method=signal", *tests),
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "400"}
    environment.pop("PYTEST_ADDOPTS", None)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if not write_bytecode:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PROCESS_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the tests took longer than {_PROCESS_TIMEOUT_S:.0f} s"
    return _read_outcome(done.returncode, done.stdout)


def _read_outcome(exit_code: int, output: str) -> str:
    if exit_code == 0:
        return _PASSED
    failures = re.findall(r"^FAILED .*$", output, re.MULTILINE)
    errors = re.findall(r"^ERROR .*$", output, re.MULTILINE)
    if exit_code == 1 and failures and not errors and not _INVALID_FAILURE.search(failures[0]):
        return CAUGHT
    last_lines = " | ".join(output.strip().splitlines()[-3:])
    return (errors + failures or [f"pytest ended with {exit_code}: {last_lines}"])[0]


def check_mutation(mutation: Mutation, folder: Path) -> str:
    """Apply a mutation in a copy of the project, run its tests, and restore the file.

    Returns:
        `caught`, or why the mutation was not caught.
    """
    path = folder / mutation.file
    original, times = path.read_bytes(), path.stat()
    try:
        path.write_text(mutation.apply(original.decode()), encoding="utf-8")
        outcome = run_tests(folder, mutation.tests)
    except ValueError as error:
        return str(error)
    finally:
        path.write_bytes(original)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return "survived: the tests pass" if outcome == _PASSED else outcome


def check_all(
    mutations: Sequence[Mutation],
    root: Path = ROOT,
    jobs: int = 2,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Check mutations, with a copy of the project for each job.

    Args:
        mutations: The mutations.
        root: The project.
        jobs: Number of mutations to check at the same time.
        report: Receives a line for each mutation.

    Returns:
        The result: `mutations` and `caught` are counts, `survived` lists rules, and `ok` says
        whether all mutations were caught.
    """
    result = {"mutations": len(mutations), "caught": 0, "survived": list[str](), "ok": False}
    with tempfile.TemporaryDirectory(prefix="mutations-") as temporary:
        first = Path(temporary, "0")
        copy_project(root, first)
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        outcome = run_tests(first, tests, write_bytecode=True)
        if outcome != _PASSED:
            report(f"the tests do not pass without a mutation: {outcome}")
            return result
        folders: queue.SimpleQueue[Path] = queue.SimpleQueue()
        folders.put(first)
        for number in range(1, jobs):
            folders.put(shutil.copytree(first, Path(temporary, str(number))))

        def check(mutation: Mutation) -> str:
            folder, started = folders.get(), time.monotonic()
            try:
                outcome = check_mutation(mutation, folder)
            finally:
                folders.put(folder)
            seconds = time.monotonic() - started
            state = CAUGHT if outcome == CAUGHT else "MISSED"
            report(f"{state} {seconds:5.1f} s  {mutation.area}: {mutation.rule}")
            if outcome != CAUGHT:
                report(f"    {mutation.file}: {outcome}")
            return outcome

        pool = ThreadPoolExecutor(jobs)
        try:
            outcomes = list(pool.map(check, mutations))
        finally:
            pool.shutdown(cancel_futures=True)
    missed = [
        mutation.rule
        for mutation, outcome in zip(mutations, outcomes, strict=True)
        if outcome != CAUGHT
    ]
    caught = len(mutations) - len(missed)
    return {**result, "caught": caught, "survived": missed, "ok": not missed}


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the mutations that the arguments select; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="only mutations with this text")
    parser.add_argument("--jobs", type=int, default=2, help="mutations to check at the same time")
    options = parser.parse_args(arguments)
    wanted = options.only.lower()
    mutations = [
        mutation
        for mutation in load_mutations()
        if wanted in f"{mutation.area}: {mutation.rule} {mutation.file}".lower()
    ]
    if not mutations:
        parser.error(f"no mutation has the text {options.only!r}")
    result = check_all(mutations, jobs=options.jobs, report=lambda line: print(line, flush=True))
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
