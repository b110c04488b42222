"""The programs that are compared, and the command line of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from raypipe import __version__
from tests.benchmarks.compare.environments import prepare_environment, read_versions

ROOT = Path(__file__).resolve().parents[3]
PEERS = Path(__file__).parent / "peers"
CHUNK_TOKENS = 16_000
"""A book of the comparison fits into one chunk, so that it takes one call."""


@dataclass(frozen=True)
class Task:
    """What a contender has to do.

    Args:
        books: Folder of the books.
        state: Folder for what the contender keeps between runs.
        index: Name of the index.
        opensearch: URL of the node.
        models: URL of the model server.
        in_flight: Maximum number of model calls at a time.
        calls_model: Whether the model summarizes; otherwise the summary is the first words.
        handles_errors: Whether the program catches the errors of a book itself, where its framework
            does not. raypipe and the plain script always do.
    """

    books: Path
    state: Path
    index: str
    opensearch: str
    models: str
    in_flight: int
    calls_model: bool = True
    handles_errors: bool = False


@dataclass(frozen=True)
class Contender:
    """A way to do the task.

    Args:
        name: Name in options and files.
        label: Name in the table.
        how: How it does the task, in a few words.
        make_command: Returns the command line of a task.
        get_versions: Returns the versions of its packages.
        is_framework: Whether its program does not handle errors unless the task says so.
        environment: Environment variables for it alone.
    """

    name: str
    label: str
    how: str
    make_command: Callable[[Task], list[str]]
    get_versions: Callable[[], dict[str, str]]
    is_framework: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


def _peer(
    name: str, label: str, how: str, *options: str, program: str = "", is_framework: bool = True
) -> Contender:
    """Return a contender that has a program in `peers/` and requirements of the same name."""
    program = program or name

    def make_command(task: Task) -> list[str]:
        return [
            str(prepare_environment(program)), str(PEERS / f"{program}.py"),
            f"--books={task.books}", f"--state={task.state}", f"--index={task.index}",
            f"--opensearch={task.opensearch}", f"--models={task.models}/v1",
            f"--in-flight={task.in_flight}",
            *([] if task.calls_model else ["--first-words"]),
            *(["--handle-errors"] if task.handles_errors else []),
            *options,
        ]  # fmt: skip

    return Contender(
        name=name,
        label=label,
        how=how,
        make_command=make_command,
        get_versions=lambda: read_versions(program, prepare_environment(program)),
        is_framework=is_framework,
    )


def _raypipe(executor: str, label: str, how: str) -> Contender:
    def make_command(task: Task) -> list[str]:
        return [
            sys.executable, "-m", "raypipe", "run", f"executor={executor}",
            "storage=local", f"storage.path={task.books}", f"state.uri={task.state}",
            "embedder=wordllama", "opensearch=self_managed",
            f"opensearch.endpoint={task.opensearch}", f"opensearch.index={task.index}",
            "opensearch.replicas=0",
            *(_model_options(task) if task.calls_model else ["summarizer=lead", "scale=large"]),
        ]  # fmt: skip

    def get_versions() -> dict[str, str]:
        packages = ["opensearch-py", "urllib3", *(["ray"] if executor == "ray" else [])]
        return {"raypipe": __version__, **{name: version(name) for name in packages}}

    name = f"raypipe_{executor}"
    here = {"PYTHONPATH": str(ROOT)}  # this checkout, wherever the command runs
    return Contender(name, label, how, make_command, get_versions, False, here)


def _model_options(task: Task) -> list[str]:
    return [
        "summarizer=openai", "summarizer.model_id=simulated",
        f"summarizer.model.base_url={task.models}/v1", f"summarizer.chunk_tokens={CHUNK_TOKENS}",
        "quota=none", f"quota.max_in_flight={task.in_flight}", "scale=medium",
    ]  # fmt: skip


CONTENDERS: Mapping[str, Contender] = {
    contender.name: contender
    for contender in (
        _raypipe("local", "raypipe, local", "`raypipe run executor=local`"),
        _raypipe("ray", "raypipe, Ray", "`raypipe run executor=ray`"),
        _peer(
            "plain_script", "plain script",
            "threads, the `openai` client, `parallel_bulk`, JSON lines of answers and books done",
            is_framework=False,
        ),
        _peer(
            "langchain_index", "LangChain",
            "`chain.batch` with an SQLite cache of answers, `index()` with `SQLRecordManager`",
        ),
        _peer(
            "llamaindex_pipeline", "LlamaIndex",
            "`IngestionPipeline` with a document store, saved after each 100 books",
        ),
        _peer(
            "haystack_pipeline", "Haystack",
            "a pipeline from `CacheChecker` to `DocumentWriter`, for 100 books at a time",
        ),
        _peer("daft_sink", "Daft", "UDFs, an anti-join with the index, a `DataSink`"),
        _peer(
            "sycamore_ray", "Sycamore, Ray",
            "`map_batch`, `embed`, `write.opensearch` on Ray",
            "--mode=ray",
        ),
        _peer(
            "sycamore_local", "Sycamore, local", "the same program without Ray",
            "--mode=local", program="sycamore_ray",
        ),
    )
}  # fmt: skip


def make_environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of all contenders.

    Args:
        folder: Folder of temporary files.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        # Modules that are not kept compiled cost a start seconds; a proxy is not for this machine.
        if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV")
        and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "TMPDIR": str(folder),
        "OPENAI_API_KEY": "simulated",
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "LANGSMITH_TRACING": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
