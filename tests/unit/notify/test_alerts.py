from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from raypipe.coordination.counts import Progress
from raypipe.coordination.forecast import Outlook
from raypipe.coordination.progress import Snapshot
from raypipe.notify.alerts import Alerts
from raypipe.notify.message import EVENTS, Message
from raypipe.notify.notifier import Notifier
from tests.unit.notify.records import RUN, record_of


@dataclass(frozen=True, kw_only=True)
class FakeNotifier(Notifier):
    """Keeps the messages."""

    sent: list[Message] = field(default_factory=list)

    def check_setup(self) -> None:
        """Need nothing."""

    def send(self, message: Message) -> None:
        self.sent.append(message)


def snapshot(done: int, failed: int, *, ended: bool = False) -> Snapshot:
    failures = (("binary", failed),) if failed else ()
    return Snapshot(
        Progress(done=done, failed=failed, failures=failures), 100, Outlook(), None, ended
    )


def follow(**notifiers: FakeNotifier) -> Alerts:
    return Alerts(notifiers).follow(RUN)


def events_of(alerts: Alerts, notifier: FakeNotifier) -> list[str]:
    alerts.wait(30)
    return [message.event for message in notifier.sent]


BREAKER = "the first 20 books all failed alike (empty)"
BUDGET = "$1.0000 of budget.max_usd=1 are spent"


@pytest.mark.parametrize(
    ("status", "reason", "event"),
    [
        ("done", "", "finish"),
        ("stopped", "asked to stop by SIGTERM", "stop"),
        ("stopped", BREAKER, "breaker"),
        ("stopped", BUDGET, "budget"),
        ("error", "the price table lacks a model; budget.max_usd=1 needs it", "stop"),
        ("running", "", "stop"),
    ],
)
def test_the_end_of_a_run_is_one_message(status: str, reason: str, event: str) -> None:
    notifier = FakeNotifier()
    alerts = follow(fake=notifier)
    alerts.show(snapshot(5, 0, ended=True))
    alerts.end(record_of(status, reason=reason))
    assert events_of(alerts, notifier) == [event]


def test_failures_above_the_share_are_one_message() -> None:
    notifier, other = FakeNotifier(failed_share=0.2), FakeNotifier(failed_share=0.5)
    alerts = follow(fake=notifier, other=other)
    for done, failed in ((10, 5), (16, 4), (15, 5), (20, 10), (10, 20)):
        alerts.show(snapshot(done, failed))
    assert events_of(alerts, notifier) == ["failures"]
    assert "25% of the books fail" in notifier.sent[0].text
    assert "67% of the books fail" in other.sent[0].text
    alerts.end(record_of(indexed=10, failed=20))
    assert events_of(alerts, notifier) == ["failures", "finish"]
    assert notifier.sent[1].fields["failures"] == {"binary": 20}


def test_a_notifier_gets_the_events_that_it_wants() -> None:
    notifiers = {event: FakeNotifier(events=[event]) for event in EVENTS}
    alerts = follow(**notifiers)
    alerts.show(snapshot(0, 100, ended=True))  # too fast for a message while it works
    alerts.end(record_of("stopped", failed=100, reason=BREAKER))
    sent = {event: events_of(alerts, notifier) for event, notifier in notifiers.items()}
    expected: dict[str, list[str]] = {event: [] for event in EVENTS}
    assert sent == {**expected, "breaker": ["breaker"], "failures": ["failures"]}


def test_a_run_without_anything_to_do_is_no_message_but_its_error_is() -> None:
    notifier = FakeNotifier()
    alerts = Alerts({"fake": notifier})
    alerts.end(record_of(listed=10, skipped=10))
    assert events_of(alerts, notifier) == []
    alerts.end(record_of("error", reason="the bucket does not exist"))
    assert events_of(alerts, notifier) == ["stop"]


def test_a_receiver_that_hangs_delays_no_other() -> None:
    opened = threading.Event()

    @dataclass(frozen=True, kw_only=True)
    class Hanging(FakeNotifier):
        def send(self, message: Message) -> None:
            opened.wait(30)

    notifier, hanging = FakeNotifier(), Hanging()
    alerts = follow(hanging=hanging, fake=notifier)
    alerts.end(record_of())
    alerts.wait(0.3)
    assert [message.event for message in notifier.sent] == ["finish"]
    opened.set()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"events": ["finished"]}, "^events=finished: choose from finish, stop"),
        ({"failed_share": 1.0}, "^failed_share="),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        FakeNotifier(**settings)
