"""The owner of a state's writer lock: the content of `claim.json`, and whether it still runs."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from raypipe.core.errors import SetupError
from raypipe.core.json_record import read_record
from raypipe.state.store import State

LOCK_NAME = "claim.json"

_START_HIDDEN = ""  # the process exists, but /proc does not show when it started


@dataclass(frozen=True)
class LockOwner:
    """The content of `claim.json`.

    Args:
        run_seq: Number of the last run that acquired the lock.
        held: Whether that run still holds the lock.
        owner: UUID of the acquisition; tells owners with the same pid apart.
        host: Host name.
        boot_id: Id of the boot of the host and of the pid namespace, see `current_boot_id`.
        pid: Process id on that host.
        started: When the process started, in clock ticks of the kernel.
        beat: Number of heartbeats.
        taken_at: Time of the acquisition, for messages only: clocks of hosts are not compared.
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
    def current_process(cls, run_seq: int) -> LockOwner:
        """Return this process as the owner."""
        pid = os.getpid()
        return cls(
            run_seq=run_seq,
            held=True,
            owner=uuid.uuid4().hex,
            host=socket.gethostname(),
            boot_id=current_boot_id(),
            pid=pid,
            started=_start_time(pid) or "",
            taken_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )

    @property
    def is_local(self) -> bool:
        """Whether its pid is valid in this process: same host, boot and pid namespace."""
        return (self.host, self.boot_id) == (socket.gethostname(), current_boot_id())

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to have ended; False if that cannot be determined."""
        return self.is_local and _start_time(self.pid) not in (self.started, _START_HIDDEN)

    def __str__(self) -> str:
        return f"run {self.run_seq} (host {self.host}, pid {self.pid}, since {self.taken_at})"


def current_boot_id() -> str:
    """Return an id that two processes share only if their pids can be compared.

    Containers share the boot id of the kernel, and may share the host name, but not the pids.
    """
    kernel = Path("/proc/sys/kernel/random/boot_id")
    if not kernel.exists():
        import psutil

        return f"{psutil.boot_time():.0f}"
    return f"{kernel.read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"


def encode_owner(owner: LockOwner) -> bytes:
    """Return the content of `claim.json` for an owner."""
    return json.dumps(asdict(owner), indent=1).encode()


def decode_owner(data: bytes, state: State) -> LockOwner:
    """Return the owner in the content of `claim.json`.

    Args:
        data: Content of the file.
        state: Named in the error.

    Raises:
        SetupError: The file is damaged.
    """
    try:
        return read_record(LockOwner, data)
    except ValueError:
        raise SetupError(
            f"{LOCK_NAME} in the state {state.uri} is damaged; make sure that no run uses this "
            "state, delete the file, and run again"
        ) from None


def _start_time(pid: int) -> str | None:
    """Return when a process started, or None if it does not exist or is a zombie."""
    if not Path("/proc/self/stat").exists():
        import psutil

        try:
            return f"{psutil.Process(pid).create_time():.2f}"
        except psutil.NoSuchProcess:
            return None
    try:
        # The name in parentheses may contain spaces. State is field 3, starttime field 22: proc(5).
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        fields = stat.rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _START_HIDDEN if _is_hidden(pid) else None
    return None if fields[0] in "ZX" else fields[19]


def _is_hidden(pid: int) -> bool:
    """Whether the process exists, but /proc hides it (mount option hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False
