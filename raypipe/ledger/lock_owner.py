"""Who holds a state's claim: what `claim.json` says, and whether that process is alive."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from raypipe.core.errors import SetupError
from raypipe.state.store import State

LOCK_NAME = "claim.json"

_UNSEEN = ""  # a process that is there and hides when it started


@dataclass(frozen=True)
class LockOwner:
    """What `claim.json` says.

    Args:
        run_seq: Number of the run that took the claim last.
        held: Whether that run still holds it.
        owner: A uuid of this taking, so that equal pids are not mistaken for each other.
        host: Host name.
        boot_id: Of the host's running kernel, and of the process's pid namespace.
        pid: Process id there.
        started: When that process started, in the kernel's own ticks.
        beat: The heartbeat counter.
        taken_at: For people; no clock of another host is ever compared.
    """

    run_seq: int = 0
    held: bool = False
    owner: str = ""
    host: str = ""
    boot_id: str = ""
    pid: int = 0
    started: str = ""
    beat: int = 0
    taken_at: str = ""

    @classmethod
    def me(cls, run_seq: int) -> LockOwner:
        """Return this process as the holder."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        owner, pid = uuid.uuid4().hex, os.getpid()
        started = _started(pid) or ""
        return cls(run_seq, True, owner, socket.gethostname(), boot_id(), pid, started, 0, now)

    @property
    def here(self) -> bool:
        """Whether it runs where its pid means something to us."""
        return (self.host, self.boot_id) == (socket.gethostname(), boot_id())

    @property
    def gone(self) -> bool:
        """Whether it certainly runs no more."""
        return self.here and _started(self.pid) not in (self.started, _UNSEEN)

    def __str__(self) -> str:
        return f"run {self.run_seq} (host {self.host}, pid {self.pid}, since {self.taken_at})"


def boot_id() -> str:
    """Return what is equal for two processes exactly where their pids can be compared.

    Containers share the kernel's boot id, and may share the host's name, but not its pids.
    """
    kernel = Path("/proc/sys/kernel/random/boot_id")
    if not kernel.exists():
        import psutil

        return f"{psutil.boot_time():.0f}"
    return f"{kernel.read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"


def _started(pid: int) -> str | None:
    """Return when a process started, or None if there is none, or only its zombie."""
    if not Path("/proc/self/stat").exists():
        import psutil

        try:
            return f"{psutil.Process(pid).create_time():.2f}"
        except psutil.NoSuchProcess:
            return None
    try:
        # The name in parentheses may hold anything; state is field 3, starttime field 22: proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _UNSEEN if _hidden(pid) else None
    return None if fields[0] in "ZX" else fields[19]


def _hidden(pid: int) -> bool:
    """Whether /proc hides another user's process (mount option hidepid) that is there."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


def encode_owner(holder: LockOwner) -> bytes:
    """Return a holder as `claim.json` keeps it."""
    return json.dumps(asdict(holder), indent=1).encode()


def decode_owner(data: bytes, state: State) -> LockOwner:
    """Return the holder that `claim.json` names.

    Raises:
        SetupError: The file is damaged.
    """
    try:
        return LockOwner(**json.loads(data))
    except (ValueError, TypeError):
        raise SetupError(
            f"{LOCK_NAME} in the state {state.uri} is damaged; make sure that no run is at work there, "
            "delete it, and run again"
        ) from None
