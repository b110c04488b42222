"""The report of a run: `runs/<run_id>/report.html`, a page without scripts and requests."""

from raypipe.web.report.facts import find_run_before
from raypipe.web.report.write import (
    build_report,
    write_report,
    write_report_of_ended_run,
)

__all__ = [
    "build_report",
    "find_run_before",
    "write_report",
    "write_report_of_ended_run",
]
