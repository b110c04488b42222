"""Run a command, adopt the processes that it leaves behind, and add up the CPU time of them all.

    python launch.py EVENTS COMMAND [ARGUMENT ...]

Writes three JSON lines to the file EVENTS: when the command has started (`pid`, `began_at`), when
it has ended (`wall_s`, `status`), and when no process of it is left (`cpu_s`). On Linux a process
whose parent ends becomes a child of this process, so that its CPU time is counted, too. A process
whose parent ignores SIGCHLD, such as a worker of Ray, is missing: its time goes to nobody.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run the command of the command line."""
    events, command = sys.argv[1], sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this system cannot adopt orphaned processes")
    with open(events, "w", buffering=1, encoding="utf-8") as file:  # noqa: PTH123
        began, began_at = time.monotonic(), time.time()
        pid = os.posix_spawnp(command[0], command, os.environ, setpgroup=0)
        print(json.dumps({"pid": pid, "began_at": began_at}), file=file)
        cpu_s = 0.0
        while True:
            try:
                ended, status, used = os.wait4(-1, 0)
            except ChildProcessError:
                break
            # A child's time includes that of the children for which it waited.
            cpu_s += used.ru_utime + used.ru_stime
            if ended == pid:
                wall_s = time.monotonic() - began
                print(json.dumps({"wall_s": wall_s, "status": status}), file=file)
        print(json.dumps({"cpu_s": cpu_s}), file=file)


if __name__ == "__main__":
    main()
