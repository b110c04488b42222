"""Faults and latencies depend on prompt and attempt, never on the order of calls."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from raypipe.simulator import faults
from raypipe.simulator.options import FAULTS, FaultOptions, LatencyOptions


def drawn(seed: int, prompts: list[bytes], options: FaultOptions) -> dict[bytes, str]:
    return {
        prompt: faults.by_rate(options, faults.draw(seed, prompt, 0, "fault")).name
        for prompt in prompts
    }


PROMPTS = [f"prompt {number}".encode() for number in range(4_000)]
RATES = FaultOptions(throttle=0.2, unavailable=0.05, hang=0.02, reset=0.01)


def test_the_order_of_calls_changes_nothing() -> None:
    assert drawn(7, PROMPTS, RATES) == drawn(7, PROMPTS[::-1], RATES)
    assert drawn(7, PROMPTS, RATES) != drawn(8, PROMPTS, RATES)


def test_each_fault_has_its_share() -> None:
    seen = Counter(drawn(7, PROMPTS, RATES).values())
    assert set(seen) == {"", "throttle", "unavailable", "hang", "reset"}
    for name in ("throttle", "unavailable", "hang", "reset"):
        share = getattr(RATES, name)
        assert seen[name] / len(PROMPTS) == pytest.approx(share, abs=4 * math.sqrt(share / 4_000))


def test_a_second_attempt_is_drawn_anew() -> None:
    options = FaultOptions(throttle=0.5)
    both = [
        tuple(faults.by_rate(options, faults.draw(0, one, n, "fault")).name for n in (0, 1))
        for one in PROMPTS
    ]
    assert len(set(both)) == 4


def test_latency_is_lognormal_around_its_median() -> None:
    options = LatencyOptions(base_s=2.0, sigma=0.5, per_output_token_s=0.01)
    seconds = [faults.latency_s(options, faults.draw(0, one, 0, "l"), 0) for one in PROMPTS]
    assert np.median(seconds) == pytest.approx(2.0, rel=0.05)
    assert np.std(np.log(seconds)) == pytest.approx(0.5, rel=0.05)
    assert faults.latency_s(LatencyOptions(base_s=2.0), 0.9, 0) == 2.0
    assert faults.latency_s(options, 0.5, 100) == pytest.approx(3.0)


def script(*steps: dict[str, Any]) -> faults.Script:
    return faults.Script(FaultOptions(script=list(steps)))


def played(one: faults.Script, prompts: list[str]) -> list[str]:
    return [one.fault(one.see(prompt), frozenset(FAULTS)).name for prompt in prompts]


def test_a_script_counts_the_calls_that_match() -> None:
    one = script({"fault": "timeout", "contains": "b", "nth": 2, "times": 2}, {"fault": "reset"})
    assert played(one, ["ab", "a", "b", "ab", "b"]) == ["reset", "", "timeout", "timeout", ""]


def test_a_step_that_was_not_used_waits_for_the_next_call() -> None:
    one = script({"fault": "hang", "seconds": 3})
    assert one.fault(one.see("x"), faults.AT_ONCE) == faults.Fault()
    assert one.fault(one.see("x"), frozenset(["hang"])) == faults.Fault("hang", 3.0)


def test_changes_of_options_come_once() -> None:
    one = script({"set": {"quota": {"tokens_per_minute": 1}}, "nth": 2})
    assert [one.changes(one.see("x")) for _ in range(3)] == [
        [],
        [{"quota": {"tokens_per_minute": 1}}],
        [],
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"throttle": 1.5}, "throttle=1.5 is not between 0 and 1"),
        ({"throttle": 0.6, "reset": 0.6}, "add up to 1.2"),
        ({"script": [{"fault": "gone"}]}, r"script\[0\]: fault=gone: choose one of throttle,"),
        ({"script": [{"nth": 3}]}, "either fault or set"),
        ({"script": [{"fault": "hang", "second": 3}]}, "has no second; choose of fault, set"),
        ({"script": [{"fault": "hang", "nth": 0}]}, "nth=0 must be at least 1"),
        ({"script": [{"fault": "hang", "times": "x"}]}, "times=x is no number"),
    ],
)
def test_wrong_faults_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FaultOptions(**options)
