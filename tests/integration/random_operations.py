"""Random operations on a source, a state and an index, checked against a plain model.

The model is a dictionary: the content that each key of the source has. After each operation the
served index is compared with it. A deviation is an AssertionError; Hypothesis prints the steps.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from raypipe.core.errors import OptionError, SetupError
from tests.integration.raypipe_command import Project, run_in_process, wait_for

STEPS = 12
"""Operations in a sequence."""
Found = dict[str, str]
"""Content that is found under each key."""
_SENTENCES = 30
_MAX_KILLS = 1  # in a sequence: each starts a process
_NOTHING_TO_DO = (
    "no index is being built|no index .*to roll back to|no documents|no finished doc|no state at"
)

choices = st.integers(min_value=0, max_value=10_000)
"""Selects an element of a list that is known only when the rule runs."""


class RandomOperations(RuleBasedStateMachine):
    """A person, a nightly run and accidents, in random order.

    Attributes:
        endpoint: URL of the OpenSearch node; set before the machine is run.
        sequences: Number of sequences that have ended.
        operations: Number of operations of each name.
    """

    endpoint: ClassVar[str] = ""
    sequences: ClassVar[int] = 0
    operations: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="raypipe-operations-"))
        self.project = Project(self.folder, self.endpoint)
        self.source: Found = {}
        self.failing: set[str] = set()
        self.protected: set[str] = set()
        self.words = 8
        self.contents = 0
        self.kills = 0
        self.states = 0
        self.knows_all = True
        """Whether the state knows all documents; not after a backup was restored."""

    # Operations at the source

    @initialize()
    def begin(self) -> None:
        for _ in range(4):
            self.add()
        self.run()

    @rule()
    def add(self) -> None:
        self._count("add")
        self._write(f"Book{self.contents}__by__A.txt", self._new_content())

    @precondition(lambda self: self.source)
    @rule(choice=choices)
    def change(self, choice: int) -> None:
        self._count("change")
        self._write(self._choose(choice), self._new_content())

    @precondition(lambda self: self.source)
    @rule(choice=choices, to_folder=st.booleans())
    def rename(self, choice: int, to_folder: bool) -> None:
        self._count("rename")
        self._move(self._choose(choice), to_folder)

    @precondition(lambda self: self.source)
    @rule()
    def rename_all(self) -> None:
        self._count("rename all")
        for key in list(self.source):
            self._move(key, to_folder=True)

    @precondition(lambda self: self.source)
    @rule(choice=choices)
    def copy(self, choice: int) -> None:
        self._count("copy")
        key = self._choose(choice)
        new = f"Copy{self.contents}_of__by__A.txt"
        self.contents += 1
        shutil.copy2(self._path(key), self._path(new))
        self.source[new] = self.source[key]

    @precondition(lambda self: len(self.source) > 1)
    @rule(choice=choices)
    def remove(self, choice: int) -> None:
        self._count("remove")
        key = self._choose(choice)
        self._path(key).unlink()
        del self.source[key]
        self.failing.discard(key)

    @precondition(lambda self: self.source)
    @rule(choice=choices)
    def fail(self, choice: int) -> None:
        self._count("fail")
        self.failing.add(self._choose(choice))

    @rule()
    def heal(self) -> None:
        self._count("heal")
        self.failing.clear()

    # Operations of a person

    @rule(words=st.sampled_from([8, 9, 10]))
    def change_recipe(self, words: int) -> None:
        self._count("change recipe")
        self.words = words

    @rule()
    def run(self) -> None:
        self._run(is_whole=True)

    @rule(limit=st.sampled_from([1, 2]))
    def run_with_limit(self, limit: int) -> None:
        self._run(f"limit={limit}", is_whole=False)

    @precondition(lambda self: self.source)
    @rule(choice=choices, limit=st.sampled_from([None, 0, 1]))
    def move_all_and_run(self, choice: int, limit: int | None) -> None:
        """Move all books, one of which cannot be read, and run at once."""
        self.rename_all()
        self.fail(choice)
        self._run(*([] if limit is None else [f"limit={limit}"]), is_whole=limit is None)

    @precondition(lambda self: self.source)
    @rule(choice=choices)
    def change_recipe_and_run(self, choice: int) -> None:
        """Build another index and go on in it."""
        self.words = 8 + choice % 3
        self._run(is_whole=True)

    @rule()
    def run_without_permission_to_delete(self) -> None:
        before = self._look()
        record = self._command("run", *self._options()[:-1], fails="books are gone")
        if record:
            self._check_nothing_lost(before)
        else:
            assert self._look() == before

    @rule()
    def retry(self) -> None:
        before = self._look()
        of_run = ("allow_deletes", "max_attempts")
        options = [option for option in self._options() if not option.startswith(of_run)]
        self._command("retry", *options, "all=true")
        self._check_nothing_lost(before, lists_source=False)

    @rule()
    def run_with_forgotten_options(self) -> None:
        before, indices = self._look(), self._indices()
        own = ("summarizer", "+summarizer")
        options = [option for option in self._options() if not option.startswith(own)]
        if before[0]:
            with pytest.raises(OptionError, match="replace=true"):
                self._command("run", *options, "summarizer=extractive")
            assert (self._look(), self._indices()) == (before, indices)

    @rule()
    def index(self) -> None:
        before = self._look()
        options = [f"state.uri={self.project.state}", "executor=local", "output=json"]
        self._command("index", *self.project.index_options(), *options, fails=_NOTHING_TO_DO)
        if self.knows_all:
            self._check_nothing_lost(before, lists_source=False)

    @rule(force=st.booleans())
    def promote(self, force: bool) -> None:
        self._lifecycle("promote", f"force={str(force).lower()}")

    @rule()
    def rollback(self) -> None:
        self._lifecycle("rollback")

    @rule()
    def gc(self) -> None:
        before = self._look()
        self._lifecycle("gc", "apply=true")
        assert self._look() == before

    @rule()
    def protect(self) -> None:
        self._count("protect")
        served, _ = self._look()
        if served:
            self._client().indices.put_alias(index=served, name=f"user-{self.project.index}")
            self.protected.add(served)

    # Accidents

    @rule(choice=choices, count=st.sampled_from([1, 2, 100]))
    def delete_behind(self, choice: int, count: int) -> None:
        self._count("delete behind")
        served, found = self._look()
        ids = self._ids(served) if served else []
        random.Random(choice).shuffle(ids)
        for book_id in ids[:count]:
            self._client().delete(index=served, id=book_id, refresh=True)
        assert len(self._look()[1]) == len(found) - min(count, len(ids))

    @precondition(lambda self: self.source)
    @rule(choice=choices)
    def lose_state(self, choice: int) -> None:
        """Begin with an empty state, which takes the index over; a book changed meanwhile."""
        self._count("lose state")
        self.change(choice)
        self.states += 1
        shutil.rmtree(self.folder / "backup", ignore_errors=True)  # of a state that owns no index
        self.project.state = self.folder / f"state-{self.states}"
        self.knows_all = False
        self._run("adopt=true", is_whole=True)

    @rule()
    def back_up(self) -> None:
        self._count("back up")
        shutil.rmtree(self.folder / "backup", ignore_errors=True)
        shutil.copytree(self.project.state, self.folder / "backup")

    @precondition(lambda self: (self.folder / "backup").exists())
    @rule()
    def restore(self) -> None:
        self._count("restore")
        shutil.rmtree(self.project.state)
        shutil.copytree(self.folder / "backup", self.project.state)
        self.knows_all = False

    @precondition(lambda self: self.kills < _MAX_KILLS and self.source)
    @rule(gate=st.sampled_from(["ledger", "read"]), after=st.sampled_from([0, 1]))
    def kill(self, gate: str, after: int) -> None:
        self._count("kill")
        self.kills += 1
        before, journal = self._look(), self.project.journal
        self._write_failing()
        journal.hold(gate, after)
        command = ["run", *self._options(), "stages.summarize.books_per_task=1"]
        if gate == "ledger":
            command += self.project.held_checkpoint()
        process = self.project.start(*command)
        wait_for(lambda: journal.count_waiting(gate) or process.poll() is not None)
        process.kill()
        process.wait()
        self.project.wait_until_processes_end(killed=True)
        journal.release(gate)
        self._check_nothing_lost(before)

    def teardown(self) -> None:
        """Heal everything: a run makes the index equal to the source, and the next does nothing."""
        try:
            self._count("sequence ends")
            self.failing.clear()
            if not self.source:
                self.add()
            self._run(is_whole=True)
            served, found = self._look()
            assert found == self.source, served
            self.project.journal.take("reads")
            record = self._command("run", *self._options())
            assert record["skipped"] == record["listed"] == len(self.source)
            assert self.project.journal.lines("reads") == []
            assert self.project.verify(args=self._options())["exit_code"] == 0
            type(self).sequences += 1
        finally:
            self.project.clean_up()
            shutil.rmtree(self.folder)

    # The model

    def _run(self, *more: str, is_whole: bool) -> None:
        """Run, and compare the served index with the source."""
        before = self._look()
        record = self._command("run", *self._options(), *more)
        after, found = self._check_nothing_lost(before)
        assert record["served"] == after
        wanted = {key: each for key, each in self.source.items() if key not in self.failing}
        if not is_whole or record["lacking"]:
            return
        assert {key: found.get(key) for key in wanted} == wanted
        if not self.failing:
            self.knows_all = True
            assert found == self.source

    def _lifecycle(self, command: str, *more: str) -> None:
        where = [f"state.uri={self.project.state}", *self.project.index_options()[:3]]
        before = self._look()
        self._command(command, *where, "output=json", *more, fails=_NOTHING_TO_DO)
        after = self._look()
        if before[0]:
            assert after[0], "an index is served"
            assert before[0] in self._indices(), "the index that was served last is kept"
        assert self.protected <= self._indices(), "an index with an alias of the user is kept"

    def _check_nothing_lost(
        self, before: tuple[str, Found], *, lists_source: bool = True
    ) -> tuple[str, Found]:
        """Check what no operation may do; return what is served now.

        Args:
            before: What was served before the operation.
            lists_source: Whether the operation knows which books are no longer at the source.
        """
        (served, found), (served_before, found_before) = self._look(), before
        kept = set(found.values())
        for key, content in self.source.items():
            if content in found_before.values():
                assert content in kept, f"{key} was found as {content}, and is lost"
            if key in found_before:
                assert key in found, f"{key} is no longer found"
        waiting = {content for key, content in self.source.items() if key not in found}
        for key in found.keys() - self.source.keys() if lists_source else ():
            # An index that waited to be served has a book that was moved since by its key of then.
            is_known = key in found_before or found[key] in waiting
            assert is_known, f"{key} is not at the source, and came back"
            is_renamed = bool(waiting) or served == served_before
            assert is_renamed, f"{key} is not at the source"
        if served_before:
            assert served_before in self._indices(), "the index that was served last is kept"
        assert self.protected <= self._indices(), "an index with an alias of the user is kept"
        return served, found

    # Details

    def _command(self, command: str, *args: str, fails: str = "") -> dict[str, Any]:
        """Run a command in this process; return its output, or {} if it fails as expected."""
        self._count(command)
        self._write_failing()
        try:
            output: dict[str, Any] = json.loads(run_in_process(command, args, (0, 3, 4)))
        except SetupError as error:
            if not fails or not re.search(fails, str(error)):
                raise
            return {}
        return output

    def _options(self) -> list[str]:
        """Return the options of a run; the last one allows deletes."""
        options = [o for o in self.project.run_options() if not o.startswith("summarizer.words")]
        own = [f"summarizer.words={self.words}", "breaker.first=0", "max_attempts=99"]
        return [*options, *own, "allow_deletes=true"]

    def _look(self) -> tuple[str, Found]:
        """Return the name of the served index, and what is found in it."""
        client = self._client()
        alias = client.indices.get_alias(name=self.project.index, ignore=[404])
        if "error" in alias:
            return "", {}
        documents = self.project.documents().values()
        found = {cell["key"]: str(cell["summary"]).split()[0] for cell in documents}
        assert len(found) == len(documents), "a key has one document"
        return next(iter(alias)), found

    def _ids(self, served: str) -> list[str]:
        hits = self._client().search(index=served, size=1_000)["hits"]["hits"]
        return sorted(hit["_id"] for hit in hits)

    def _indices(self) -> set[str]:
        return set(self._client().indices.get(index=f"{self.project.index}-2*"))

    def _client(self) -> Any:
        return self.project.client()

    def _choose(self, choice: int) -> str:
        keys: Sequence[str] = sorted(self.source)
        return keys[choice % len(keys)]

    def _path(self, key: str) -> Path:
        return self.project.books / key

    def _new_content(self) -> str:
        self.contents += 1
        return f"Content{self.contents}"

    def _write(self, key: str, content: str) -> None:
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        sentences = (f"Sentence {i} of {content} tells more and ends." for i in range(_SENTENCES))
        path.write_text(f"{content} begins here and goes on. {' '.join(sentences)}")
        moment = 1.7e9 + int(content.removeprefix("Content"))
        os.utime(path, (moment, moment))  # the time is a part of the ETag
        self.source[key] = content

    def _move(self, key: str, to_folder: bool) -> None:
        self.contents += 1
        folder, name = f"folder{self.contents}/", Path(key).name
        new = f"{folder}{name}" if to_folder else f"Name{self.contents}__by__A.txt"
        self._path(new).parent.mkdir(exist_ok=True)
        shutil.move(self._path(key), self._path(new))
        self.source[new] = self.source.pop(key)
        if key in self.failing:
            self.failing.remove(key)

    def _write_failing(self) -> None:
        self.project.journal.take("unreadable")
        for key in self.failing:
            self.project.journal.record("unreadable", key)

    def _count(self, name: str) -> None:
        self.operations[name] = self.operations.get(name, 0) + 1


def run_sequences(endpoint: str, sequences: int, seed: int | None = None) -> None:
    """Run random sequences; raise the first deviation.

    Args:
        endpoint: URL of an OpenSearch node.
        sequences: Number of sequences; Hypothesis adds the simplest one.
        seed: Selects the sequences; None for the same ones each time.
    """
    import hypothesis
    from hypothesis.stateful import run_state_machine_as_test

    RandomOperations.endpoint = endpoint
    settings = hypothesis.settings(
        max_examples=sequences + 1,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=seed is None,
        print_blob=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    machine: Any = RandomOperations
    if seed is not None:
        machine = hypothesis.seed(seed)(machine)
    with contextlib.chdir(tempfile.gettempdir()):
        # Without a minimum, Hypothesis ends many sequences early.
        run_state_machine_as_test(machine, settings=settings, _min_steps=STEPS)
