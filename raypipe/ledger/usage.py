"""Sum up the tokens a state ever paid for, from the usage in the answer cache.

A run with a budget must not read a million answers again. The sums of each group of the cache are
kept in a part of `usage/`; they are valid as long as the group has the same number of entries.
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
_SCHEMA = TableSchema(USAGE_SCHEMA, kind=FOLDER, version=1)


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Tokens of all calls of a model."""

    model: str
    input_tokens: int
    output_tokens: int


def usage_by_model(state: State, run_seq: int) -> list[ModelUsage]:
    """Return the tokens of all calls the state ever paid for, by model.

    Args:
        state: The state; the caller holds its writer lock.
        run_seq: Number of the run, for the part that keeps the sums.

    Raises:
        SetupError: The state cannot be read or written.
    """
    entries: defaultdict[str, list[str]] = defaultdict(list)
    for name in list_entries(state):
        entries[_group_of(name)].append(name)
    table = ParquetTable(state, FOLDER, _SCHEMA, keys=("group", "model"))
    valid_rows = [
        row
        for row in table.read_latest().to_pylist()
        if row["entries"] == len(entries[row["group"]])
    ]
    valid_groups = {row["group"] for row in valid_rows}
    outdated = {group: names for group, names in entries.items() if group not in valid_groups}
    new_rows = list(_sum_groups(state, outdated))
    cells = [{**row, "run_seq": run_seq} for row in new_rows]
    table.write(pa.Table.from_pylist(cells, schema=USAGE_SCHEMA), run_seq, "usage", 0)
    table.compact()
    return _sum_models([*valid_rows, *new_rows])


def _group_of(name: str) -> str:
    return name.split("/")[1]


def _sum_groups(state: State, entries: Mapping[str, Sequence[str]]) -> Iterator[dict[str, object]]:
    sums: Counter[tuple[str, str, str]] = Counter()
    for name, usage in read_usage(state, (name for names in entries.values() for name in names)):
        group = _group_of(name)
        sums[group, usage.model, "input_tokens"] += usage.input_tokens
        sums[group, usage.model, "output_tokens"] += usage.output_tokens
    for group, model in sorted({(group, model) for group, model, _ in sums}):
        yield {
            "group": group,
            "model": model,
            "entries": len(entries[group]),
            "input_tokens": sums[group, model, "input_tokens"],
            "output_tokens": sums[group, model, "output_tokens"],
        }


def _sum_models(rows: Sequence[Mapping[str, object]]) -> list[ModelUsage]:
    sums: Counter[tuple[object, str]] = Counter()
    for row in rows:
        for column in ("input_tokens", "output_tokens"):
            sums[row["model"], column] += row[column]  # type: ignore[operator]
    models = sorted({str(model) for model, _ in sums})
    return [
        ModelUsage(model, sums[model, "input_tokens"], sums[model, "output_tokens"])
        for model in models
    ]
