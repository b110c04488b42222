"""Nothing outlives a command, whatever ends it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.running import PARTS, Project, wait_for

pytestmark = pytest.mark.integration


def test_nothing_lives_on_after_kill_9_of_a_run_with_embedded_services(tmp_path: Path) -> None:
    project = Project(tmp_path, "")
    project.notes.hold("summarize", 0)
    process = project.start(
        "run",
        "summarizer=lead",
        f"summarizer._target_={PARTS}.NotingSummarizer",
        f"+summarizer.notes={project.notes.folder}",
        "embedder=hash",
        "ray.dashboard=false",
        own_home=False,  # the downloads of the embedded node are in the person's cache
    )
    try:
        wait_for(lambda: project.notes.waiting("summarize") or process.poll() is not None)
        assert process.poll() is None, project.stderr()
        names = " ".join(" ".join(one.cmdline()[:6]) for one in project.processes())
        for part in ("java", "raylet", "guardian.py", "s3_server"):
            assert part in names
        process.send_signal(signal.SIGKILL)
        process.wait()
        project.wait_until_ended()
    finally:
        process.kill()
        process.wait()
        project.end_processes()
