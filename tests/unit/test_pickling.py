"""Every part can be pickled to the workers, in few bytes, also after the driver used it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from raypipe.config.build import PARTS, require_part
from raypipe.config.paths import conf_dir
from raypipe.config.schema import register_schemas
from raypipe.ledger.checkpoint import Checkpoint, CheckpointSettings
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import IndexConfig
from raypipe.sources.local import LocalBookSource
from raypipe.sources.s3 import S3BookSource
from raypipe.state.local import LocalState
from raypipe.summarizers.llm.summarizer import ModelSummarizer
from raypipe.text import TextCleaner
from tests.unit.models_here import fake_sentence_transformers, model_server

MAX_BYTES = 20_000
"""Every actor and every write task receives its own copy of a part."""

CONF = conf_dir()
OPTIONS = [
    (group, path.stem)
    for group in PARTS
    if group != "cloudwatch"  # stays in the driver
    for path in sorted((CONF / group).glob("*.yaml"))
    if (group, path.stem) != ("opensearch", "none")  # has no part
]
REQUIRED = {
    "storage=s3": ["storage.bucket=b"],
    "storage=local": ["storage.path=p"],
    "opensearch=self_managed": ["opensearch.endpoint=https://search.example:9200"],
    "opensearch=aws_managed": ["opensearch.endpoint=https://x.us-east-1.es.amazonaws.com"],
    "opensearch=aws_serverless": ["opensearch.endpoint=https://x.us-east-1.aoss.amazonaws.com"],
}
PARAGRAPH = "The lamp on the point was lit at dusk by a keeper who had never once been late. "
TEXT = (PARAGRAPH * 20).encode()


@pytest.fixture(autouse=True, scope="module")
def _models() -> Iterator[None]:
    """Start a model server for the parts that call models."""
    with model_server(), fake_sentence_transformers():
        yield


def build(group: str, choice: str) -> Any:
    """Return the part of an option file."""
    register_schemas()
    GlobalHydra.instance().clear()
    option = f"{group}={choice}"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", overrides=[option, *REQUIRED.get(option, [])])
    if choice == "embedded":
        OmegaConf.update(cfg, "opensearch.endpoint", "http://127.0.0.1:9200")
    return require_part(cfg, group)


def pickle_and_load(part: Any) -> Any:
    """Return the copy of a part that a worker receives."""
    data = pickle.dumps(part)
    assert len(data) < MAX_BYTES
    copy = pickle.loads(data)
    assert copy == part
    assert type(copy) is type(part)
    return copy


@pytest.mark.parametrize(("group", "choice"), OPTIONS)
def test_a_new_part_survives_pickling(group: str, choice: str) -> None:
    part = build(group, choice)
    assert pickle_and_load(part) == build(group, choice)


def _use_local(part: LocalBookSource, folder: Path) -> Any:
    if not (folder / "a.txt").exists():
        (folder / "a.txt").write_bytes(TEXT)
    (book,) = part.list_books()
    return book, part.read(book)


def _use_s3(part: S3BookSource, _: Path) -> Any:
    part.connection.client()
    return part.identity


def _use_index(part: IndexConfig, _: Path) -> Any:
    # The client has sockets and locks; no request is sent.
    assert part.connection.client is part.connection.client
    return part.connection.endpoint


def _use_checkpoint(part: Checkpoint, _: Path) -> Any:
    return part.read_latest().num_rows


def _use_checkpoint_settings(part: CheckpointSettings, folder: Path) -> Any:
    return part.open(LocalState(str(folder))).read_latest().num_rows


def _clean(part: TextCleaner, _: Path) -> Any:
    return part.clean(TEXT, "a.txt")


def _embed(part: Any, _: Path) -> Any:
    return part.embed(["a lamp", "a lighthouse"], input_type="query").tolist()


def _summarize(part: Any, _: Path) -> Any:
    book = TextCleaner().clean(TEXT, "a.txt")
    # Without its model, a summarizer can only say what it would ask.
    return part.plan_calls(book) if isinstance(part, ModelSummarizer) else part.summarize(book)


def _build(group: str, choice: str, _: Path) -> Any:
    return build(group, choice)


USES: list[tuple[Callable[[Path], Any], Callable[[Any, Path], Any]]] = [
    (lambda folder: LocalBookSource(str(folder)), _use_local),
    (lambda _: S3BookSource("b", endpoint_url="http://127.0.0.1:1", anonymous=True), _use_s3),
    (lambda _: IndexConfig(Connection("http://127.0.0.1:9200")), _use_index),
    (lambda folder: Checkpoint(LocalState(str(folder))), _use_checkpoint),
    (lambda _: CheckpointSettings(), _use_checkpoint_settings),
]


def _price(prices: Any, _: Path) -> Any:
    return prices.find("amazon.nova-lite-v1:0")


def _write(prompts: Any, _: Path) -> Any:
    return prompts.render("chunk", text="a lamp", words="20")


USE = {
    "prices": _price,
    "prompts": _write,
    "text": _clean,
    "embedder": _embed,
    "summarizer": _summarize,
}
"""How to use any part of a group. The parts of other groups need a folder or an address."""
USES += [(partial(_build, group, choice), USE[group]) for group, choice in OPTIONS if group in USE]


def _test_id(value: Any) -> str:
    return "-".join(value.args) if isinstance(value, partial) else value.__name__.strip("<>")


@pytest.mark.parametrize(("make", "use"), USES, ids=_test_id)
def test_a_used_part_survives_pickling_and_gives_the_same_result(
    make: Callable[[Path], Any], use: Callable[[Any, Path], Any], tmp_path: Path
) -> None:
    part = make(tmp_path)
    expected = use(part, tmp_path)
    assert use(pickle_and_load(part), tmp_path) == expected


def test_every_kind_of_part_is_used_above(tmp_path: Path) -> None:
    used = {type(make(tmp_path)) for make, _ in USES}
    assert {type(build(group, choice)) for group, choice in OPTIONS} <= used
