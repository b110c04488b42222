"""Joining a cluster that `ray start` made, as `ray=cluster` does, and what keeps one out."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.integration.raypipe_command import TIMEOUT_S, Project, check_balance, wait_for
from tests.integration.s3_server import CountingS3Server
from tests.integration.test_settings_run import OWN_PARTS
from tests.slow.ray_head import BOOKS, Head, keep_token, on_s3, ray_head
from tests.slow.test_ray_up import JOB

IN_ONE_LINE_S = 90.0
"""Ray itself tries for minutes."""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head() as made:
        yield made


def test_it_joins_what_ray_start_started(
    project: Project, s3: CountingS3Server, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_token(project, head.token)
    monkeypatch.setenv("RAY_ADDRESS", head.address)  # what `auto` looks at first
    record = json.loads(project.command("run", *on_s3(project, s3), "ray.address=auto"))
    check_balance(record)
    assert record["finished"] == BOOKS
    assert any(process.name() == "gcs_server" for process in head.processes()), "left running"


def refused(project: Project, *args: str, code: int) -> str:
    """Return the one line that a run says which cannot begin."""
    began = time.monotonic()
    project.command("run", *args, code=code)
    assert time.monotonic() - began < IN_ONE_LINE_S
    said = [line for line in project.stderr().splitlines() if line.startswith("raypipe: ")]
    assert len(said) == 1, project.stderr()
    assert "Traceback" not in project.stderr()
    return said[0]


def test_without_the_token_it_says_what_to_do(
    project: Project, s3: CountingS3Server, head: Head
) -> None:
    args = [*on_s3(project, s3), f"ray.address={head.address}"]
    said = refused(project, *args, code=1)
    assert "there is no token here" in said
    assert "~/.ray/auth_token" in said


def test_a_wrong_address_is_one_line(project: Project, s3: CountingS3Server) -> None:
    args = on_s3(project, s3)
    said = refused(project, *args, "ray.address=127.0.0.1:9", code=1)
    assert "no Ray cluster answers at ray.address=127.0.0.1:9" in said
    said = refused(project, *args, "ray.address=ray://127.0.0.1:9", code=1)
    assert "ray job submit" in said


def test_what_only_this_machine_has_is_refused_by_name(project: Project) -> None:
    said = refused(project, *project.run_options("opensearch=none", "ray=cluster"), code=2)
    assert f"state.uri={project.state}" in said
    assert "s3://" in said
    said = refused(project, "ray=cluster", "state.uri=s3://b/state", code=2)
    assert "storage.endpoint_url=embedded" in said


RUNTIME_ENV = json.dumps(
    {"env_vars": {"THEIRS": "1"}, "worker_process_setup_hook": "faulthandler.enable"}
)
CHECKED = """
    def check(self) -> None:
        import faulthandler, os
        assert os.environ["THEIRS"] == "1"
        if "raypipe_own_parts" in __file__:
            assert faulthandler.is_enabled()
"""


def test_a_job_is_submitted(project: Project, s3: CountingS3Server, head: Head) -> None:
    """The job's own runtime environment and raypipe's are merged."""
    settings = project.folder / "project" / "raypipe.yaml"
    settings.parent.mkdir()
    settings.write_text("summarizer: lead\n")
    (settings.parent / "own_parts_of_job.py").write_text(OWN_PARTS + CHECKED)
    args = [
        *on_s3(project, s3),
        f"ray.temp_dir={project.folder}",
        f"--settings={settings}",
        "summarizer._target_=own_parts_of_job.OwnSummarizer",
    ]
    mode, *line = shlex.split(JOB)
    command = line[: line.index("raypipe") + 1]
    command[command.index("--") : command.index("--")] = ["--runtime-env-json", RUNTIME_ENV]
    command[command.index("--address") + 1] = f"http://127.0.0.1:{head.dashboard}"
    wait_for(lambda: _listens(head.dashboard))
    env = {**head.env(), **dict([mode.split("=")])}

    def submit() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "run", *args], cwd=project.folder, env=env, capture_output=True, text=True
        )

    done = submit()
    end = time.monotonic() + TIMEOUT_S
    # Where cores are busy, the node's agent registers some time after the port is open.
    while "No available agent" in done.stderr and time.monotonic() < end:
        time.sleep(1)
        done = submit()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'"finished": {BOOKS}' in done.stdout
