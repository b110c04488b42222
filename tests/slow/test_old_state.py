"""A state and an index that commit 3c73c8f wrote stay valid, and the present code writes the same.

`tests/fixtures/record_state.py` made the recording and describes its scenario.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hydra import compose, initialize_config_dir

from raypipe.cli.job_factory import build_processing
from raypipe.config.paths import conf_dir
from raypipe.config.schema import register_schemas
from raypipe.core.fingerprint import Recipe
from raypipe.ledger import run_records
from raypipe.ledger.answer_cache import list_entries, read_usage
from raypipe.ledger.lock_owner import decode_owner
from raypipe.ledger.usage import usage_by_model
from raypipe.ledger.writer_lock import WriterLock
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import ServerOptions
from raypipe.state.local import LocalState
from raypipe.text import cleaner
from tests.fixtures import record_state
from tests.fixtures.record_state import BUCKET, OTHER_PARTS, PARTS, QUERY, READABLE, Recorder
from tests.integration.s3_server import CountingS3Server

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests" / "fixtures" / "state_3c73c8f"
INDEX = json.loads((RECORDING / "index.json").read_text(encoding="utf-8"))
RECORDED = json.loads((RECORDING / "recording.json").read_text(encoding="utf-8"))
OUTPUTS: dict[str, Any] = RECORDED["outputs"]
RUN, VERIFY, SEARCH = (RECORDED["options"][name] for name in ("run", "verify", "search"))
PER_RUN = {"run_id", "run_seq", "seconds", "started_at", "stage_seconds", "versions"}
"""Keys of run.json that differ from run to run."""
NEW_OPTIONS = ("executor=local",)
"""Options that the recorded code did not have; they change no result."""
NEW_KEYS = {
    *("renames_waiting", "replaces", "may_replace", "upgrade", "requests"),
    *("unlisted_folders", "unseen", "models", "service_tier", "not_taken"),
}
"""Keys of records, estimates and comparisons that the recorded code did not write."""
NEW_FILES = ("cache/check/", "models/", "recipes/", "usage/log-", "usage/run-", "usage/sums.json")
"""Files of a state that the recorded code did not write."""
NEW_FILES_OF_A_RUN = ("/progress.json", "/statistics.json", "/report.html")
"""Files in the folder of a run that the recorded code did not write."""
ANSWER_KEYS = {"book", "billed_as", "tier"}
"""Keys of a cached answer that the recorded code did not write."""
OLD_FILES = "usage/part-"
"""Files that the recorded code alone wrote: sums of answers, which are only read today."""
NEW_COLUMNS = {"renamed_to", "usd"}
"""Columns that the recorded code did not write; `removed/2` and `documents/3` have them."""
COUNTS = {"model_calls", "input_tokens"}
"""Numbers of a document that count its embedding today, too."""
NEW_METADATA = {"summarizer", "embedder_name", "mapping", "served"}
"""Metadata of an index that the recorded code did not write."""
PER_SERVER = {"creation_date", "uuid", "version", "provided_name"}
"""Settings that the server gives an index."""
RECORDED_CLEANER = 2
"""Version of the cleaner of the recorded code. Later versions give the same clean texts of these
books, so that only the version in the recipe differs."""
CHECK_CALLS = 4
"""Calls of a few tokens by which a run checks its models before the first book."""


@pytest.fixture
def restored(tmp_path: Path, opensearch_url: str, s3: CountingS3Server) -> Iterator[Recorder]:
    """Restore the recorded bucket, index and state for the commands of this checkout."""
    s3.create_bucket(BUCKET)
    for path in (RECORDING / "books").rglob("*.txt"):
        s3.put_object(BUCKET, path.relative_to(RECORDING / "books").as_posix(), path.read_bytes())
    shutil.copytree(RECORDING / "state", tmp_path / "state")
    restore_index(opensearch_url)
    yield Recorder(
        ROOT, tmp_path, opensearch_url, s3,
        run_options=NEW_OPTIONS, cleaner_version=RECORDED_CLEANER,
    )  # fmt: skip
    record_state.delete_index(opensearch_url, record_state.INDEX)


@pytest.fixture
def models(restored: Recorder) -> Iterator[ModelServer]:
    """Start a model server that counts the calls of the restored state's commands."""
    with ModelServer(ServerOptions()) as server:
        restored.models = server.url
        yield server


def restore_index(opensearch: str) -> None:
    """Create the recorded index with its documents and their versions."""
    from opensearchpy import OpenSearch
    from opensearchpy.helpers import bulk

    client = OpenSearch(opensearch, timeout=60)
    settings = without(INDEX["settings"]["index"], PER_SERVER)
    body = {"settings": settings, "mappings": INDEX["mappings"], "aliases": INDEX["aliases"]}
    client.indices.create(index=INDEX["physical"], body=body)
    actions = [
        {
            "_index": INDEX["physical"],
            "_id": document["_id"],
            "_source": document["_source"],
            "version": document["_version"],
            "version_type": "external",
        }
        for document in INDEX["documents"]
    ]
    assert bulk(client, actions, refresh=True) == (len(actions), [])


def without(record: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def test_a_plan_and_a_run_have_nothing_to_do(restored: Recorder, models: ModelServer) -> None:
    state_before = file_contents(restored.folder / "state")
    assert without(restored.command("plan", *RUN), NEW_KEYS) == OUTPUTS["plan"]
    assert file_contents(restored.folder / "state") == state_before, "a plan changes nothing"

    record = restored.command("run", *RUN, python=["-X", "importtime"])
    assert without(record, PER_RUN | NEW_KEYS) == without(OUTPUTS["last_run"], PER_RUN)
    assert record["skipped"] == record["listed"] == 4
    assert record["run_seq"] == OUTPUTS["last_run"]["run_seq"] + 1
    assert restored.s3.gets == [], "no book is read"
    assert models.stats()["answered"] == 0, "no model is called"
    modules = re.findall(r"^import time:.*\|\s+([\w.]+)$", restored.stderr, re.MULTILINE)
    assert "raypipe.run.runner" in modules
    assert not [name for name in modules if name.partition(".")[0] == "ray"], "Ray is not started"
    state_after = file_contents(restored.folder / "state")
    changed = {name for name in state_after if state_after[name] != state_before.get(name)}
    new_record = f"runs/{record['run_id']}/run.json"
    assert changed == {"claim.json", "runs/latest", new_record}, "the run wrote its record only"


def test_a_plan_tells_of_a_new_cleaner_and_an_upgrade_makes_the_documents_again(
    restored: Recorder, models: ModelServer
) -> None:
    restored.cleaner_version = 0
    plan = restored.command("plan", *RUN)
    assert plan["upgrade"]["documents"] == plan["done"] == 3
    record = restored.command("run", *RUN, "upgrade=true", exit_code=3)
    assert (record["indexed"], record["failed"], record["left"]) == (3, 1, 0)


@pytest.mark.parametrize("number", range(len(OTHER_PARTS)))
def test_documents_of_other_recipes_are_known(
    restored: Recorder, models: ModelServer, number: int
) -> None:
    record = restored.command("run", *record_state.other_run(OTHER_PARTS[number]))
    assert (record["listed"], record["skipped"], record["model_calls"]) == (1, 1, 0)
    assert restored.s3.gets == []
    assert models.stats()["answered"] == 0


def test_verify_reports_the_same(restored: Recorder) -> None:
    report = restored.command("verify", *VERIFY, exit_code=3)
    assert without(report, NEW_KEYS) == OUTPUTS["verify"]
    report = restored.command("verify", *VERIFY, READABLE)
    assert without(report, NEW_KEYS) == OUTPUTS["verify_readable"]
    assert OUTPUTS["verify_readable"]["exit_code"] == 0
    assert restored.s3.gets == []


def test_a_search_returns_the_same_hits(restored: Recorder, models: ModelServer) -> None:
    found = restored.command("search", QUERY, *SEARCH)
    assert hits_of(found) == hits_of(OUTPUTS["search"])
    assert found["hits"][0]["key"] == "shelf/Lake.txt"
    assert models.stats()["answered"] == 1, "the query's embedding"


def hits_of(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the hits without their scores, which depend on the index's deleted documents."""
    return [without(hit, {"score"}) for hit in found["hits"]]


def test_cached_answers_replace_every_model_call(restored: Recorder, models: ModelServer) -> None:
    shutil.rmtree(restored.folder / "state" / "documents")
    options = [option for option in RUN if not option.startswith("opensearch")]
    record = restored.command("run", *options, "opensearch=none", "storage.prefix=shelf/L")
    assert (record["finished"], record["model_calls"]) == (2, 0)
    assert record["cached_calls"] > 2
    assert sorted(restored.s3.gets) == ["shelf/Lake.txt", "shelf/Letters.txt"]
    assert models.stats()["answered"] <= CHECK_CALLS
    recorded = rows_of(RECORDING / "state", "documents")
    written = rows_of(restored.folder / "state", "documents")
    assert len(written) == 2
    counts = {"run_seq", "model_calls", "input_tokens", "output_tokens"}
    for (recipe, book, _), row in written.items():
        [old] = [recorded[key] for key in recorded if key[:2] == (recipe, book) and key[2] == 2]
        assert_same_row(without(row, counts), without(old, counts))


@cache
def recipe_of(parts: tuple[str, ...]) -> Recipe:
    """Return the recipe of a summarizer and an embedder as this checkout computes it."""
    register_schemas()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("run", overrides=list(parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaner, "CLEANER_VERSION", RECORDED_CLEANER)
        return build_processing(cfg).recipe


@pytest.mark.parametrize("parts", [PARTS, *OTHER_PARTS], ids=lambda parts: parts[0])
def test_recipes_are_the_recorded_ones(parts: tuple[str, ...]) -> None:
    recipe = recipe_of(parts)
    recorded = rows_of(RECORDING / "state", "documents").values()
    rows = [row for row in recorded if row["document_recipe"] == recipe.document]
    assert {(row["text_recipe"], row["summary_recipe"]) for row in rows} == {
        (recipe.text, recipe.summary)
    }


def test_the_recorded_files_are_read(tmp_path: Path) -> None:
    shutil.copytree(RECORDING / "state", tmp_path / "state")
    state = LocalState(str(tmp_path / "state"))

    latest = run_records.load(state)
    assert latest is not None
    assert without(vars(latest), NEW_KEYS) == OUTPUTS["last_run"]
    for name in ("first_run", "second_run", *(f"other_run_{i}" for i in range(len(OTHER_PARTS)))):
        loaded = run_records.load(state, OUTPUTS[name]["run_id"])
        assert loaded is not None
        assert without(vars(loaded), NEW_KEYS) == OUTPUTS[name]

    owner = decode_owner((RECORDING / "state" / "claim.json").read_bytes(), state)
    assert (owner.run_seq, owner.held) == (OUTPUTS["last_run"]["run_seq"], False)
    with WriterLock.acquire(state) as lock:
        assert lock.run_seq == owner.run_seq + 1

    entries = list_entries(state)
    assert len(entries) == len(list((RECORDING / "state" / "cache").rglob("*.json")))
    usage = dict(read_usage(state, entries))
    assert len(usage) == len(entries), "no entry is taken for damaged"
    paid = [OUTPUTS[name] for name in OUTPUTS if name.endswith("run") or "run_" in name]
    tokens = sum(record["input_tokens"] + record["output_tokens"] for record in paid)
    assert sum(each.input_tokens + each.output_tokens for each in usage.values()) == tokens
    for run_seq in (90, 91):  # from the answers and their old sums, then from the sums of today
        summed = usage_by_model(state, run_seq)
        assert sum(each.input_tokens + each.output_tokens for each in summed) == tokens


# The present code records the same scenario, and the two recordings are compared.


@dataclass(frozen=True)
class Recording:
    """A folder that `record_state.record` wrote."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = self._json("recording.json")["outputs"]
        return outputs

    @property
    def index(self) -> dict[str, Any]:
        return self._json("index.json")

    def _json(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return value


OLD = Recording(RECORDING)


@pytest.fixture(scope="module")
def today(
    tmp_path_factory: pytest.TempPathFactory, opensearch_url: str, s3_server: CountingS3Server
) -> Recording:
    """Record the scenario with the code of this checkout."""
    folder = tmp_path_factory.mktemp("today")
    index = f"today-{uuid.uuid4().hex[:12]}"
    recorder = Recorder(
        ROOT, folder, opensearch_url, s3_server, index,
        run_options=NEW_OPTIONS, cleaner_version=RECORDED_CLEANER,
    )  # fmt: skip
    record_state.record(recorder, folder / "recording")
    s3_server.reset()
    return Recording(folder / "recording")


def test_commands_print_the_same(today: Recording) -> None:
    per_index = {"index", "served", "generation"}
    assert list(today.outputs) == list(OLD.outputs)
    for name, old in OLD.outputs.items():
        new = without(today.outputs[name], NEW_KEYS)
        assert list(new) == list(old), "the keys of the output, in their order"
        if name == "search":
            assert hits_of(new) == hits_of(old)
        elif "run" in name:
            ignored = (PER_RUN | per_index) - {"run_seq"}
            assert without(new, ignored) == without(old, ignored)
            assert new["stage_seconds"].keys() == old["stage_seconds"].keys() - {"ray_start"}
            assert new["versions"].keys() == old["versions"].keys()
            assert bool(new["index"]) == bool(old["index"])
        else:
            assert new == old


def test_a_state_has_the_same_files(today: Recording) -> None:
    names = {
        name
        for name in file_patterns(today.state)
        if not name.startswith(NEW_FILES) and not name.endswith(NEW_FILES_OF_A_RUN)
    }
    # Unusable answers were not kept then, only what they cost.
    old = {name.replace(".spent-<random>", "") for name in file_patterns(OLD.state)}
    assert names == {name for name in old if not name.startswith(OLD_FILES)}


def test_parquet_parts_have_the_same_schema(today: Recording) -> None:
    new, old = parquet_layouts(today.state), parquet_layouts(OLD.state)
    kind, columns = new["removed"]
    assert (kind, old["removed"][0]) == ("removed/2", "removed/1")
    assert columns == f"{old['removed'][1]}\nrenamed_to: string"
    kind, columns = new["documents"]
    assert (kind, old["documents"][0]) == ("documents/3", "documents/2")
    assert columns.replace("\nusd: double", "") == old["documents"][1]
    changed = {"removed", "documents", "usage"}
    assert without(new, changed) == without(old, changed)
    assert set(new) == {"documents", "failures", "processed", "removed"}


@pytest.mark.parametrize("folder", ["documents", "failures", "processed", "removed"])
def test_the_ledger_has_the_same_rows(today: Recording, folder: str) -> None:
    new, old = rows_of(today.state, folder), rows_of(OLD.state, folder)
    assert new.keys() == old.keys()
    for key, row in old.items():
        assert_same_row(new[key], row)


def test_the_cache_has_the_same_entries(today: Recording) -> None:
    # The keys differ: servers are told apart today. The recorded keys are read, see the benchmark
    # bench_old_answers.py.
    (usages, answers), (old_usages, old_answers) = map(cache_entries, (today.state, OLD.state))
    assert usages == old_usages
    assert answers >= old_answers, "an unusable answer was not kept then, only what it cost"


def test_the_state_has_the_same_json_files(today: Recording) -> None:
    for name in ("claim.json", "state.json"):
        new, old = (json.loads((each / name).read_text()) for each in (today.state, OLD.state))
        assert list(new) == list(old)
    new_runs, old_runs = run_folders(today.state), run_folders(OLD.state)
    assert len(new_runs) == len(old_runs)
    for new, old in zip(new_runs, old_runs, strict=True):
        loaded = [json.loads((each / "run.json").read_text()) for each in (new, old)]
        assert list(without(loaded[0], NEW_KEYS)) == list(loaded[1])
        if (old / "config.yaml").exists():
            options = [yaml.safe_load((each / "config.yaml").read_text()) for each in (new, old)]
            added = {".executor", ".log", ".replace", ".upgrade", ".opensearch.flush_s"}
            added |= {".prices.s3.put", ".prices.s3.get", ".text.deadline_s"}
            added |= {".text.max_file_bytes"}
            added |= {".summarizer.model.cache_name", ".embedder.model.cache_name"}
            added |= {".ray.metrics_port", ".cloudwatch._target_"}
            if "max_tokens_field" in options[0].get("summarizer", {}).get("model", {}):
                added |= {".summarizer.model.service_tier"}  # only Bedrock had it
            ignored = (".prices.models.", ".text.formats.")  # a dated table, and new parts
            names, recorded = (
                [name for name in option_names(each) if not name.startswith(ignored)]
                for each in options
            )
            assert [name for name in names if name not in added] == recorded


def test_the_index_is_the_same(today: Recording) -> None:
    new, old = today.index, OLD.index
    marks = [each["mappings"]["_meta"].pop("raypipe") for each in (new, old)]
    assert sorted(without(marks[0], NEW_METADATA)) == sorted(marks[1])
    per_state = {"generation", "state"}
    assert without(marks[0], per_state | NEW_METADATA) == without(marks[1], per_state)
    assert new["mappings"] == old["mappings"]
    settings = [each["settings"]["index"] for each in (new, old)]
    assert without(settings[0], PER_SERVER) == without(settings[1], PER_SERVER)
    assert [new["aliases"].pop(f"{new['physical']}-write")] == list(old["aliases"].values())
    assert list(new["aliases"].values()) == list(old["aliases"].values())
    assert re.sub(r"\d{14}$", "<time>", new["physical"]).endswith("-<time>")
    assert len(new["documents"]) == len(old["documents"]) == 3
    for mine, theirs in zip(new["documents"], old["documents"], strict=True):
        assert (mine["_id"], mine["_version"]) == (theirs["_id"], theirs["_version"])
        assert_same_row(mine["_source"], theirs["_source"])


def file_contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every visible file below a folder by its path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(".")}


def file_patterns(state: Path) -> set[str]:
    """Return the names of a state's files without what differs from run to run.

    Keys of recipes stay: they must not change. Keys of answers may, as long as the old are read.
    """
    replacements = {
        r"^cache/embeddings-[0-9a-f]{2}/": "cache/embeddings/",
        r"[0-9a-f]{64}(?=(\.spent-[0-9a-f]{8})?\.json$)": "<key>",
        r"^runs/\d{8}T\d{6}Z-": "runs/<time>-",
        r"\.spent-[0-9a-f]{8}\.": ".spent-<random>.",
        # The name of a task then, of a group of books today.
        r"(?<=part-\d{8})-(?:[0-9a-f]{8}-)?\d{6}-(\d{6}\.parquet)$": r"-<task>-\1",
    }
    names = set(file_contents(state))
    for pattern, replacement in replacements.items():
        names = {re.sub(pattern, replacement, name) for name in names}
    return names


def parquet_layouts(state: Path) -> dict[str, tuple[str, str]]:
    """Return kind and version, and the columns with their types, of each folder's parts."""
    layouts: dict[str, tuple[str, str]] = {}
    for path in state.rglob("*.parquet"):
        schema = pq.read_schema(path)
        folder = path.relative_to(state).parts[0]
        layout = (schema.metadata[b"raypipe.schema"].decode(), str(schema.remove_metadata()))
        assert layouts.setdefault(folder, layout) == layout
        columns = pq.ParquetFile(path).metadata.row_group(0)
        assert columns.column(0).compression == "ZSTD"
    return layouts


def rows_of(state: Path, folder: str) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Return the rows of a folder's parts by recipe, book and run, without times and places."""
    by_key: dict[tuple[str, str, int], dict[str, Any]] = {}
    per_run = {"finished_at", "failed_at", "processed_at", "removed_at", "modified", "node_id"}
    per_run |= {"index", "generation"}
    for path in (state / folder).rglob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            recipe = row.get("document_recipe", row.get("recipe", row.get("model", "")))
            key = (recipe, row.get("book_id", row.get("group", "")), row["run_seq"])
            assert key not in by_key
            by_key[key] = without(row, per_run)
            if folder == "failures" and row["kind"] != "degraded":
                del by_key[key]["message"]  # for people: its wording may improve
    return by_key


def assert_same_row(new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """Compare two documents; vectors may differ by rounding on another processor."""
    per_run = {"summary_vector", "finished_at", "modified", "node_id", *COUNTS}
    assert list(without(new, NEW_COLUMNS)) == list(old)
    assert without(new, per_run | NEW_COLUMNS) == without(old, per_run)
    if "summary_vector" in old:
        np.testing.assert_allclose(new["summary_vector"], old["summary_vector"], atol=1e-5)


def cache_entries(state: Path) -> tuple[list[str], set[str]]:
    """Return the usages of the cache's entries, sorted, and the answers; without keys and times."""
    per_entry = {"at", "log", "key", "sha256", "answer"}
    paths = (path for path in (state / "cache").rglob("*.json") if path.parent.name != "check")
    entries = [json.loads(path.read_bytes()) for path in paths]
    usages = [json.dumps(without(entry, per_entry)) for entry in entries]
    answers = [without(entry["answer"], ANSWER_KEYS) for entry in entries if "answer" in entry]
    return sorted(usages), set(map(json.dumps, answers))


def run_folders(state: Path) -> list[Path]:
    """Return the folders of a state's runs, the oldest first."""
    return sorted(
        (path.parent for path in state.glob("runs/*/run.json")),
        key=lambda folder: folder.name[-4:],
    )


def option_names(options: Any, prefix: str = "") -> list[str]:
    """Return the dotted names of a configuration's values."""
    if not isinstance(options, dict):
        return [prefix]
    return [
        name for key, value in options.items() for name in option_names(value, f"{prefix}.{key}")
    ]
