"""Metrics of a real run: Ray exports all of them, and Prometheus answers the queries."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from raypipe import embedded
from raypipe.metrics.catalog import METRICS
from raypipe.metrics.dashboards import GRAFANA, PROMETHEUS, RULES
from raypipe.simulator.options import FaultOptions, LatencyOptions
from tests.integration.raypipe_command import Project, wait_for
from tests.unit.models_here import model_server

BOOKS = 300
SAMPLES = sorted((Path(embedded.__file__).parent / "samples").glob("*__by__*.txt"))[:4]
EXPORTED = {metric.exported_name for metric in METRICS}
NEEDS_PROMETHEUS = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="prometheus is not installed: apt-get install prometheus",
)


@dataclass(frozen=True)
class Run:
    """A run that works, with the files of `raypipe dashboards`.

    Args:
        project: The project.
        url: Where its metrics are.
        dashboards: Folder of the dashboards.
        sessions: Folder of Ray's sessions.
    """

    project: Project
    url: str
    dashboards: Path
    sessions: Path

    def scrape(self) -> str:
        """Return the metrics; nothing if the run has ended."""
        try:
            with urllib.request.urlopen(self.url, timeout=30) as response:
                text: str = response.read().decode()
        except (OSError, http.client.HTTPException):
            return ""
        return text


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, opensearch_url: str) -> Iterator[Run]:
    """Run with models that throttle, an index, a budget and Ray's dashboard."""
    folder = tmp_path_factory.mktemp("metrics")
    project = Project(folder, opensearch_url, executor="ray")
    for number in range(BOOKS):
        # Their first chunks are the same, so that some answers come from the cache.
        text = SAMPLES[number % len(SAMPLES)].read_text(encoding="utf-8")
        name = f"Book_{number:03d}__by__A_Writer.txt"
        (project.books / name).write_text(f"{text}\n\nThis is copy {number} of the book.\n")
    (project.books / "A_binary.txt").write_bytes(bytes(range(256)) * 20)
    project.command("dashboards", "monitoring")
    sessions = Path(tempfile.mkdtemp(prefix="m-", dir="/tmp"))  # short, for Ray's sockets
    faults = FaultOptions(throttle=0.05, unavailable=0.05)
    with (
        pytest.MonkeyPatch.context() as patch,
        model_server(latency=LatencyOptions(base_s=0.5), faults=faults),
    ):
        patch.setenv("RAY_metrics_report_interval_ms", "5000")
        patch.setenv("RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR", str(folder / "monitoring/grafana"))
        options = [
            "storage=local", f"storage.path={project.books}", f"state.uri={project.state}",
            "summarizer=bedrock", "summarizer.chunk_tokens=300", "embedder=bedrock_titan",
            "breaker.first=0", "breaker.window=0", "executor=ray", "output=json",
            "quota.tokens_per_minute=10000000", "quota.max_in_flight=4", "budget.max_usd=100",
            "ray.dashboard=true", f"ray.temp_dir={sessions}", "ray.metrics_port=0",
            "opensearch.flush_s=1", *project.index_options(),
        ]  # fmt: skip
        process = project.start("run", *options)
        try:
            wait_for(lambda: "for Prometheus" in project.stderr() or process.poll() is not None)
            assert process.poll() is None, project.stderr()
            found = re.search(r"metrics for Prometheus are at (\S+),", project.stderr())
            assert found
            running = Run(project, found[1], folder / "monitoring", sessions)
            wait_for(
                lambda: process.poll() is not None or names_in(running.scrape()) == EXPORTED, 120
            )
            assert process.poll() is None, project.stderr()
            yield running
            assert process.poll() is None, "the run has ended before the test"
            process.send_signal(signal.SIGTERM)
            project.wait_for_exit(process, 4)
        finally:
            project.kill_processes()
            shutil.rmtree(sessions, ignore_errors=True)


def names_in(text: str) -> set[str]:
    return set(re.findall(r"^(ray_raypipe_\w+)\{", text, re.MULTILINE))


def test_ray_exports_each_metric_with_its_labels_and_no_other(run: Run) -> None:
    text = run.scrape()
    assert names_in(text) == EXPORTED
    kinds = dict(re.findall(r"^# TYPE (ray_raypipe_\w+) (\w+)$", text, re.MULTILINE))
    for metric in METRICS:
        assert kinds[metric.exported_name] == metric.kind
        line = next(
            line for line in text.splitlines() if line.startswith(f"{metric.exported_name}{{")
        )
        assert {f'{label}="' in line for label in (*metric.labels, "run_id")} == {True}, line


def test_the_port_listens_on_this_machine_only(run: Run) -> None:
    port = urllib.parse.urlsplit(run.url).port
    listening = [
        connection.laddr
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    ]
    assert {address.ip for address in listening if address.port == port} == {"127.0.0.1"}


def test_rays_provisioning_has_the_dashboard(run: Run) -> None:
    folder = run.dashboards / "grafana"
    configs = run.sessions.glob("**/metrics/grafana/provisioning/dashboards/default.yml")
    provided = [yaml.safe_load(path.read_text()) for path in configs]
    assert {each["options"]["path"] for config in provided for each in config["providers"]} == {
        str(folder)
    }
    assert (run.dashboards / GRAFANA).is_file()
    assert (folder / "default_grafana_dashboard.json").is_file(), "beside Ray's own"


@contextmanager
def prometheus(run: Run, folder: Path) -> Iterator[str]:
    """Yield the URL of a Prometheus with the written files, which scrapes the run each second."""
    config = yaml.safe_load((run.dashboards / PROMETHEUS).read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    local = config["scrape_configs"][0]
    local["static_configs"] = [{"targets": [urllib.parse.urlsplit(run.url).netloc]}]
    file = (run.dashboards / PROMETHEUS).with_name("test.yaml")
    file.write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address={address}"], stdout=log, stderr=log
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(60)


def ask(url: str, path: str, **query: str) -> Any:
    try:
        with urllib.request.urlopen(
            f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=30
        ) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{query}: {error.read().decode()}") from None
    assert answer["status"] == "success"
    return answer["data"]


def dashboard_queries(run: Run) -> list[str]:
    panels = json.loads((run.dashboards / GRAFANA).read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    return [query.replace("$run_id", ".*").replace("$__rate_interval", "30s") for query in queries]


@NEEDS_PROMETHEUS
def test_a_prometheus_answers_each_query_and_evaluates_the_rules(run: Run, tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    assert tool is not None
    for kind, file in (("rules", RULES), ("config", PROMETHEUS)):
        subprocess.run([tool, "check", kind, str(run.dashboards / file)], check=True)

    def is_answered(url: str, query: str) -> bool:
        return bool(ask(url, "query", query=query)["result"])

    def is_up(url: str) -> bool:
        try:
            return is_answered(url, "ray_raypipe_running == 1")
        except (OSError, AssertionError):  # it does not listen yet, or reads its files
            return False

    with prometheus(run, tmp_path) as url:
        wait_for(lambda: is_up(url))
        for query in dashboard_queries(run):
            wait_for(lambda query=query: is_answered(url, query), 120)  # type: ignore[misc]
        groups = ask(url, "rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        wait_for(
            lambda: all(
                rule["health"] == "ok"
                for group in ask(url, "rules")["groups"]
                for rule in group["rules"]
            )
        )
        assert {rule["name"] for rule in rules} >= {"RaypipeBooksFail", "RaypipeStalled"}
