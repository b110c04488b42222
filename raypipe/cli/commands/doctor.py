"""Check the health of what runs need: state, disk, OpenSearch, storage, models and quota."""

from __future__ import annotations

import dataclasses

from omegaconf import DictConfig

from raypipe.cli.health_checks import PROBLEM, Finding, check_health
from raypipe.config.build import read_options
from raypipe.core.exit_codes import ERROR, OK
from raypipe.core.printable import join_lines, to_json


def main(cfg: DictConfig) -> int:
    """Print the findings; return 1 if there is a problem. Errors as `carry_out`."""
    options, findings = read_options(cfg), carry_out(cfg)
    is_well = all(finding.level != PROBLEM for finding in findings)
    if options.output == "json":
        found = [dataclasses.asdict(finding) for finding in findings]
        print(to_json({"ok": is_well, "findings": found}))
    else:
        print(join_lines(f"{each.level:<8} {each.name:<11} {each.message}" for each in findings))
    return OK if is_well else ERROR


def carry_out(cfg: DictConfig) -> list[Finding]:
    """Return the findings; nothing is started, and a run may be writing the state.

    A probe is written to the state and deleted again.

    Raises:
        OptionError: A setting is wrong.
    """
    return list(check_health(cfg, read_options(cfg)))
