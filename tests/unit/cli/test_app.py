from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raypipe.cli.app import split_command
from raypipe.core.errors import OptionError


def test_the_first_word_is_the_command_and_run_is_the_default() -> None:
    assert split_command([]) == ("run", [])
    assert split_command(["limit=3"]) == ("run", ["limit=3"])
    assert split_command(["search", "x"]) == ("search", ["x"])


def test_an_error_about_an_unknown_command_lists_the_commands() -> None:
    with pytest.raises(OptionError, match="'serch'; did you mean search"):
        split_command(["serch", "x"])


HANGING = """
import threading
from concurrent.futures import ThreadPoolExecutor
from raypipe.cli import app
from raypipe.coordination.background_work import BackgroundWork, StopTimeout

def give_up_a_request(args):
    def send():
        with ThreadPoolExecutor(1) as pool:  # the interpreter waits for such threads
            pool.submit(threading.Event().wait).result()

    work = BackgroundWork(send, interrupts=False)
    threading.Timer(0.1, work.give_up).start()
    try:
        work.wait(threading.Event())
    except StopTimeout:
        print("left")
    return 4

app.run_command_line = give_up_a_request
app.main()
"""


def test_a_command_ends_although_a_request_that_was_given_up_hangs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (4, "left\n"), done.stderr


def test_a_current_folder_that_was_deleted_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()

    def leave() -> None:
        os.chdir(gone)
        gone.rmdir()

    done = subprocess.run(
        [sys.executable, "-m", "raypipe", "settings"], preexec_fn=leave, capture_output=True
    )
    expected = "the current folder: No such file or directory; change to a folder that exists"
    assert (done.returncode, done.stderr.decode()) == (1, f"raypipe: {expected}\n")
