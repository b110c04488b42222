"""The structure stays small: few modules see the job, and no wide object travels far."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "structure.py"
LIMITS = {
    "root_modules": 0,
    "functions_that_take_the_job": 8,
    "wide_objects_passed_to_more_than_8": 0,
    "files_the_job_enters": 15,
    "largest_module_lines": 300,
    "median_module_lines": 120,
}


@cache
def measure(root: Path) -> dict[str, int]:
    command = [sys.executable, str(SCRIPT), str(root)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, int] = json.loads(result.stdout)
    return figures


@pytest.mark.parametrize("name", LIMITS)
def test_a_figure_is_within_its_limit(name: str) -> None:
    figures = measure(SCRIPT.parents[1])
    assert figures[name] <= LIMITS[name], figures


def test_the_script_sees_what_it_counts(tmp_path: Path) -> None:
    sources = {
        "__init__": "",
        "alone": "",
        "run/__init__": "",
        "run/job": "@dataclass\nclass Job:\n" + "".join(f"    f{i}: int\n" for i in range(11)),
        "run/runner": """
            from raypipe.run import deep
            from raypipe.run.job import Job
            from raypipe.run.parts import Holder, use
            def run(job: Job):
                part = job.f1
                use(part)
                holder = Holder(job.f2)
                holder.hold_on()
                job.f3.never_followed()
                deep.dive(other, job=job)
                unrelated.skip(1)
            """,
        "run/parts": """
            from raypipe.run.far import fetch
            def use(part): return 1
            class Holder:
                def __init__(self, part): self.part = part
                def hold_on(self): fetch(self.part)
                def never_called(self): unrelated()
            """,
        "run/far": "def fetch(value): pass",
        "run/deep": """
            from raypipe.run import bottom
            def dive(a, job: Job | None): bottom.touch(*[1], value=job); bottom.pass_by(a)
            """,
        "run/bottom": "def touch(value): pass\ndef pass_by(value): pass",
        "run/unrelated": """
            class Other:
                def never_followed(self): pass
            def takes(jobs: list[Job], name: 'Job'): pass
            """,
    }
    for name, source in sources.items():
        path = tmp_path / "raypipe" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.replace("\n            ", "\n").lstrip("\n") + "\n")
    figures = measure(tmp_path)
    assert figures["root_modules"] == 1
    assert figures["modules"] == len(sources)
    assert figures["functions_that_take_the_job"] == 3
    assert figures["functions_that_take_wide_objects"] == {"Job": 3}
    assert figures["files_the_job_enters"] == 4, "runner, parts, deep, bottom"
