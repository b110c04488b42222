"""No process outlives a command that is killed."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.integration.raypipe_command import PARTS, Project, wait_for


def test_no_process_outlives_a_killed_run_with_embedded_services(tmp_path: Path) -> None:
    project = Project(tmp_path, "", executor="ray")
    project.journal.hold("summarize", 0)
    process = project.start(
        "run",
        "summarizer=lead",
        f"summarizer._target_={PARTS}.JournalingSummarizer",
        f"+summarizer.journal={project.journal.folder}",
        "embedder=hash",
        "ray.dashboard=false",
        own_home=False,  # the jars of the embedded node are in the user's cache
    )
    try:
        wait_for(lambda: project.journal.count_waiting("summarize") or process.poll() is not None)
        assert process.poll() is None, project.stderr()
        command_lines = " ".join(" ".join(child.cmdline()[:6]) for child in project.processes())
        for program in ("java", "raylet", "guardian.py", "s3_server"):
            assert program in command_lines
        process.send_signal(signal.SIGKILL)
        process.wait()
        project.wait_until_processes_end()
    finally:
        process.kill()
        process.wait()
        project.kill_processes()
