"""Write a comparison as a page in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.compare.results import Comparison, Entry

MISSING = "–"


@dataclass(frozen=True)
class Figure:
    """A row of the table.

    Args:
        title: What is measured, with its unit.
        job: The job, as in the results.
        name: Field of a run.
        is_high_best: Whether more is better.
        digits: Digits after the point.
        has_spread: Whether the smallest and the largest value are shown, too.
        per_s_of: Number of books to divide by the value; None: the value itself.
    """

    title: str
    job: str
    name: str
    is_high_best: bool = False
    digits: int = 0
    has_spread: bool = False
    per_s_of: int | None = None

    def value(self, entry: Entry) -> float | None:
        """Return the median for a contender; None if it was not measured."""
        value = entry.median(self.job, self.name)
        return value if value is None or self.per_s_of is None else self.per_s_of / value

    def show(self, entry: Entry) -> str:
        """Return the text of a cell."""
        value = self.value(entry)
        if value is None:
            return MISSING
        values = entry.values(self.job, self.name)
        if not self.has_spread or len(values) < 2:
            return self._format(value)
        if self.per_s_of is not None:
            values = [self.per_s_of / each for each in values]
        return f"{self._format(value)} ({self._format(min(values))}–{self._format(max(values))})"

    def find_best(self, entries: Sequence[Entry]) -> str | None:
        """Return the best value as text; None if all are alike or none was measured."""
        values = [value for entry in entries if (value := self.value(entry)) is not None]
        shown = {self._format(value) for value in values}
        if len(shown) < 2:
            return None
        return self._format(max(values) if self.is_high_best else min(values))

    def _format(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


def make_figures(books: int, small_books: int) -> dict[str, list[Figure]]:
    """Return the rows of the table under their headings.

    Args:
        books: Number of books of the jobs with a model.
        small_books: Number of books of the job without.
    """
    return {
        f"{books:,} books of 20 kB, a call of 0.2 s for each": [
            Figure("whole command, s", "model", "wall_s", digits=1, has_spread=True),
            Figure("calls/s, first to last", "model", "calls_per_s", is_high_best=True),
            Figure("first call after, s", "model", "first_call_s", digits=1),
            Figure("end after the last answer, s", "model", "tail_s", digits=1),
            Figure("CPU of all processes, s", "model", "cpu_s", digits=1),
            Figure("memory of all processes, MB (PSS)", "model", "pss_mb"),
            Figure("bulk requests", "model", "bulk_requests"),
        ],
        "the same command again": [
            Figure("nothing to do, s", "again", "wall_s", digits=1),
            Figure("calls paid again", "again", "calls"),
        ],
        f"{small_books:,} books of 1 kB, no model": [
            Figure(
                "documents/s, whole command", "plain", "wall_s",
                is_high_best=True, has_spread=True, per_s_of=small_books,
            ),
            Figure("CPU of all processes, s", "plain", "cpu_s", digits=1),
            Figure("memory of all processes, MB (PSS)", "plain", "pss_mb"),
            Figure("bulk requests", "plain", "bulk_requests"),
        ],
        "killed at half (SIGKILL), then run to the end": [
            Figure("calls paid twice", "kill", "paid_twice"),
            Figure("books missing", "kill", "lost"),
        ],
        "five books refused by the model, five of random bytes": [
            Figure("good books lost, as the framework does it", "bad", "lost"),
            Figure("good books lost, errors caught by own code", "bad_handled", "lost"),
        ],
    }  # fmt: skip


def write_table(comparison: Comparison) -> str:
    """Return the table: a row for each figure, a column for each contender, the best bold."""
    entries = list(comparison.entries.values())
    lines = [
        _row(["", *(entry.label for entry in entries)]),
        _row(["---", *("---:" for _ in entries)]),
    ]
    for heading, figures in make_figures(*comparison.made["books"]).items():
        measured = [figure for figure in figures if _is_measured(figure, entries)]
        if measured:
            lines.append(_row([f"*{heading}*", *("" for _ in entries)]))
        for figure in measured:
            lines.append(_row([figure.title, *_cells(figure, entries)]))
    return "\n".join(lines)


def write_page(comparison: Comparison) -> str:
    """Return the page of docs/: table, what was compared and how."""
    made = comparison.made
    problems = [
        f"- {entry.label}, {problem}"
        for entry in comparison.entries.values()
        for problem in entry.problems()
    ]
    machine = made["machine"]
    return "\n".join(
        [
            "# The same job by other tools",
            "",
            "`make compare` measures raypipe beside a plain script and five frameworks. Its option",
            "`--write` replaces this page and [the runs](../benchmarks/results/compare.json).",
            "",
            f"Measured on {made['date']} at commit {made['commit']}: {machine['cores']} cores,",
            f"{machine['memory_gb']} GB of memory, Python {machine['python']}.",
            _describe_rounds(made["rounds"]),
            f"The best value of a row is **bold**. {MISSING} means that there is no valid value.",
            "",
            write_table(comparison),
            "",
            *(["Runs that were not valid:", "", *problems, ""] if problems else []),
            ABOUT,
            "",
            "| contender | how | versions |",
            "|---|---|---|",
            *_versions(comparison),
            "",
        ]
    )


ABOUT = """\
## What is compared

Every contender reads the same books from a folder, makes a summary of each, embeds the summary with
the same wordllama model, and writes a document with its vector to the same OpenSearch node. The
model server is `raypipe simulate`: each call takes 0.2 s, and it answers 16 calls at a time, so
that 400 calls take at least 5 s, at 80 calls/s. Each peer is a program of 100 to 180 lines in
`tests/benchmarks/compare/peers/`, written as the documentation of its framework suggests, with
packages at pinned versions in a separate environment. A program starts for each run, with its
modules compiled and the node warm. A run counts only if the index has a document for each book.

CPU and memory are those of all processes that a command starts, Ray's included, but not of the node
and the model server. Memory that processes share is counted once.

## What is not compared

- **The work is not equal.** raypipe also cleans the text, detects its language and its chapters,
  checks each answer, adds keywords, keeps a ledger of books and documents, and checks at the end
  that every book is accounted for. The peers send the start of the file to the model and store the
  answer. A peer that is faster does less, but it is faster for everyone who needs no more.
- **One small machine.** Ray is made for many machines. Here it shares two cores with the node and
  the model server, so that it costs time and saves none.
- **A simulated model.** Its answers are sentences of the prompt. The figures say nothing about the
  quality of summaries or of searches.
- **One kill, one set of bad books.** These jobs run once. The number of calls paid twice depends on
  the moment of the kill. Calls in flight at that moment are not counted: no program can keep them.
- **Our programs.** An expert in a framework may find a better way: the programs are short, so read
  them and change them. *As the framework does it* means without error handling of our own. The row
  below it is the same program with a few lines that catch the errors of a book. raypipe and the
  plain script always catch them.

## Who is compared"""


def _describe_rounds(rounds: int) -> str:
    if rounds == 1:
        return "Every contender did each job once."
    return (
        f"Times are medians of {rounds} rounds, in which the contenders take turns in one order\n"
        "and then in the other; the smallest and the largest value are in parentheses."
    )


def _is_measured(figure: Figure, entries: Sequence[Entry]) -> bool:
    return any(figure.value(entry) is not None for entry in entries)


def _cells(figure: Figure, entries: Sequence[Entry]) -> Iterator[str]:
    best = figure.find_best(entries)
    for entry in entries:
        cell = figure.show(entry)
        is_best = best is not None and cell.split(" ")[0] == best
        yield f"**{cell}**" if is_best else cell


def _versions(comparison: Comparison) -> Iterator[str]:
    for entry in comparison.entries.values():
        versions = ", ".join(f"{name} {version}" for name, version in entry.versions.items())
        yield _row([entry.label, entry.how, versions])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
