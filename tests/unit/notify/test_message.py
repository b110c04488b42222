from __future__ import annotations

import json

import pytest

from raypipe.coordination.counts import Progress
from raypipe.coordination.forecast import Outlook
from raypipe.coordination.progress import Snapshot
from raypipe.notify.message import describe_end, describe_failures
from tests.unit.notify.records import RUN, record_of

KINDS = (("model", 10), ("binary", 2))


def test_a_finished_run_has_its_counts_its_cost_and_the_way_out() -> None:
    record = record_of(indexed=8_100, failed=12, usd=12.333, exit_code=3)
    message = describe_end("finish", record, KINDS)
    assert message.text == (
        f"raypipe {RUN} done. 8,100 done, 12 failed (model 10, binary 2), 0 left, $12.33 in 3m05s. "
        "`raypipe failures` shows the causes"
    )
    described = json.loads(json.dumps(message.describe()))
    assert described["event"] == "finish"
    assert (described["run_id"], described["exit_code"], described["usd"]) == (RUN, 3, 12.333)
    assert described["failures"] == {"model": 10, "binary": 2}
    assert described["text"] == message.text


def test_a_run_without_failures_needs_no_way_out() -> None:
    text = describe_end("finish", record_of(finished=3), ()).text
    assert text == f"raypipe {RUN} done. 3 done, 0 failed, 0 left, $0.00 in 3m05s"


@pytest.mark.parametrize(
    ("event", "way_out"),
    [
        ("stop", "`raypipe run` continues it"),
        ("breaker", "`raypipe failures` shows the causes; fix them, then `raypipe run` continues"),
        ("budget", "raise budget.max_usd or budget.max_tokens, then `raypipe run` continues"),
    ],
)
def test_a_stopped_run_has_its_reason_and_the_way_out(event: str, way_out: str) -> None:
    record = record_of("stopped", reason="the reason.", left=5)
    text = describe_end(event, record, ()).text
    assert text == (
        f"raypipe {RUN} stopped. the reason. 0 done, 0 failed, 5 left, $0.00 in 3m05s. {way_out}"
    )


def test_an_error_has_its_own_fix_and_an_unexpected_end_is_an_error() -> None:
    record = record_of("error", reason="no bucket. Fix: storage.bucket=...")
    assert describe_end("stop", record, ()).text == (
        f"raypipe {RUN} error. no bucket. Fix: storage.bucket=.... 0 done, 0 failed, 0 left, $0.00 "
        "in 3m05s"
    )
    assert describe_end("stop", record_of("running"), ()).status == "error"


def test_a_reason_is_one_short_line_without_secrets() -> None:
    reason = "a\nb \x1b[2J https://user:pass@host/x " + "c" * 900
    text = describe_end("stop", record_of("stopped", reason=reason), ()).text
    assert "\n" not in text
    assert "\x1b" not in text
    assert "pass" not in text
    assert len(text) < 600


def test_failures_have_their_share_and_kinds() -> None:
    progress = Progress(done=60, failed=40, usd=1.0, failures=KINDS)
    message = describe_failures(RUN, Snapshot(progress, 200, Outlook()))
    assert message.text == (
        f"raypipe {RUN}: 40% of the books fail. 60 done, 40 failed (model 10, binary 2), "
        "100 left, $1.00. `raypipe failures` shows the causes; the run continues"
    )
    assert message.describe()["status"] == "running"
