"""Wrong command lines and environments: tracebacks, lines without a way out, what stays behind.

    python tests/benchmarks/bench_wrong_commands.py [--cases PATTERN] [--without-services]

Each case of `wrong_commands.CASES` is a real process in an empty folder, two at a time. It must end
with exactly one line `raypipe: ...` that names the wrong thing and a way out, and leave no process,
no index, and no state of a run that could not start. An OpenSearch node that was started, although
what is wrong could be found without it, counts as left behind, too. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from processes import MARK, marked_processes  # noqa: E402
from report import Report, say  # noqa: E402
from wrong_commands import CASES, Case  # noqa: E402

from raypipe.embedded.jars import cache_home  # noqa: E402

AT_A_TIME = 2
LIMIT_S = 120.0
END_S = 15.0
"""Seconds in which the processes of a command end after it."""
ERROR = "raypipe: "
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d ")
NOTICE = re.compile(r"this run writes no log$")
WAY_OUT = re.compile(
    r"\b(choose|did you mean|see raypipe|raypipe [a-z]+|pip install|set|give|write|use|run|check|"
    r"install|free|grant|delete|add|put|move|make|name|raise|wait|"
    r"restore|upgrade|log in|quote|Fix)\b|"
    r"must be|needs|\bhas [a-z_]+, | --[a-z]"
)
BLOCKER = """
import sys
for name in {names!r}:
    sys.modules[name] = None
"""


def main() -> None:
    """Run the cases, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="", help="pattern of the names to run")
    parser.add_argument("--without-services", action="store_true", help="skip those that need them")
    options = parser.parse_args()
    cases = [case for case in CASES if re.search(options.cases, case.name)]
    if options.without_services:
        cases = [case for case in cases if not case.needs_services and not _is_late(case)]
    began, report = time.monotonic(), Report("wrong_commands")
    with ExitStack() as stack:
        world = World.create(stack, has_services=any(case.needs_services for case in cases))
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            results = list(pool.map(world.run, cases))
    faults = [result for result in results if result.faults]
    for result in faults:
        say(f"-- {result.case.name}: {'; '.join(result.faults)}\n{result.shown}")

    def count(kind: str) -> int:
        return sum(any(fault.startswith(kind) for fault in result.faults) for result in results)

    everything = not options.cases and not options.without_services
    report.at_least("cases", len(results), 60 if everything else 1)
    report.at_most("tracebacks", count("traceback"), 0)
    report.at_most("lines_without_a_way_out", count("line"), 0)
    report.at_most("left_behind", count("left"), 0)
    report.at_most("other_faults", count("other"), 0)
    report.at_most("seconds", time.monotonic() - began, 600, "s")
    report.note("faults", [result.case.name for result in faults])
    report.finish()


def _is_late(case: Case) -> bool:
    """Whether a case starts Ray or a node: its signal waits for a process."""
    return case.interrupt is not None and isinstance(case.interrupt[1], str)


@dataclass
class Result:
    """What a case has shown."""

    case: Case
    faults: list[str] = field(default_factory=list)
    shown: str = ""


@dataclass
class World:
    """What all cases share: books, servers and services."""

    folder: Path
    places: Mapping[str, str]
    node: str

    @classmethod
    def create(cls, stack: ExitStack, *, has_services: bool) -> World:
        """Start the servers; the stack stops them."""
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raypipe-wrong-")))
        books = folder / "books"
        books.mkdir()
        for number, title in enumerate(("书中自有黄金屋", "Tale of Two", "Third Tale")):
            text = " ".join(f"Sentence {place} tells a tale of {title}." for place in range(60))
            (books / f"{title}__by__Author_{number}.txt").write_text(text, encoding="utf-8")
        html, plain = stack.enter_context(serve_html()), stack.enter_context(serve_silence())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            refused = f"http://127.0.0.1:{free.getsockname()[1]}"
        node, s3 = "", ""
        if has_services:
            node, s3 = stack.enter_context(run_services(folder / "services"))
        places = {"books": str(books), "html": html, "plain": str(plain), "refused": refused}
        return cls(folder, {**places, "node": node, "s3": s3}, node)

    def run(self, case: Case) -> Result:
        """Run a case in a folder of its own."""
        name = re.sub(r"\W+", "-", case.name.lower()).strip("-")[:40]
        index, mark = f"wrong-{name}-{uuid.uuid4().hex[:6]}", uuid.uuid4().hex
        folder = self.folder / index
        folder.mkdir()
        places = {**self.places, "here": str(folder), "index": index}
        if case.prepare:
            case.prepare(folder)
        env = self._environment(case, places, folder, mark)
        if case.before:
            subprocess.run(_command(case.before, places), cwd=folder, env=env, capture_output=True)
        has_log = (folder / "raypipe-data/logs/opensearch.log").exists()
        indices = self._indices(index)
        result = Result(case)
        started = time.monotonic()
        code, out, err = execute(case, _command(case.args, places), folder, env, mark)
        seconds = time.monotonic() - started
        result.shown = f"   exit {code} after {seconds:.1f} s\n" + "\n".join(
            f"   | {line}" for line in (*out.splitlines()[-5:], *err.splitlines()[-12:])
        )
        result.faults += judge(case, places, code, out, err)
        result.faults += self._find_leftovers(case, folder, mark, has_log=has_log)
        if indices != self._indices(index):
            result.faults.append("left an index")
        say(f"{'FAULT' if result.faults else 'ok':5} {seconds:5.1f} s  {case.name}")
        self._clean(folder, index)
        return result

    def _environment(
        self, case: Case, places: Mapping[str, str], folder: Path, mark: str
    ) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not _is_setting(name)}
        env = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "RAYPIPE_CACHE": str(cache_home()),
            "AWS_EC2_METADATA_DISABLED": "true",
            MARK: mark,
        }
        given = {name: _fill(value, places) for name, value in case.env.items()}
        paths = [path for path in (given.pop("PYTHONPATH", ""), str(ROOT)) if path]
        if case.missing:
            blocker = folder / "blocker" / "sitecustomize.py"
            blocker.parent.mkdir()
            blocker.write_text(BLOCKER.format(names=list(case.missing)))
            paths.insert(0, str(blocker.parent))
        return {**env, **given, "PYTHONPATH": os.pathsep.join(paths)}

    def _indices(self, prefix: str) -> set[str]:
        if not self.node:
            return set()
        url = f"{self.node}/_cat/indices/{prefix}*?h=index"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return set(response.read().decode().split())
        except urllib.error.HTTPError:
            return set()

    def _find_leftovers(
        self, case: Case, folder: Path, mark: str, *, has_log: bool
    ) -> Iterator[str]:
        deadline = time.monotonic() + END_S
        while (alive := marked_processes(mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if alive:
            yield f"left processes: {[process.name() for process in alive]}"
            for process in alive:
                with suppress(psutil.Error):
                    process.kill()
        is_started = (folder / "raypipe-data/logs/opensearch.log").exists()
        if is_started and not has_log and not case.keeps_state:
            yield "left the data of an OpenSearch node that was started in vain"
        for state in ("state", "raypipe-data/state"):
            if (folder / state).exists() and not case.keeps_state:
                yield f"left a state: {sorted(os.listdir(folder / state))}"  # noqa: PTH208

    def _clean(self, folder: Path, index: str) -> None:
        for name in self._indices(index):
            url = urllib.request.Request(f"{self.node}/{name}", method="DELETE")
            with suppress(OSError):
                urllib.request.urlopen(url, timeout=30).close()
        shutil.rmtree(folder, ignore_errors=True)


def judge(case: Case, places: Mapping[str, str], code: int, out: str, err: str) -> Iterator[str]:
    """Yield what is wrong with the output of a case."""
    if "Traceback (most recent call last)" in out + err or re.search(r'^ +File "', err, re.M):
        yield "traceback"
    elif "traceback is in" in err:
        yield "traceback in a file: an error that raypipe does not expect"
    if code not in case.codes:
        yield f"other: exit code {code}"
    if case.secret and case.secret in out + err:
        yield "other: a secret is printed"
    if case.prints and not re.search(case.prints, out):
        yield f"other: the output lacks {case.prints}"
    lines = [line for line in err.splitlines() if not LOG_LINE.match(line)]
    errors = [line for line in lines if line.startswith(ERROR) and not NOTICE.search(line)]
    others = [line for line in lines if not line.startswith(ERROR)]
    if others:
        yield f"line: {len(others)} lines that are neither errors nor log lines"
    if not case.wrong:
        if errors:
            yield "line: an error where there is none"
        return
    if len(errors) != 1:
        yield f"line: {len(errors)} lines with an error"
        return
    line = errors[0].removeprefix(ERROR)
    wrong = _fill(case.wrong, {name: re.escape(place) for name, place in places.items()})
    if not re.search(wrong, line):
        yield f"line: it does not name {wrong}"
    if not re.search(case.way_out or WAY_OUT, line):
        yield "line: no way out"


def execute(
    case: Case, command: Sequence[str], folder: Path, env: Mapping[str, str], mark: str
) -> tuple[int, str, str]:
    """Run a command; return its exit code and its output."""
    streams = {"pipe": subprocess.PIPE, "head": subprocess.PIPE}
    with ExitStack() as stack:
        full = stack.enter_context(Path("/dev/full").open("wb"))
        stdout = streams.get(case.stdout, full)
        stderr = streams.get(case.stderr, full)

        def prepare() -> None:  # in the child, before it becomes the command
            for number, kind in ((1, case.stdout), (2, case.stderr)):
                if kind == "closed":
                    os.close(number)
            if case.file_limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (case.file_limit, case.file_limit))
            if case.in_deleted_folder:
                (folder / "gone").mkdir()
                os.chdir(folder / "gone")
                (folder / "gone").rmdir()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)

        process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=prepare,
            start_new_session=True,
        )
        if case.interrupt:
            number, moment = case.interrupt
            send = threading.Thread(target=_interrupt, args=(process, number, moment, mark))
            send.start()
            stack.callback(send.join)
        if case.stdout == "head" and process.stdout:
            process.stdout.readline()
            process.stdout.close()
            process.stdout = None
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
    texts = ((text or b"").decode("utf-8", "backslashreplace") for text in (out, err))
    return process.returncode, *texts


def _interrupt(
    process: subprocess.Popen[bytes], number: signal.Signals, moment: float | str, mark: str
) -> None:
    if isinstance(moment, str):
        while process.poll() is None and not any(
            _name_of(each) == moment for each in marked_processes(mark)
        ):
            time.sleep(0.05)
        time.sleep(0.3)
    else:
        while process.poll() is None and not _handles(process.pid, signal.SIGTERM):
            time.sleep(0.01)  # the interpreter still starts
        time.sleep(moment)
    if process.poll() is None:
        process.send_signal(number)


def _handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of a signal."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        mask = next(line for line in lines if line.startswith("SigCgt:"))
        return bool(int(mask.split()[1], 16) >> (number - 1) & 1)
    return False


def _name_of(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.name()
    return ""


def _command(args: Sequence[str], places: Mapping[str, str]) -> list[str]:
    return [sys.executable, "-m", "raypipe", *(_fill(arg, places) for arg in args)]


def _fill(text: str, places: Mapping[str, str]) -> str:
    """Put the places into a text; other braces stay."""
    for name, place in places.items():
        text = text.replace(f"{{{name}}}", place)
    return text


def _is_setting(name: str) -> bool:
    return name.startswith(("AWS_", "OPENAI_", "OPENSEARCH_", "RAYPIPE_", "LC_", "PYTHON", "RAY_"))


@contextmanager
def run_services(data: Path) -> Iterator[tuple[str, str]]:
    """Yield the URLs of an embedded node and S3 server, which run until the block ends."""
    option = f"embedded.data={data}"
    command = [sys.executable, "-m", "raypipe"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        shown = subprocess.run(
            [*command, "up", option], env=env, check=True, capture_output=True, text=True
        ).stdout
        node, s3 = re.findall(r"^(?:OpenSearch|S3) +(http\S+)", shown, re.M)[:2]
        yield node, s3
    finally:
        subprocess.run([*command, "down", option], env=env, check=False, capture_output=True)


@contextmanager
def serve_html() -> Iterator[str]:
    """Yield the URL of a web server that answers every request with a page."""

    class Page(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b"<html><body><h1>Welcome</h1></body></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serve_silence() -> Iterator[int]:
    """Yield the port of a server that closes every connection after what it reads first."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


if __name__ == "__main__":
    main()
