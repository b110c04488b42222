"""The writer lock: run numbers, races, takeover from an owner that ended, and loss."""

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
from raypipe.ledger.lock_owner import LOCK_NAME, LockOwner, current_boot_id, encode_owner
from raypipe.ledger.writer_lock import LockTiming, WriterLock
from raypipe.state.local import LocalState
from raypipe.state.store import StateError

ROOT = Path(__file__).parents[3]
QUICK = LockTiming(heartbeat_s=0.02, unreachable_s=30.0, stale_after_s=60.0)
"""Quick heartbeats; the other times are long, as a busy machine may delay a heartbeat."""
IMPATIENT = replace(QUICK, unreachable_s=0.2)


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path / "state"))


def read_owner(state: LocalState) -> LockOwner:
    return LockOwner(**json.loads(state.get(LOCK_NAME) or b"{}"))


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.005)


class FakeTime:
    """A clock that advances only while sleeping."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.on_sleep: Callable[[], object] = lambda: None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()


def owner_on_another_host(run: int = 4, **changes: object) -> LockOwner:
    plain = replace(
        LockOwner.current_process(run), host="another-host", boot_id="another boot", pid=77
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


class TestAcquire:
    def test_each_run_has_a_greater_number(self, state: LocalState) -> None:
        for expected in (1, 2, 3):
            with WriterLock.acquire(state) as lock:
                assert lock.run_seq == expected
                assert read_owner(state).held
            assert not read_owner(state).held
            assert read_owner(state).run_seq == expected

    def test_the_owner_is_this_process(self, state: LocalState) -> None:
        with WriterLock.acquire(state):
            owner = read_owner(state)
            assert (owner.pid, owner.boot_id) == (os.getpid(), current_boot_id())
            assert owner.is_local
            assert not owner.has_ended

    def test_the_lock_is_released_if_the_run_raises(self, state: LocalState) -> None:
        with pytest.raises(RuntimeError, match="boom"), WriterLock.acquire(state):
            raise RuntimeError("boom")
        assert not read_owner(state).held

    def test_a_second_release_does_nothing(self, state: LocalState) -> None:
        lock = WriterLock.acquire(state)
        lock.release()
        with WriterLock.acquire(state):
            lock.release()
            assert read_owner(state).held

    def test_a_running_owner_on_this_host_is_an_error(self, state: LocalState) -> None:
        time_ = FakeTime()
        with (
            WriterLock.acquire(state),
            pytest.raises(
                SetupError, match=rf"another raypipe writes.*pid {os.getpid()}.*kill {os.getpid()}"
            ),
        ):
            WriterLock.acquire(state, clock=time_.clock, sleep=time_.sleep)
        assert time_.now == 1_000.0

    @pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"who": 1}'])
    def test_a_damaged_file_is_named(self, state: LocalState, data: bytes) -> None:
        state.put(LOCK_NAME, data)
        with pytest.raises(SetupError, match=r"claim\.json.*damaged"):
            WriterLock.acquire(state)

    def test_run_numbers_survive_the_loss_of_the_file(self, state: LocalState) -> None:
        """Document versions in the index are run numbers, so they must never start again."""
        state.put("runs/20261123T203041Z-0007/run.json", b"{}")
        state.put("processed/part-00000005-000000-000000.parquet", b"")
        state.put("documents/d1/part-00000009-000000-000000.parquet", b"")
        with WriterLock.acquire(state) as lock:
            assert lock.run_seq == 10

    @pytest.mark.parametrize("previous", [None, LockOwner(run_seq=4, held=False)])
    def test_a_run_that_takes_the_lock_in_between_is_waited_for(
        self, state: LocalState, previous: LockOwner | None
    ) -> None:
        if previous is not None:
            state.put(LOCK_NAME, encode_owner(previous))
        raced, time_ = RacedState(state.root), FakeTime()
        raced.racer = owner_on_another_host(5)
        lock = WriterLock.acquire(raced, clock=time_.clock, sleep=time_.sleep)
        lock.release()
        assert (lock.run_seq, time_.now) == (6, 1_060.0)

    def test_by_default_an_owner_gives_up_before_another_run_takes_over(self) -> None:
        timing = LockTiming()
        assert timing.unreachable_s + timing.heartbeat_s < timing.stale_after_s


class TestTakeover:
    def test_an_owner_on_this_host_that_ended(self, state: LocalState) -> None:
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        state.put(LOCK_NAME, encode_owner(replace(LockOwner.current_process(4), pid=process.pid)))
        with WriterLock.acquire(state) as lock:
            assert lock.run_seq == 5

    def test_a_pid_that_was_reused(self, state: LocalState) -> None:
        state.put(LOCK_NAME, encode_owner(replace(LockOwner.current_process(4), started="1")))
        with WriterLock.acquire(state) as lock:
            assert lock.run_seq == 5

    def test_a_zombie_has_ended(self, state: LocalState) -> None:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        mine = replace(LockOwner.current_process(4), pid=process.pid, started=started)
        state.put(LOCK_NAME, encode_owner(mine))
        assert not mine.has_ended
        process.kill()
        wait_until(lambda: mine.has_ended)  # nobody has called wait() yet
        process.wait()

    def test_another_host_without_heartbeats(self, state: LocalState) -> None:
        state.put(LOCK_NAME, encode_owner(owner_on_another_host(4)))
        time_, lines = FakeTime(), list[str]()
        lock = WriterLock.acquire(state, on_wait=lines.append, clock=time_.clock, sleep=time_.sleep)
        lock.release()
        assert lock.run_seq == 5
        assert time_.now == 1_060.0
        (line,) = lines
        assert "run 4" in line
        assert "another-host" in line
        assert "60 s" in line

    def test_another_host_with_heartbeats_is_waited_for(self, state: LocalState) -> None:
        time_, other = FakeTime(), owner_on_another_host(4)
        state.put(LOCK_NAME, encode_owner(other))

        def beat() -> None:
            if time_.now < 1_300.0:
                state.put(LOCK_NAME, encode_owner(replace(other, beat=int(time_.now))))

        time_.on_sleep = beat
        lock = WriterLock.acquire(state, clock=time_.clock, sleep=time_.sleep)
        lock.release()
        assert time_.now == 1_355.0  # the last heartbeat was at 1295

    def test_another_host_that_releases_the_lock(self, state: LocalState) -> None:
        time_, other = FakeTime(), owner_on_another_host(4)
        state.put(LOCK_NAME, encode_owner(other))
        time_.on_sleep = lambda: state.put(LOCK_NAME, encode_owner(replace(other, held=False)))
        lock = WriterLock.acquire(state, clock=time_.clock, sleep=time_.sleep)
        lock.release()
        assert (lock.run_seq, time_.now) == (5, 1_005.0)

    def test_a_third_run_that_was_faster_is_waited_for(self, state: LocalState) -> None:
        time_ = FakeTime()
        state.put(LOCK_NAME, encode_owner(owner_on_another_host(4)))

        def acquire_as_third_run() -> None:
            if time_.now == 1_055.0:
                state.put(LOCK_NAME, encode_owner(owner_on_another_host(5, host="third-host")))

        time_.on_sleep = acquire_as_third_run
        lock = WriterLock.acquire(state, clock=time_.clock, sleep=time_.sleep)
        lock.release()
        assert (lock.run_seq, time_.now) == (6, 1_115.0)

    def test_another_container_is_another_host(self) -> None:
        """The kernel and the host name are the same, the pids are not."""
        twin = replace(
            LockOwner.current_process(1),
            boot_id=current_boot_id().rpartition(" ")[0] + " pid:[1]",
            pid=1,
        )
        assert not twin.is_local
        assert not twin.has_ended

    def test_sleep_may_raise_to_give_up(self, state: LocalState) -> None:
        state.put(LOCK_NAME, encode_owner(owner_on_another_host()))

        def give_up(_: float) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            WriterLock.acquire(state, sleep=give_up)


class TestHeldLock:
    def test_heartbeats_are_sent(self, state: LocalState) -> None:
        with WriterLock.acquire(state, timing=QUICK) as lock:
            wait_until(lambda: read_owner(state).beat >= 3)
            assert not lock.lost.is_set()
            lock.check()

    def test_its_number_can_be_raised_while_heartbeats_are_sent(self, state: LocalState) -> None:
        with WriterLock.acquire(state, timing=QUICK) as lock:
            for number in range(10, 60):
                assert lock.raise_run_seq(number) == lock.run_seq == number
            assert lock.raise_run_seq(5) == 59, "it is never lowered"
            seen = read_owner(state).beat
            wait_until(lambda: read_owner(state).beat > seen + 2)
            assert read_owner(state).run_seq == 59
            assert not lock.lost.is_set()
        assert (read_owner(state).run_seq, read_owner(state).held) == (59, False)
        with WriterLock.acquire(state) as lock:
            assert lock.run_seq == 60

    def test_the_number_of_a_lost_lock_is_not_raised(self, state: LocalState) -> None:
        lock = WriterLock.acquire(state)
        new_owner = encode_owner(owner_on_another_host(9))
        state.put(LOCK_NAME, new_owner)
        with pytest.raises(SetupError, match=r"taken over by run 9.*another-host"):
            lock.raise_run_seq(20)
        assert lock.lost.is_set()
        lock.release()
        assert state.get(LOCK_NAME) == new_owner

    def test_a_lock_taken_over_is_lost(self, state: LocalState) -> None:
        lock = WriterLock.acquire(state, timing=QUICK)
        new_owner = encode_owner(owner_on_another_host(9))
        state.put(LOCK_NAME, new_owner)
        assert lock.lost.wait(30)
        with pytest.raises(SetupError, match=r"taken over by run 9.*another-host.*run again"):
            lock.check()
        lock.release()
        assert state.get(LOCK_NAME) == new_owner  # not released: it is another's lock

    def test_a_deleted_lock_is_lost(self, state: LocalState) -> None:
        lock = WriterLock.acquire(state, timing=QUICK)
        # Deletion and heartbeat exclude each other through the file lock of the state.
        state.delete([LOCK_NAME])
        assert lock.lost.wait(30)
        assert "deleted" in lock.reason
        lock.release()
        assert state.get(LOCK_NAME) is None

    def test_the_lock_of_an_unreachable_state_is_lost_in_time(self, state: LocalState) -> None:
        faulty = FaultyState(state.root)
        lock = WriterLock.acquire(faulty, timing=IMPATIENT)
        FaultyState.fault = StateError("no network")
        began = time.monotonic()
        assert lock.lost.wait(30)
        assert time.monotonic() - began > 0.1
        assert "could not be reached" in lock.reason
        lock.release()

    def test_a_short_outage_is_survived(self, state: LocalState) -> None:
        faulty = FaultyState(state.root)
        with WriterLock.acquire(faulty, timing=QUICK) as lock:
            FaultyState.fault = StateError("no network")
            time.sleep(0.1)
            FaultyState.fault = None
            seen = read_owner(state).beat
            wait_until(lambda: read_owner(state).beat > seen + 2)
            assert not lock.lost.is_set()

    def test_a_hanging_heartbeat_does_not_delay_the_loss(self, state: LocalState) -> None:
        faulty = FaultyState(state.root)
        lock = WriterLock.acquire(faulty, timing=IMPATIENT)
        FaultyState.delay = 60.0
        assert lock.lost.wait(30)

    def test_a_heartbeat_whose_response_was_lost_counts(self, state: LocalState) -> None:
        faulty = FaultyState(state.root)
        with WriterLock.acquire(faulty, timing=QUICK) as lock:
            wait_until(lambda: read_owner(state).beat >= 1)
            FaultyState.lost_response = StateError("the response was lost")
            wait_until(lambda: FaultyState.lost_response is None)
            seen = read_owner(state).beat
            wait_until(lambda: read_owner(state).beat > seen + 2)
            assert not lock.lost.is_set()
        assert not read_owner(state).held

    def test_a_failed_release_is_a_warning(
        self, state: LocalState, caplog: pytest.LogCaptureFixture
    ) -> None:
        faulty = FaultyState(state.root)
        lock = WriterLock.acquire(faulty)
        FaultyState.fault = StateError("no network")
        with caplog.at_level(logging.WARNING, "raypipe.ledger.writer_lock"):
            lock.release()
        assert "no network" in caplog.text


class RacedState(LocalState):
    """A state in which another run takes the lock right after it was read."""

    racer: LockOwner | None = None

    def get_tagged(self, name: str) -> tuple[bytes, str] | None:
        seen = super().get_tagged(name)
        if self.racer is not None:
            racer, self.racer = self.racer, None
            self.put(name, encode_owner(racer))
        return seen


class FaultyState(LocalState):
    """A state whose swaps fail, hang, or lose their response."""

    fault: StateError | None = None
    lost_response: StateError | None = None
    delay = 0.0

    def put_if_match(self, name: str, data: bytes, tag: str, *, durable: bool = True) -> str | None:
        time.sleep(FaultyState.delay)
        if FaultyState.fault:
            raise FaultyState.fault
        new_tag = super().put_if_match(name, data, tag)
        if FaultyState.lost_response:
            error, FaultyState.lost_response = FaultyState.lost_response, None
            raise error
        return new_tag


@pytest.fixture(autouse=True)
def _reset_faulty_state() -> Iterator[None]:
    yield
    FaultyState.fault, FaultyState.lost_response, FaultyState.delay = None, None, 0.0


RACER = """
import sys, time
from raypipe.ledger.writer_lock import WriterLock
from raypipe.core.errors import SetupError
from raypipe.state.local import LocalState
state = LocalState(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    lock = WriterLock.acquire(state)
except SetupError as error:
    print("refused", error, flush=True)
else:
    print("acquired", lock.run_seq, flush=True)
    sys.stdin.readline()
    lock.release()
"""


def start_racer(state: LocalState) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RACER, state.root]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert read_line(process) == "ready"
    return process


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def send_line(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


class TestProcesses:
    def test_one_of_two_racing_processes_gets_the_lock(self, state: LocalState) -> None:
        for turn in range(3):
            racers = [start_racer(state), start_racer(state)]
            for process in racers:
                send_line(process)
            acquired, refused = sorted(read_line(process) for process in racers)
            assert refused.startswith("refused another raypipe writes to this state: run")
            assert acquired == f"acquired {turn + 1}"
            for process in racers:
                process.communicate("go\n", timeout=60)
            assert not read_owner(state).held

    def test_the_lock_of_a_killed_owner_is_taken_over_at_once(self, state: LocalState) -> None:
        process = start_racer(state)
        send_line(process)
        assert read_line(process) == "acquired 1"
        with pytest.raises(SetupError, match=f"pid {process.pid}"):
            WriterLock.acquire(state)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time_ = FakeTime()
        with WriterLock.acquire(state, clock=time_.clock, sleep=time_.sleep) as lock:
            assert lock.run_seq == 2
            assert time_.now == 1_000.0
        assert asdict(read_owner(state))["run_seq"] == 2
        process.communicate()
