from __future__ import annotations

import threading
import time

import pytest

from raypipe.coordination import background_work
from raypipe.coordination.background_work import BackgroundWork, StopTimeout


def wait_in_thread(work: BackgroundWork) -> BaseException | None:
    """Wait for work in a thread that is not the main thread; return what ended the wait."""
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            work.wait(threading.Event())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return errors[0] if errors else None


def test_work_can_be_given_up_from_any_thread_and_cleans_up() -> None:
    cleaned_up = threading.Event()

    def sleep() -> None:
        try:
            while True:
                time.sleep(0.01)
        finally:
            cleaned_up.set()

    work = BackgroundWork(sleep, interrupts=True)
    threading.Timer(0.1, work.give_up).start()
    assert isinstance(wait_in_thread(work), StopTimeout)
    assert cleaned_up.is_set()


def test_a_hanging_thread_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_work, "UNWIND_S", 0.1)
    released = threading.Event()

    def hang() -> None:
        released.wait(300)

    for interrupts in (False, True):
        work = BackgroundWork(hang, interrupts=interrupts)
        threading.Timer(0.1, work.give_up).start()
        assert isinstance(wait_in_thread(work), StopTimeout)
    released.set()


def test_work_that_is_given_up_before_it_begins_is_not_done() -> None:
    done: list[str] = []
    work = BackgroundWork(lambda: done.append("work"), interrupts=True)
    work.give_up()
    assert isinstance(wait_in_thread(work), StopTimeout)
    assert done == []


def test_the_error_of_the_work_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    assert str(wait_in_thread(BackgroundWork(fail, interrupts=True))) == "no"
    assert wait_in_thread(BackgroundWork(lambda: None, interrupts=True)) is None
