"""Settings of an index, in Python and in YAML."""

from __future__ import annotations

import pickle  # noqa: TID251 (Ray pickles parts to its workers)
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from raypipe.opensearch.index import IndexConfig
from tests.unit.opensearch.builders import config_at

CONF = Path(__file__).parents[3] / "conf" / "opensearch"


@pytest.mark.parametrize(
    "name", ["", "Books", "_books", "-books", "bo oks", "bo*ks", "a,b", "a:b", "#a", "x" * 231]
)
def test_an_invalid_index_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be an index's name"):
        IndexConfig(config_at("http://host").connection, index=name)


@pytest.mark.parametrize(
    "setting",
    [
        {"shards": 0},
        {"replicas": -1},
        {"max_bytes": 0},
        {"max_docs": 0},
        {"retry_budget_s": -1},
        {"engine": "nmslib"},
        {"endpoint": "http://other"},
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, Any]) -> None:
    [(name, value)] = setting.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        IndexConfig(config_at("http://host").connection, **setting)


@pytest.mark.parametrize("option", ["embedded", "self_managed"])
def test_each_yaml_file_builds_an_index_config(option: str) -> None:
    cfg = OmegaConf.create({"opensearch": OmegaConf.load(CONF / f"{option}.yaml")})
    cfg.opensearch.endpoint = "http://host:9200"
    cfg.opensearch.index = "my-books"
    cfg.opensearch.max_docs = 100
    index = instantiate(cfg.opensearch, _convert_="all")
    assert isinstance(index, IndexConfig)
    assert index.connection.endpoint == index.endpoint == "http://host:9200"
    assert (index.index, index.max_docs) == ("my-books", 100)
    assert pickle.loads(pickle.dumps(index)) == index
