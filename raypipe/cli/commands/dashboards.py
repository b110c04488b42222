"""Write dashboards and alarms for Grafana, Prometheus and CloudWatch."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

from omegaconf import DictConfig

from raypipe.config.build import build_list, build_part, read_options
from raypipe.core.exit_codes import OK
from raypipe.core.paths import expand_home
from raypipe.core.printable import join_lines
from raypipe.metrics.cloudwatch import CloudWatchMetrics
from raypipe.metrics.dashboards import format_cloudwatch, format_dashboards, write_files

DEFAULT_REGION = "us-east-1"


def main(cfg: DictConfig) -> int:
    """Write the files, print their paths, and return the exit code; errors as `carry_out`."""
    print(join_lines(carry_out(cfg)))
    return OK


def carry_out(cfg: DictConfig) -> list[Path]:
    """Write the files, and return their paths.

    Raises:
        OptionError: An option is wrong.
        SetupError: A file cannot be written.
    """
    files = [format_dashboards()]
    cloudwatch: CloudWatchMetrics | None = build_part(cfg, "cloudwatch")
    if cloudwatch is not None:
        sns = build_list(cfg, "notify").get("sns")
        region = cloudwatch.region or _default_region()
        topic = sns.topic_arn if sns is not None else None
        files.append(format_cloudwatch(cloudwatch.namespace, region, topic))
    return write_files(expand_home(read_options(cfg).folder, "folder"), chain(*files))


def _default_region() -> str:
    variables = ("AWS_REGION", "AWS_DEFAULT_REGION")
    return next(filter(None, map(os.environ.get, variables)), DEFAULT_REGION)
