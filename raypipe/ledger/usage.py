"""What a state has ever paid for, added up from the usage in the cache of answers.

A million answers are not read again for each run with a budget: what a book's answers came to is
kept in a part of `usage/` once it was added up, and holds as long as the book has as many.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from raypipe.ledger.answer_cache import list_entries, read_usage
from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import State
from raypipe.state.table_schema import TableSchema

FOLDER = "usage"
USAGE_SCHEMA = pa.schema(
    [
        ("group", pa.string()),
        ("model", pa.string()),
        ("entries", pa.int64()),  # of the whole group
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("run_seq", pa.int64()),
    ]
)
_FORM = TableSchema(USAGE_SCHEMA, kind=FOLDER, version=1)


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one model's answers came to."""

    model: str
    input_tokens: int
    output_tokens: int


def usage_by_model(state: State, run_seq: int) -> list[ModelUsage]:
    """Return what each model was ever paid for, by the cache of answers.

    Args:
        state: Where; the caller holds its claim.
        run_seq: The run's number, for the part that keeps the sums.

    Raises:
        SetupError: The state cannot be read or written.
    """
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name in list_entries(state):
        names[name.split("/")[1]].append(name)
    parts = ParquetTable(state, FOLDER, _FORM, keys=("group", "model"))
    rows = [row for row in parts.latest().to_pylist() if row["entries"] == len(names[row["group"]])]
    known = {row["group"] for row in rows}
    fresh = list(_added_up(state, {one: many for one, many in names.items() if one not in known}))
    cells = [{**row, "run_seq": run_seq} for row in fresh]
    parts.write(pa.Table.from_pylist(cells, schema=USAGE_SCHEMA), run_seq, "usage", 0)
    parts.compact()
    return _by_model([*rows, *fresh])


def _added_up(state: State, names: Mapping[str, Sequence[str]]) -> Iterator[dict[str, object]]:
    sums: Counter[tuple[str, str, str]] = Counter()
    for name, bill in read_usage(state, (name for many in names.values() for name in many)):
        group = name.split("/")[1]
        sums[group, bill.model, "input_tokens"] += bill.input_tokens
        sums[group, bill.model, "output_tokens"] += bill.output_tokens
    for group, model in sorted({(group, model) for group, model, _ in sums}):
        yield {
            "group": group,
            "model": model,
            "entries": len(names[group]),
            "input_tokens": sums[group, model, "input_tokens"],
            "output_tokens": sums[group, model, "output_tokens"],
        }


def _by_model(rows: Sequence[Mapping[str, object]]) -> list[ModelUsage]:
    sums: Counter[tuple[object, str]] = Counter()
    for row in rows:
        for what in ("input_tokens", "output_tokens"):
            sums[row["model"], what] += row[what]  # type: ignore[operator]
    models = sorted({str(model) for model, _ in sums})
    return [
        ModelUsage(one, sums[one, "input_tokens"], sums[one, "output_tokens"]) for one in models
    ]
