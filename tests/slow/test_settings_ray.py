"""Parts beside a settings file reach Ray's workers, also from another working directory."""

from __future__ import annotations

from tests.integration.raypipe_command import Project
from tests.integration.test_settings_run import run_command, write_settings


def test_workers_import_parts_from_beside_the_file(project: Project) -> None:
    path = write_settings(project, executor="ray")
    assert path.parent != project.folder  # the commands start in the project's folder
    record = run_command(project, path, "run")
    assert (record["indexed"], record["failed"]) == (2, 0)
