"""`ray up`, `ray submit`, `ray exec` and `ray down` with cluster.yaml, against moto's EC2.

moto invents public addresses that belong to somebody: nothing may ever connect to them. Stubs of
ssh, scp and rsync, first in PATH, write down what they are asked for and do nothing.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raypipe.run.executors.cluster_checks import max_launcher_cpus
from tests.unit.docs.pages import PAGES, fenced

ROOT = Path(__file__).parents[2]
RUN = (
    "run ray=cluster storage=s3 storage.bucket=my-books state.uri=s3://my-books/raypipe-state"
    " opensearch=self_managed opensearch.endpoint=https://search.example.org:9200"
)
LINES = {
    "token": "ray get-auth-token --generate",
    "up": "ray up cluster.yaml --yes",
    "exec": f"ray exec cluster.yaml 'raypipe {RUN}'",
    "submit": f"ray submit cluster.yaml raypipe/__main__.py {RUN}",
    "dashboard": "ray dashboard cluster.yaml",
    "down": "ray down cluster.yaml --yes",
}
JOB = f"RAY_AUTH_MODE=token ray job submit --address http://127.0.0.1:8265 -- raypipe {RUN}"
"""The lines of docs/guides/cluster.md; the job is submitted for real in test_cluster_attach.py."""

STUB = r"""#!/bin/sh
# Write name and arguments down, keep a file that would be sent, answer as Docker would.
line=$(printf '%s\037' "${0##*/}" "$@"); printf '%s\036' "$line" >> "$STUB_HOME/log"
for one; do source=$target; target=$one; done
case "${0##*/} $*" in
rsync*) if [ -f "$source" ]; then cp "$source" "$STUB_HOME/sent/${target##*/}"; fi ;;
*"docker run"*) touch "$STUB_HOME/container" ;;
*"command -v docker"*) echo /usr/bin/docker ;;
*Config.Env*) echo '["HOME=/home/ray"]' ;;
*"json .Mounts"*) echo '[]' ;;
*"printenv HOME"*) echo /home/ray ;;
*State.Running*) if [ -f "$STUB_HOME/container" ]; then echo true; fi ;;
*Config.Image*) sed -n 's/^ *image: //p' "$STUB_HOME/checkout/cluster.yaml" ;;
esac
"""


@dataclass
class Launcher:
    """Ray's cluster launcher where AWS is moto and no machine can be reached."""

    home: Path
    url: str

    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'stubs'}:{sysconfig.get_path('scripts')}:/usr/bin:/bin",
            "STUB_HOME": str(self.home),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "RAY_USAGE_STATS_ENABLED": "0",
            "TMPDIR": str(self.home / "tmp"),
        }

    def run(self, line: str) -> str:
        """Run a line of the guide in a checkout with a wheel, and return its output."""
        done = subprocess.run(
            shlex.split(line),
            cwd=self.home / "checkout",
            env=self.env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def calls(self, program: str) -> list[list[str]]:
        """Return what a stub was asked for."""
        records = (self.home / "log").read_text().split("\x1e")[:-1]
        calls = [record.rstrip("\x1f").split("\x1f") for record in records]
        return [args for name, *args in calls if name == program]

    def remote(self) -> list[str]:
        """Return the commands that would have been run on the machine."""
        return [args[-1] for args in self.calls("ssh")]

    def states(self) -> dict[str, str]:
        """Return the state of each machine by its id."""
        answer = self.client("ec2").describe_instances()
        machines = [one for group in answer["Reservations"] for one in group["Instances"]]
        return {one["InstanceId"]: one["State"]["Name"] for one in machines}

    def client(self, service: str) -> Any:
        import boto3

        client: Any = boto3.client  # its overloads know only literal names
        return client(
            service,
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """Return the URL of moto with all of AWS."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def launcher(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Return a launcher with stubs, a token, a wheel and the instance profiles."""
    made = Launcher(tmp_path_factory.mktemp("launcher"), aws)
    for name in ("stubs", "sent", "tmp", "checkout/dist"):
        (made.home / name).mkdir(parents=True)
    for name in ("ssh", "scp", "rsync"):
        stub = made.home / "stubs" / name
        stub.write_text(STUB)
        stub.chmod(0o755)
        found = shutil.which(name, path=made.env()["PATH"])
        assert found == str(stub), "nothing may reach a real one"
    for name in ("cluster.yaml", "constraints.txt", "raypipe"):
        (made.home / "checkout" / name).symlink_to(ROOT / name)
    (made.home / "checkout" / "dist" / "raypipe-0.0-py3-none-any.whl").write_text("a wheel")
    iam = made.client("iam")
    for name in ("raypipe-head", "raypipe-worker"):
        iam.create_instance_profile(InstanceProfileName=name)
    sockets = set(Path("/tmp").glob("ray_ssh_*")) | set(Path("/tmp").glob("ray_ssh_*/*"))
    yield made
    # Folders for ssh's sockets; Ray makes them there, whatever TMPDIR says.
    for pattern in ("ray_ssh_*/*", "ray_ssh_*"):
        for folder in set(Path("/tmp").glob(pattern)) - sockets:
            folder.rmdir()


def test_the_guide_has_these_lines_and_no_other() -> None:
    page = PAGES["docs/guides/cluster.md"]
    shown = {line for line in fenced(page) if re.match(r"(\w+=\S+ )?ray ", line)}
    assert shown == {*LINES.values(), JOB}


def test_ray_up_submit_and_down(launcher: Launcher) -> None:
    launcher.run(LINES["token"])
    launcher.run(LINES["up"])
    assert list(launcher.states().values()) == ["running"]
    came_up(launcher)
    launcher.run(LINES["exec"])
    assert f"raypipe {RUN}" in launcher.remote()[-1]
    launcher.run(LINES["submit"])
    assert f"python /home/ray/__main__.py {RUN}" in launcher.remote()[-1]
    launcher.run(LINES["dashboard"])
    assert "8265:localhost:8265" in launcher.calls("ssh")[-1]
    launcher.run(LINES["down"])
    assert set(launcher.states().values()) == {"terminated"}


def came_up(launcher: Launcher) -> None:
    """Check that the head was given everything, step by step, and that it may grow."""
    wanted = [
        "command -v docker",
        "/~/dist:/home/ray/dist ",
        "/.ray/auth_token:/home/ray/.ray/auth_token ",
        "--ulimit nofile=65536:65536 --shm-size=2g",
        "pip install --quiet -c /home/ray/constraints.txt",
        "ray stop",
        "export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0; ulimit -n 65536; ray start --head",
    ]
    remote = launcher.remote()
    for what in wanted:
        found = [number for number, line in enumerate(remote) if what in line]
        assert found, f"{what} was not asked for, or too early, in {remote}"
        remote = remote[found[0] :]
    token = (launcher.home / ".ray" / "auth_token").read_text()
    assert (launcher.home / "sent" / "auth_token").read_text() == token != ""
    wheel = [args[-2] for args in launcher.calls("rsync") if args[-1].endswith("/~/dist/")]
    assert wheel, launcher.calls("rsync")
    bootstrap = (launcher.home / "sent" / "ray_bootstrap_config.yaml").read_text()
    assert max_launcher_cpus(bootstrap) == 8 * 8, "8 workers of 8 cores, and none on the head"


def test_the_script_that_is_submitted_runs_where_it_is_put(tmp_path: Path) -> None:
    shutil.copy(ROOT / "raypipe" / "__main__.py", tmp_path)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "__main__.py"), "run", "ray=cluster", "--cfg", "job"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "address: auto" in done.stdout
