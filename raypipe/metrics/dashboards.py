"""Dashboards and alarms for the metrics of runs, as files of Grafana, Prometheus and CloudWatch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from raypipe.core.errors import SetupError

FILES = Path(__file__).parent / "files"
GRAFANA = "grafana/raypipe_grafana_dashboard.json"
PROMETHEUS = "prometheus/prometheus.yaml"
RULES = "prometheus/raypipe_rules.yaml"
CLOUDWATCH = "cloudwatch/dashboard.json"
ALARMS = "cloudwatch/alarms"


def format_dashboards() -> Iterator[tuple[str, str]]:
    """Yield name and text of each file for Grafana and Prometheus."""
    yield GRAFANA, _read("grafana_dashboard.json")
    yield RULES, _read("prometheus_rules.yaml")
    yield PROMETHEUS, _read("prometheus.yaml")


def format_cloudwatch(
    namespace: str, region: str, topic_arn: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yield name and text of each file for CloudWatch.

    Args:
        namespace: Namespace of the metrics.
        region: AWS region of the metrics.
        topic_arn: ARN of the topic of SNS that the alarms notify; None for none.
    """
    values = {"{{namespace}}": namespace, "{{region}}": region}
    yield CLOUDWATCH, _fill(_read("cloudwatch_dashboard.json"), values)
    for alarm in json.loads(_fill(_read("cloudwatch_alarms.json"), values)):
        if topic_arn is not None:
            alarm["AlarmActions"] = [topic_arn]
        name = alarm["AlarmName"].removeprefix(f"{namespace}-")
        yield f"{ALARMS}/{name}.json", f"{json.dumps(alarm, indent=1)}\n"


def write_files(folder: Path, files: Iterator[tuple[str, str]]) -> list[Path]:
    """Write files below a folder, and return their paths.

    Args:
        folder: The folder; it is created.
        files: Name below the folder, and text of each file.

    Raises:
        SetupError: A file cannot be written.
    """
    written = []
    for name, text in files:
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SetupError(f"{path} cannot be written: {error.strerror}") from None
        written.append(path)
    return written


def _read(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def _fill(text: str, values: dict[str, str]) -> str:
    """Return a JSON text with the values in the place of their names."""
    for name, value in values.items():
        text = text.replace(name, json.dumps(value)[1:-1])
    return text
