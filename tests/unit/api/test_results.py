"""The typed results have what the commands print with output=json."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from raypipe.api.results import LegacyComparison, PlanResult, RunResult, VerifyResult
from raypipe.exporter.documents import ExportResult
from raypipe.ledger.run_records import RunRecord
from raypipe.run.estimate import RunEstimate
from raypipe.verify.compare import Comparison
from raypipe.verify.reconcile import Reconciliation


def fields(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def test_a_result_has_every_number_of_the_report() -> None:
    assert fields(RunResult) == [*fields(RunRecord), "state"]
    assert fields(PlanResult) == fields(RunEstimate)
    assert set(fields(VerifyResult)) == {*fields(Reconciliation), "index", "exit_code", "against"}
    assert set(fields(LegacyComparison)) == {*fields(Comparison), "exit_code"}


@pytest.mark.parametrize(
    "kind", [RunResult, PlanResult, VerifyResult, LegacyComparison, ExportResult]
)
def test_a_result_is_frozen_and_explains_its_fields(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    # Python 3.13 removes the indentation of docstrings.
    explained = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[2]
    assert [name for name in fields(kind) if f"\n    {name}: " not in explained] == []
