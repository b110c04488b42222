"""Find out why an OpenSearch node did not start when its log does not say.

The runner that starts the node swallows the exception that ended it. The Java machine can log
every exception thrown, which takes 10 MB a start. So the failed start is repeated once with that
logging; the last exception before the runner's own is the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from raypipe.embedded import locks, supervise

_LAST_LINE = "Closed all nodes."
"""The runner's last line after success and failure; without "started" before it, it failed."""
_NAME = "opensearch-diagnosis"
_REPEAT_TIMEOUT_S = 40.0
_EXCEPTION = re.compile(r"Exception <a '([^']+)'\{0x[0-9a-f]+\}(?:: (.*))?>")
_RUNNER_EXCEPTION = "OpenSearchRunnerException"


def is_reason_missing(log_text: str) -> bool:
    """Whether a node's log ends in a failed start without a reason."""
    return _LAST_LINE in log_text and "[o.o.n.Node] started" not in log_text


def find_reason(lines: Iterable[str]) -> str | None:
    """Return the exception that the runner replaced by its own, from a log of all exceptions."""
    previous = None
    for line in lines:
        exception = _EXCEPTION.search(line)
        if exception is None:
            continue
        name = exception[1].rpartition("/")[2]
        if name == _RUNNER_EXCEPTION:
            return previous
        if name != "InterruptedException":  # thrown in threads that are asked to end
            previous = f"{name}: {exception[2]}" if exception[2] else name
    return None


def repeat_start(data: Path, command: list[str]) -> str | None:
    """Start the node again with exception logging; return why it failed, or None if unknown."""
    java, *arguments = command
    supervise.launch(data, _NAME, "", [java, "-Xlog:exceptions=info", *arguments])
    locks.wait_for(lambda: supervise.is_stopped(data, _NAME), _REPEAT_TIMEOUT_S)
    supervise.stop(data, _NAME)
    path = supervise.log_path(data, _NAME)
    with path.open(errors="replace") as lines:
        reason = find_reason(lines)
    path.unlink()
    return reason
