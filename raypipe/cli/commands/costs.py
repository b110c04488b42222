"""Sum up what a state ever paid for models, by day, model and service tier."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from raypipe.cli.open_state import open_recorded_state
from raypipe.config.build import read_options, require_part
from raypipe.core.exit_codes import OK
from raypipe.core.printable import join_lines, to_json
from raypipe.core.units import format_table, format_usd
from raypipe.ledger.token_sums import TokenSums
from raypipe.ledger.usage import read_sums
from raypipe.quota.prices import Prices


@dataclass(frozen=True)
class CostRow:
    """What the calls of a model cost on a day.

    Args:
        day: Date in UTC, as `2026-11-28`; '' if an older raypipe did not record it.
        model: Model id or inference profile id.
        service_tier: Service tier that the server billed.
        calls: Paid calls; 0 where an older raypipe recorded only their tokens.
        input_tokens: Tokens of the requests.
        output_tokens: Tokens of the answers.
        usd: Dollars; None if the price table lacks the model or its service tier.
    """

    day: str
    model: str
    service_tier: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None


def main(cfg: DictConfig) -> int:
    """Print the costs; errors as `carry_out`."""
    options, rows = read_options(cfg), carry_out(cfg)
    prices: Prices = require_part(cfg, "prices")
    if options.output == "json":
        report = {"prices": prices.date, "costs": [dataclasses.asdict(row) for row in rows]}
        print(to_json(report))
    else:
        print(_format_rows(rows, prices.date))
    return OK


def carry_out(cfg: DictConfig) -> list[CostRow]:
    """Return the costs, sorted by day, model and tier; a run may be writing the state.

    Raises:
        OptionError: The state's URI or a setting is wrong.
        SetupError: There is no state, or it cannot be read.
    """
    state, _ = open_recorded_state(cfg, read_options(cfg))
    return _price_sums(read_sums(state), require_part(cfg, "prices"))


def _price_sums(sums: TokenSums, prices: Prices) -> list[CostRow]:
    rows = []
    for kind, counts in sorted(sums.counts.items()):
        if any(counts):
            price = prices.find(kind.model, kind.tier)
            usd = None if price is None else round(price.usd(*counts[1:]), 6)
            rows.append(CostRow(kind.day, kind.model, kind.tier, *counts, usd))
    return rows


def _format_rows(rows: Sequence[CostRow], date: str) -> str:
    if not rows:
        return "no model call was paid for in this state"
    cells: list[Sequence[str]] = [
        ("day", "model", "service tier", "calls", "tokens in", "tokens out", "cost")
    ]
    totals = [0, 0, 0]
    for row in rows:
        counts = (row.calls, row.input_tokens, row.output_tokens)
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        cells.append(_cells(row.day or "unknown", row.model, row.service_tier, counts, row.usd))
    usd = sum(row.usd for row in rows if row.usd is not None)
    cells.append(_cells("total", "", "", totals, usd))
    lines = format_table(cells, texts=3)
    unpriced = sum(row.usd is None for row in rows)
    lacking = ""
    if unpriced:
        lacking = f"; {unpriced:,} of {len(rows):,} rows have no price and are not in the total"
    return join_lines([*lines, f"prices of {date}{lacking}"])


def _cells(
    day: str, model: str, tier: str, counts: Sequence[int], usd: float | None
) -> tuple[str, ...]:
    return (day, model, tier, *(f"{count:,}" for count in counts), format_usd(usd))
