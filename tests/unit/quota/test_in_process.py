"""The quota service in a thread: copies of a client share it, as Ray's workers share an actor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import cloudpickle
import pytest

from raypipe.core.errors import BookLeftError
from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota import in_process
from raypipe.quota.batch_client import wait_for_calls
from raypipe.quota.in_process import InProcessQuotaClient, ServiceThread, connect_in_process
from raypipe.quota.messages import RunRegistration
from raypipe.quota.protocol import CallOutcome, CallRequest
from tests.unit.quota.broker_harness import PRICE

REQUEST = CallRequest(100, 50)
ANSWERED = CallOutcome(input_tokens=100, output_tokens=20)


@pytest.fixture
def pool(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the name of a pool, and end its service afterwards."""
    name = request.node.name
    yield name
    if service := in_process._services.get(name):
        end(service)


def end(service: ServiceThread) -> None:
    service._loop.call_soon_threadsafe(service.end)
    deadline = threading.Event()
    while service._pool in in_process._services:
        deadline.wait(0.01)


def connect(pool: str, **options: Any) -> InProcessQuotaClient:
    registration = RunRegistration(f"run of {pool}", PRICE, BudgetOptions())
    return connect_in_process(pool, QuotaOptions(**options), registration)


def copy_of(client: InProcessQuotaClient) -> InProcessQuotaClient:
    copy: InProcessQuotaClient = cloudpickle.loads(cloudpickle.dumps(client))
    return copy


def test_copies_share_the_limit_and_the_totals(pool: str) -> None:
    client = connect(pool, max_in_flight=1)
    worker = copy_of(client)
    first = worker.acquire(REQUEST)
    second: list[Any] = []
    thread = threading.Thread(target=lambda: second.append(copy_of(client).acquire(REQUEST)))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "one call at a time"
    worker.settle(first, ANSWERED)
    wait_for_calls(f"run of {pool}", 0.5)  # the second call stays in flight
    thread.join(30)
    assert second
    totals = client.totals()
    assert (totals.calls, totals.input_tokens, totals.output_tokens) == (1, 100, 20)


def test_a_stop_ends_the_wait_of_every_copy(pool: str) -> None:
    client = connect(pool, max_in_flight=1)
    copy_of(client).acquire(REQUEST)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            copy_of(client).acquire(REQUEST)
        except BookLeftError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    client.stop("asked to stop")
    thread.join(30)
    assert [str(error) for error in errors] == ["asked to stop"]


def test_a_service_that_ended_is_started_again(pool: str) -> None:
    client = connect(pool)
    service = in_process._services[pool]
    client.settle(client.acquire(REQUEST), ANSWERED)
    wait_for_calls(f"run of {pool}", 30)
    end(service)
    assert client.acquire(REQUEST)
    assert in_process._services[pool] is not service
    assert client.totals().calls == 1, "the counts of the run are kept"
