"""Why an OpenSearch node didn't start, when its log doesn't say.

The runner that starts the node swallows the exception that ended it. The Java machine can log
every exception thrown, at the price of 10 MB a start; so the start that failed is repeated once
with that switched on, and the exception before the runner's own is the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from raypipe.embedded import supervise

SWALLOWED = "Closed all nodes."
"""What the runner says last in either case; without "started" before it, it failed."""
_NAME = "opensearch-diagnosis"
_REPEAT_S = 40.0
_THROWN = re.compile(r"Exception <a '([^']+)'\{0x[0-9a-f]+\}(?:: (.*))?>")
_RUNNERS_OWN = "OpenSearchRunnerException"


def was_swallowed(log_text: str) -> bool:
    """Whether a node's log ends in a failed start without a reason."""
    return SWALLOWED in log_text and "[o.o.n.Node] started" not in log_text


def reason(lines: Iterable[str]) -> str | None:
    """The exception that the runner turned into its own, from a log of all exceptions."""
    before = None
    for line in lines:
        thrown = _THROWN.search(line)
        if thrown is None:
            continue
        name = thrown[1].rpartition("/")[2]
        if name == _RUNNERS_OWN:
            return before
        if name != "InterruptedException":  # threads that are told to end
            before = f"{name}: {thrown[2]}" if thrown[2] else name
    return None


def repeat(data: Path, command: list[str]) -> str | None:
    """Start the node once more to hear why it doesn't; None if that tells nothing."""
    java, *arguments = command
    supervise.launch(data, _NAME, "", [java, "-Xlog:exceptions=info", *arguments])
    supervise.wait_for(lambda: supervise.is_stopped(data, _NAME), _REPEAT_S)
    supervise.stop(data, _NAME)
    path = supervise.log_path(data, _NAME)
    with path.open(errors="replace") as lines:
        found = reason(lines)
    path.unlink()
    return found
