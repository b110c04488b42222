"""Random loopback addresses, and machines that have a single one."""

from __future__ import annotations

import ipaddress

import pytest

from raypipe.embedded import ports


def test_addresses_are_random_and_on_loopback() -> None:
    addresses = {ports.choose_address() for _ in range(200)}
    assert len(addresses) > 195
    for address in addresses:
        assert ipaddress.ip_address(address).is_loopback
        assert address.rpartition(".")[2] not in ("0", "1", "255")


def test_a_machine_with_one_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_can_bind", lambda address: address == ports.LOOPBACK)
    assert ports.choose_address() == ports.LOOPBACK
