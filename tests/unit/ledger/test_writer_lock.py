"""The claim: numbers, races, take-over from the dead, and losing it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from raypipe.core.errors import SetupError
from raypipe.ledger.lock_owner import LOCK_NAME, LockOwner, boot_id, encode_owner
from raypipe.ledger.writer_lock import LockTiming, WriterLock
from raypipe.state.local import LocalState
from raypipe.state.store import StateError

ROOT = Path(__file__).parents[3]
QUICK = LockTiming(beat=0.02, unreachable=30.0, still=60.0)
"""Beats that a test need not wait for; busy cores may hold one up for seconds."""
HASTY = replace(QUICK, unreachable=0.2)


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path / "state"))


def holder(state: LocalState) -> LockOwner:
    return LockOwner(**json.loads(state.get(LOCK_NAME) or b"{}"))


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.during: Callable[[], object] = lambda: None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.during()


def elsewhere(run: int = 4, **changes: object) -> LockOwner:
    plain = replace(LockOwner.me(run), host="another-host", boot_id="another boot", pid=77)
    return replace(plain, **changes)  # type: ignore[arg-type]


class TestTaking:
    def test_numbers_grow_through_release(self, state: LocalState) -> None:
        for expected in (1, 2, 3):
            with WriterLock.take(state) as claim:
                assert claim.run_seq == expected
                assert holder(state).held
            assert not holder(state).held
            assert holder(state).run_seq == expected

    def test_says_who(self, state: LocalState) -> None:
        with WriterLock.take(state):
            found = holder(state)
            assert (found.pid, found.boot_id) == (os.getpid(), boot_id())
            assert found.here
            assert not found.gone

    def test_released_when_the_run_raises(self, state: LocalState) -> None:
        with pytest.raises(RuntimeError, match="boom"), WriterLock.take(state):
            raise RuntimeError("boom")
        assert not holder(state).held

    def test_releasing_twice_is_harmless(self, state: LocalState) -> None:
        claim = WriterLock.take(state)
        claim.release()
        with WriterLock.take(state):
            claim.release()
            assert holder(state).held

    def test_living_process_of_this_host_is_refused_at_once(self, state: LocalState) -> None:
        time_ = FakeTime()
        with (
            WriterLock.take(state),
            pytest.raises(SetupError, match=rf"at work.*pid {os.getpid()}.*kill {os.getpid()}"),
        ):
            WriterLock.take(state, clock=time_.clock, sleep=time_.sleep)
        assert time_.now == 1_000.0

    @pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"who": 1}'])
    def test_damaged_claim_is_named(self, state: LocalState, data: bytes) -> None:
        state.put(LOCK_NAME, data)
        with pytest.raises(SetupError, match=r"claim\.json.*damaged"):
            WriterLock.take(state)

    def test_a_lost_claim_does_not_lose_the_numbers(self, state: LocalState) -> None:
        """Versions in the index grow with the run's number: it must never begin anew."""
        state.put("runs/20261123T203041Z-0007/run.json", b"{}")
        state.put("processed/part-00000005-000000-000000.parquet", b"")
        state.put("documents/d1/part-00000009-000000-000000.parquet", b"")
        with WriterLock.take(state) as claim:
            assert claim.run_seq == 10


class TestTakingOver:
    def test_gone_process_of_this_host(self, state: LocalState) -> None:
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        state.put(LOCK_NAME, encode_owner(replace(LockOwner.me(4), pid=process.pid)))
        with WriterLock.take(state) as claim:
            assert claim.run_seq == 5

    def test_pid_that_was_given_again(self, state: LocalState) -> None:
        state.put(LOCK_NAME, encode_owner(replace(LockOwner.me(4), started="1")))
        with WriterLock.take(state) as claim:
            assert claim.run_seq == 5

    def test_zombie_is_gone(self, state: LocalState) -> None:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        mine = replace(LockOwner.me(4), pid=process.pid, started=started)
        state.put(LOCK_NAME, encode_owner(mine))
        assert not mine.gone
        process.kill()
        until(lambda: mine.gone)  # nobody has waited for it yet
        process.wait()

    def test_other_host_after_it_stood_still(self, state: LocalState) -> None:
        state.put(LOCK_NAME, encode_owner(elsewhere(4)))
        time_, told = FakeTime(), list[str]()
        claim = WriterLock.take(state, on_wait=told.append, clock=time_.clock, sleep=time_.sleep)
        claim.release()
        assert claim.run_seq == 5
        assert time_.now == 1_060.0
        (line,) = told
        assert "run 4" in line
        assert "another-host" in line
        assert "60 s" in line

    def test_other_host_that_beats_is_waited_for(self, state: LocalState) -> None:
        time_, other = FakeTime(), elsewhere(4)
        state.put(LOCK_NAME, encode_owner(other))

        def beat() -> None:
            if time_.now < 1_300.0:
                state.put(LOCK_NAME, encode_owner(replace(other, beat=int(time_.now))))

        time_.during = beat
        claim = WriterLock.take(state, clock=time_.clock, sleep=time_.sleep)
        claim.release()
        assert time_.now == 1_355.0  # the last beat was at 1295, seen at once

    def test_other_host_that_lets_go_is_followed_at_once(self, state: LocalState) -> None:
        time_, other = FakeTime(), elsewhere(4)
        state.put(LOCK_NAME, encode_owner(other))
        time_.during = lambda: state.put(LOCK_NAME, encode_owner(replace(other, held=False)))
        claim = WriterLock.take(state, clock=time_.clock, sleep=time_.sleep)
        claim.release()
        assert (claim.run_seq, time_.now) == (5, 1_005.0)

    def test_third_run_that_was_quicker_is_waited_for(self, state: LocalState) -> None:
        time_ = FakeTime()
        state.put(LOCK_NAME, encode_owner(elsewhere(4)))

        def third() -> None:
            if time_.now == 1_055.0:
                state.put(LOCK_NAME, encode_owner(elsewhere(5, host="third-host")))

        time_.during = third
        claim = WriterLock.take(state, clock=time_.clock, sleep=time_.sleep)
        claim.release()
        assert (claim.run_seq, time_.now) == (6, 1_115.0)

    def test_twin_container_is_another_host(self) -> None:
        """Same kernel, same host name, other pids."""
        twin = replace(LockOwner.me(1), boot_id=boot_id().rpartition(" ")[0] + " pid:[1]", pid=1)
        assert not twin.here
        assert not twin.gone

    def test_waiting_can_be_given_up(self, state: LocalState) -> None:
        state.put(LOCK_NAME, encode_owner(elsewhere()))

        def give_up(_: float) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            WriterLock.take(state, sleep=give_up)


class TestHolding:
    def test_the_heart_beats(self, state: LocalState) -> None:
        with WriterLock.take(state, pace=QUICK) as claim:
            until(lambda: holder(state).beat >= 3)
            assert not claim.lost.is_set()
            claim.check()

    def test_taken_by_another(self, state: LocalState) -> None:
        claim = WriterLock.take(state, pace=QUICK)
        theirs = encode_owner(elsewhere(9))
        state.put(LOCK_NAME, theirs)
        assert claim.lost.wait(30)
        with pytest.raises(SetupError, match=r"taken by run 9.*another-host.*run again"):
            claim.check()
        claim.release()
        assert state.get(LOCK_NAME) == theirs  # released only if ours

    def test_deleted_claim_is_lost(self, state: LocalState) -> None:
        claim = WriterLock.take(state, pace=QUICK)
        # A beat may be under way between reading and writing, never between lock and rename.
        state.delete([LOCK_NAME])
        assert claim.lost.wait(30)
        assert "deleted" in claim.reason
        claim.release()
        assert state.get(LOCK_NAME) is None

    def test_unreachable_state_is_lost_in_time(self, state: LocalState) -> None:
        broken = Broken(state.root)
        claim = WriterLock.take(broken, pace=HASTY)
        Broken.fault = StateError("no network")
        began = time.monotonic()
        assert claim.lost.wait(30)
        assert time.monotonic() - began > 0.1
        assert "could not be reached" in claim.reason
        claim.release()

    def test_short_trouble_is_survived(self, state: LocalState) -> None:
        broken = Broken(state.root)
        with WriterLock.take(broken, pace=QUICK) as claim:
            Broken.fault = StateError("no network")
            time.sleep(0.1)
            Broken.fault = None
            seen = holder(state).beat
            until(lambda: holder(state).beat > seen + 2)
            assert not claim.lost.is_set()

    def test_hanging_heartbeat_does_not_hide_the_loss(self, state: LocalState) -> None:
        broken = Broken(state.root)
        claim = WriterLock.take(broken, pace=HASTY)
        Broken.delay = 60.0
        assert claim.lost.wait(30)

    def test_beat_that_arrived_unheard_is_ours(self, state: LocalState) -> None:
        broken = Broken(state.root)
        with WriterLock.take(broken, pace=QUICK) as claim:
            until(lambda: holder(state).beat >= 1)
            Broken.deaf = StateError("the answer was lost")
            until(lambda: Broken.deaf is None)
            seen = holder(state).beat
            until(lambda: holder(state).beat > seen + 2)
            assert not claim.lost.is_set()
        assert not holder(state).held

    def test_release_without_a_state_only_warns(
        self, state: LocalState, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken = Broken(state.root)
        claim = WriterLock.take(broken)
        Broken.fault = StateError("no network")
        with caplog.at_level(logging.WARNING, "raypipe.ledger.writer_lock"):
            claim.release()
        assert "no network" in caplog.text


class Broken(LocalState):
    """A state whose swaps fail, hang, or succeed unheard."""

    fault: StateError | None = None
    deaf: StateError | None = None
    delay = 0.0

    def put_if_match(self, name: str, data: bytes, tag: str) -> str | None:
        time.sleep(Broken.delay)
        if Broken.fault:
            raise Broken.fault
        done = super().put_if_match(name, data, tag)
        if Broken.deaf:
            error, Broken.deaf = Broken.deaf, None
            raise error
        return done


@pytest.fixture(autouse=True)
def _whole() -> Iterator[None]:
    yield
    Broken.fault, Broken.deaf, Broken.delay = None, None, 0.0


RACER = """
import sys, time
from raypipe.ledger.writer_lock import WriterLock
from raypipe.core.errors import SetupError
from raypipe.state.local import LocalState
state = LocalState(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    claim = WriterLock.take(state)
except SetupError as error:
    print("refused", error, flush=True)
else:
    print("took", claim.run_seq, flush=True)
    sys.stdin.readline()
    claim.release()
"""


def racer(state: LocalState) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RACER, state.root]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert hear(process) == "ready"
    return process


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


class TestProcesses:
    def test_one_of_two_racers_gets_it(self, state: LocalState) -> None:
        for turn in range(3):
            racers = [racer(state), racer(state)]
            for process in racers:
                say(process)
            heard = sorted(hear(process) for process in racers)
            assert heard[0].startswith("refused another raypipe is at work on this state: run")
            assert heard[1] == f"took {turn + 1}"
            for process in racers:
                process.communicate("go\n", timeout=60)
            assert not holder(state).held

    def test_killed_holder_is_followed_at_once(self, state: LocalState) -> None:
        process = racer(state)
        say(process)
        assert hear(process) == "took 1"
        with pytest.raises(SetupError, match=f"pid {process.pid}"):
            WriterLock.take(state)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time_ = FakeTime()
        with WriterLock.take(state, clock=time_.clock, sleep=time_.sleep) as claim:
            assert claim.run_seq == 2
            assert time_.now == 1_000.0
        assert asdict(holder(state))["run_seq"] == 2
        process.communicate()
