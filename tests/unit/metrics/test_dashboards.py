"""The dashboards and alarms: their queries, and the command that writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from raypipe.metrics.catalog import METRICS, RUN
from raypipe.metrics.cloudwatch import UNITS, cloudwatch_name
from raypipe.metrics.dashboards import (
    ALARMS,
    CLOUDWATCH,
    GRAFANA,
    PROMETHEUS,
    RULES,
    format_cloudwatch,
    format_dashboards,
)
from tests.unit.command_line import RunCommandLine

FILES = dict(format_dashboards())
DASHBOARD: dict[str, Any] = json.loads(FILES[GRAFANA])
TOPIC = "arn:aws:sns:eu-west-1:123456789012:books"
CLOUDWATCH_FILES = dict(format_cloudwatch('my "books"', "eu-west-1", TOPIC))
EXPORTED = {metric.exported_name: metric for metric in METRICS}


def queries() -> Iterator[str]:
    """Yield each query of the dashboard and the rules."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (variable.get("definition", "") for variable in DASHBOARD["templating"]["list"])
    for group in yaml.safe_load(FILES[RULES])["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_each_name_in_a_query_is_declared_and_each_metric_is_shown() -> None:
    names = {name for query in queries() for name in re.findall(r"\bray_\w+", query)}
    assert names == set(EXPORTED)


def test_each_label_in_a_query_is_declared() -> None:
    for query in queries():
        labels = {*re.findall(r"(\w+)=~?\"", query)}
        for group in re.findall(r"\bby \(([^)]*)\)", query):
            labels |= {label.strip() for label in group.split(",")}
        metrics = [EXPORTED[name] for name in re.findall(r"\bray_\w+", query)]
        known = {RUN} | {label for metric in metrics for label in metric.labels}
        assert labels <= known, query


def test_panels_have_a_place_a_title_and_the_chosen_data_source() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_prometheus_reads_the_rules_beside_its_file() -> None:
    config = yaml.safe_load(FILES[PROMETHEUS])
    assert config["rule_files"] == [Path(RULES).name]
    assert Path(RULES).parent == Path(PROMETHEUS).parent
    for group in yaml.safe_load(FILES[RULES])["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"]
            assert rule["labels"]["severity"] in ("info", "warning")


def test_cloudwatch_files_have_the_names_of_the_metrics() -> None:
    known = set(map(cloudwatch_name, UNITS))
    names: set[str] = set()
    for widget in json.loads(CLOUDWATCH_FILES[CLOUDWATCH])["widgets"]:
        assert widget["properties"]["region"] == "eu-west-1"
        for metric in widget["properties"]["metrics"]:
            if isinstance(metric[0], dict):
                names |= set(re.findall(r'MetricName="(\w+)"', metric[0]["expression"]))
            else:
                assert metric[0] == 'my "books"'
                names.add(metric[1])
    for name, text in CLOUDWATCH_FILES.items():
        if name.startswith(ALARMS):
            alarm = json.loads(text)
            assert alarm["AlarmActions"] == [TOPIC]
            stats = [each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each]
            names |= {stat["Metric"]["MetricName"] for stat in stats}
    assert names == known


def test_aws_takes_the_dashboard_and_the_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with mock_aws():
        client = boto3.client("cloudwatch", "eu-west-1")
        body = CLOUDWATCH_FILES[CLOUDWATCH]
        put = client.put_dashboard(DashboardName="books", DashboardBody=body)
        assert put["DashboardValidationMessages"] == []
        alarms = [json.loads(text) for name, text in CLOUDWATCH_FILES.items() if ALARMS in name]
        for alarm in alarms:
            client.put_metric_alarm(**alarm)
        listed = client.describe_alarms()["MetricAlarms"]
    assert len(listed) == len(alarms) == 6


@pytest.mark.usefixtures("isolated_hydra", "no_services")
def test_the_command_writes_the_files_and_prints_their_paths(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    options = ["cloudwatch.region=eu-west-1", "notify=sns", f"notify.sns.topic_arn={TOPIC}"]
    for _ in range(2):  # files of an earlier call are replaced
        code, out, err = run_command_line("dashboards", "monitoring", *options)
        assert (code, err) == (0, "")
    written = sorted(path for path in (tmp_path / "monitoring").rglob("*") if path.is_file())
    assert sorted(tmp_path / line for line in out.splitlines()) == written
    assert len(written) == 3 + 1 + 6
    alarm = json.loads((tmp_path / "monitoring" / ALARMS / "budget.json").read_text())
    assert (alarm["AlarmName"], alarm["AlarmActions"]) == ("raypipe-budget", [TOPIC])
    assert "{{namespace}}" not in "".join(path.read_text() for path in written)


@pytest.mark.usefixtures("isolated_hydra", "no_services")
def test_a_folder_that_cannot_be_written_is_one_line(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, _, err = run_command_line("dashboards", "file", "cloudwatch=none")
    assert code == 1
    assert re.fullmatch(r"raypipe: file/\S+ cannot be written: [\w ]+\n", err)
