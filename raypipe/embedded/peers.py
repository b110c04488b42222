"""Find out which user's process is at the other end of a loopback connection."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def is_own_process(connection: socket.socket) -> bool:
    """Whether the process that connected to this user's server belongs to the same user.

    Any user of a machine can connect to its loopback addresses, and the kernel lists all listening
    sockets to everybody. The same list names the user of the socket at the other end.
    """
    client, server = connection.getpeername(), connection.getsockname()
    return read_owner(client[:2], server[:2]) == os.geteuid()


def read_owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the user id of an open client socket of this machine; None if there is none.

    Args:
        client: IP address and port of the client's end.
        server: IP address and port that the client is connected to.
    """
    local, remote = _format(client), _format(server)
    for line in _read_tables():
        if local not in line:
            continue
        fields = line.split()
        # Local and remote address are fields 1 and 2; IPv6 forms of IPv4 addresses end with them.
        if fields[1].endswith(local) and fields[2].endswith(remote):
            # A socket that its process has closed has inode 0, and a user id that says nothing.
            return None if fields[9] == "0" else int(fields[7])
    return None


def _read_tables() -> Iterator[str]:
    for table in _TABLES:
        try:
            text = Path(table).read_text()
        except OSError:  # a kernel without IPv6 has no second table
            continue
        yield from text.splitlines()


def _format(address: tuple[str, int]) -> str:
    packed = ipaddress.ip_address(address[0]).packed
    # The kernel prints the address in words of 32 bits, in the byte order of the machine.
    words = (packed[start : start + 4] for start in range(0, len(packed), 4))
    digits = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{digits}:{address[1]:04X}"
