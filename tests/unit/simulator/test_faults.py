"""Faults and latencies depend on prompt and attempt, never on the order of calls."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from raypipe.simulator import faults
from raypipe.simulator.options import FAULTS, FaultOptions, LatencyOptions


def draw_faults(seed: int, prompts: list[bytes], options: FaultOptions) -> dict[bytes, str]:
    return {
        prompt: faults.pick_fault(options, faults.draw_uniform(seed, prompt, 0, "fault")).name
        for prompt in prompts
    }


PROMPTS = [f"prompt {number}".encode() for number in range(4_000)]
RATES = FaultOptions(throttle=0.2, unavailable=0.05, hang=0.02, reset=0.01)


def test_faults_do_not_depend_on_the_order_of_calls() -> None:
    assert draw_faults(7, PROMPTS, RATES) == draw_faults(7, PROMPTS[::-1], RATES)
    assert draw_faults(7, PROMPTS, RATES) != draw_faults(8, PROMPTS, RATES)


def test_each_fault_occurs_with_its_share() -> None:
    seen = Counter(draw_faults(7, PROMPTS, RATES).values())
    assert set(seen) == {"", "throttle", "unavailable", "hang", "reset"}
    for name in ("throttle", "unavailable", "hang", "reset"):
        share = getattr(RATES, name)
        assert seen[name] / len(PROMPTS) == pytest.approx(share, abs=4 * math.sqrt(share / 4_000))


def test_each_attempt_is_drawn_independently() -> None:
    options = FaultOptions(throttle=0.5)
    names = [
        tuple(
            faults.pick_fault(options, faults.draw_uniform(0, prompt, attempt, "fault")).name
            for attempt in (0, 1)
        )
        for prompt in PROMPTS
    ]
    assert len(set(names)) == 4


def test_latency_is_lognormal_with_the_given_median() -> None:
    options = LatencyOptions(base_s=2.0, sigma=0.5, per_output_token_s=0.01)
    seconds = [
        faults.compute_latency_s(options, faults.draw_uniform(0, prompt, 0, "l"), 0)
        for prompt in PROMPTS
    ]
    assert np.median(seconds) == pytest.approx(2.0, rel=0.05)
    assert np.std(np.log(seconds)) == pytest.approx(0.5, rel=0.05)
    assert faults.compute_latency_s(LatencyOptions(base_s=2.0), 0.9, 0) == 2.0
    assert faults.compute_latency_s(options, 0.5, 100) == pytest.approx(3.0)


def create_script(*steps: dict[str, Any]) -> faults.FaultScript:
    return faults.FaultScript(FaultOptions(script=list(steps)))


def take_faults(script: faults.FaultScript, prompts: list[str]) -> list[str]:
    return [script.take_fault(script.match(prompt), frozenset(FAULTS)).name for prompt in prompts]


def test_a_script_counts_matching_calls() -> None:
    script = create_script(
        {"fault": "timeout", "contains": "b", "nth": 2, "times": 2}, {"fault": "reset"}
    )
    assert take_faults(script, ["ab", "a", "b", "ab", "b"]) == [
        "reset",
        "",
        "timeout",
        "timeout",
        "",
    ]


def test_an_unused_step_applies_to_the_next_call() -> None:
    script = create_script({"fault": "hang", "seconds": 3})
    assert script.take_fault(script.match("x"), faults.IMMEDIATE_ERRORS) == faults.Fault()
    assert script.take_fault(script.match("x"), frozenset(["hang"])) == faults.Fault("hang", 3.0)


def test_option_changes_are_taken_once() -> None:
    script = create_script({"set": {"quota": {"tokens_per_minute": 1}}, "nth": 2})
    assert [script.take_option_changes(script.match("x")) for _ in range(3)] == [
        [],
        [{"quota": {"tokens_per_minute": 1}}],
        [],
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"throttle": 1.5}, "throttle=1.5 must be between 0 and 1"),
        ({"throttle": 0.6, "reset": 0.6}, "add up to 1.2"),
        ({"script": [{"fault": "gone"}]}, r"script\[0\]: fault=gone: choose one of throttle,"),
        ({"script": [{"nth": 3}]}, "either fault or set"),
        ({"script": [{"fault": "hang", "second": 3}]}, "has no key second; choose from fault, set"),
        ({"script": [{"fault": "hang", "nth": 0}]}, "nth=0 must be at least 1"),
        ({"script": [{"fault": "hang", "times": "x"}]}, "times=x is not a number"),
    ],
)
def test_error_names_the_invalid_fault_option(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FaultOptions(**options)
