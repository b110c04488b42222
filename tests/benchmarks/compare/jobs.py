"""The jobs that every contender does, and what is measured in each."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from report import say

from tests.benchmarks.compare.books import find_bad, write_bad_books, write_books
from tests.benchmarks.compare.contenders import ROOT, Contender, Task, make_environment
from tests.benchmarks.compare.measure import Command
from tests.benchmarks.compare.results import Run, count_paid_twice, summarize_calls
from tests.benchmarks.compare.servers import IN_FLIGHT, INDEX, Servers

FEW = 32
"""Books of a warm-up."""
TIMEOUT_S = 300.0
OUTPUT_SHOWN = 300
RAN_WITH_FAILURES = (0, 1, 3)
"""Exit codes of a program that went through books of which some fail."""


@dataclass
class Bench:
    """Runs contenders against the servers.

    Args:
        folder: Folder of temporary files.
        servers: The running servers.
        sizes: Number of books with a model, number of books without.
    """

    folder: Path
    servers: Servers
    sizes: tuple[int, int] = (400, 5_000)
    _books: dict[str, Path] = field(default_factory=dict, init=False)

    def warm_up(self, contender: Contender) -> Run:
        """Run a contender once on a few books, which compiles its modules and warms the node."""
        books = self._get_books("few", lambda folder: write_books(folder, FEW, 1_000, 900_000))
        with _Turn(self, contender, books) as turn:
            return turn.run(FEW)

    def run_model(self, contender: Contender) -> dict[str, Run]:
        """Summarize each book with a call, then run the same command again."""
        with _Turn(self, contender, self._model_books()) as turn:
            return {"model": turn.run(self.sizes[0]), "again": turn.run(self.sizes[0])}

    def run_plain(self, contender: Contender) -> dict[str, Run]:
        """Index small books without a model."""
        count = self.sizes[1]
        books = self._get_books("plain", lambda folder: write_books(folder, count, 1_000, 100_000))
        with _Turn(self, contender, books, calls_model=False) as turn:
            return {"plain": turn.run(count)}

    def run_kill(self, contender: Contender) -> dict[str, Run]:
        """Kill the first process when half of the calls are answered, then run to the end."""
        with _Turn(self, contender, self._model_books()) as turn:
            killed = turn.run(None, kill_at=self.sizes[0] // 2)
            ended = turn.run(self.sizes[0])
            ended.paid_twice = count_paid_twice(self.servers.read_calls())
            ended.lost = self.sizes[0] - len(self.servers.find_books())
            say(
                f"{contender.name}: {ended.paid_twice} calls paid twice, {ended.lost} books missing"
            )
            return {"killed": killed, "kill": ended}

    def run_bad(self, contender: Contender) -> dict[str, Run]:
        """Run with five books that the model server refuses and five files of random bytes."""
        count = self.sizes[0]
        books = self._get_books("bad", lambda folder: write_bad_books(folder, count, 20_000))
        good = set(range(count)) - set(find_bad(count))
        self.servers.refuse_marked_books(True)
        try:
            runs = {"bad": self._run_with_bad_books(contender, books, good, False)}
            runs["bad_handled"] = runs["bad"]
            if contender.is_framework:
                runs["bad_handled"] = self._run_with_bad_books(contender, books, good, True)
            return runs
        finally:
            self.servers.refuse_marked_books(False)

    def _run_with_bad_books(
        self, contender: Contender, books: Path, good: set[int], handles_errors: bool
    ) -> Run:
        with _Turn(self, contender, books, handles_errors=handles_errors) as turn:
            run = turn.run(None, exit_codes=RAN_WITH_FAILURES)
            run.lost = len(good - self.servers.find_books())
            say(f"{contender.name}: {run.lost} good books lost")
            return run

    def _model_books(self) -> Path:
        count = self.sizes[0]
        return self._get_books("model", lambda folder: write_books(folder, count, 20_000, 1_000))

    def _get_books(self, name: str, write: Callable[[Path], Path]) -> Path:
        if name not in self._books:
            say(f"writing the books of {name}")
            self._books[name] = write(self.folder / "books" / name)
        return self._books[name]


JOBS: Mapping[str, Callable[[Bench, Contender], dict[str, Run]]] = {
    "model": Bench.run_model,
    "plain": Bench.run_plain,
    "kill": Bench.run_kill,
    "bad": Bench.run_bad,
}
ROUNDS_MATTER = ("model", "plain")
"""Jobs with times, which are repeated; the others count books and calls."""


class _Turn:
    """One contender with a new state and no index; both are deleted afterwards."""

    def __init__(self, bench: Bench, contender: Contender, books: Path, **more: bool) -> None:
        self._servers, self._contender = bench.servers, contender
        self._folder = Path(tempfile.mkdtemp(prefix="turn-", dir=bench.folder))
        # Paths of sockets are short: a contender's own temporary files are not below its state.
        self._environment = {**make_environment(bench.folder), **contender.environment}
        self._task = Task(
            books=books,
            state=self._folder / "state",
            index=INDEX,
            opensearch=bench.servers.opensearch,
            models=bench.servers.models.url,
            in_flight=IN_FLIGHT,
            **more,
        )

    def __enter__(self) -> _Turn:
        self._servers.forget_calls()
        return self

    def __exit__(self, *error: object) -> None:
        self._servers.delete_indices()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(
        self, books: int | None, exit_codes: tuple[int, ...] = (0,), kill_at: int | None = None
    ) -> Run:
        """Run the command.

        Args:
            books: Number of documents that must be in the index; None: any number.
            exit_codes: Exit codes of success.
            kill_at: Number of answers after which the first process is killed; None: never.
        """
        output = self._folder / "output.txt"
        bulk_before, calls_before = self._servers.count_bulk_requests(), len(self._calls())
        command = Command(
            self._contender.make_command(self._task), self._folder, self._environment, output
        )
        if kill_at is not None:
            while command.is_running and self._servers.count_answered() < kill_at:
                time.sleep(0.05)
            command.kill_first_process()
        usage = command.wait(TIMEOUT_S)
        run = Run(
            **vars(usage),
            documents=self._servers.count_documents(),
            bulk_requests=self._servers.count_bulk_requests() - bulk_before,
            **summarize_calls(self._calls()[calls_before:], usage.began_at, usage.wall_s),
        )
        if kill_at is None and usage.exit_code not in exit_codes:
            run.problem = f"exit code {usage.exit_code}: {self._last_line(output)}"
        elif books is not None and run.documents != books:
            run.problem = f"{run.documents} documents for {books} books"
        return run

    def _calls(self) -> list[dict[str, Any]]:
        return self._servers.read_calls()

    def _last_line(self, output: Path) -> str:
        lines = output.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return last.replace(str(self._folder), "...").replace(str(ROOT), "...")[-OUTPUT_SHOWN:]
