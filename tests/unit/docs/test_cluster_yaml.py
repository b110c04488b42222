"""cluster.yaml is one that Ray and AWS take, checked without either."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[3]
Config = dict[str, Any]


def load() -> Config:
    """Return cluster.yaml as it stands."""
    config: Config = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    return config


def check(config: Config) -> None:
    """Raise unless Ray's own schema and boto3's own model of RunInstances take the config."""
    from botocore.session import Session
    from botocore.validate import ParamValidator
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))
    shape = Session().get_service_model("ec2").operation_model("RunInstances").input_shape
    assert shape is not None
    for name, kind in config["available_node_types"].items():
        # Ray adds these two at the launch.
        launch = {"MinCount": 1, "MaxCount": 1, **kind["node_config"]}
        report = ParamValidator().validate(launch, shape)
        assert not report.has_errors(), f"{name}: {report.generate_report()}"


def test_ray_and_aws_take_it() -> None:
    check(load())


def _node(config: Config, name: str = "worker") -> Config:
    node: Config = config["available_node_types"][name]["node_config"]
    return node


def _typo(config: Config) -> None:
    _node(config)["InstanceTyp"] = _node(config).pop("InstanceType")


def _deep_typo(config: Config) -> None:
    _node(config, "head")["MetadataOptions"]["HttpToken"] = "required"


def _wrong_type(config: Config) -> None:
    _node(config)["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] = "140 GB"


def _unknown_key(config: Config) -> None:
    config["max_worker"] = config.pop("max_workers")


def _no_such_head(config: Config) -> None:
    config["head_node_type"] = "heda"


@pytest.mark.parametrize(
    ("mutate", "error", "said"),
    [
        (_typo, AssertionError, "InstanceTyp"),
        (_deep_typo, AssertionError, "HttpToken"),
        (_wrong_type, AssertionError, "VolumeSize"),
        (_unknown_key, ValidationError, "max_worker"),
        (_no_such_head, ValueError, "head_node_type"),
    ],
)
def test_a_mistake_is_found(
    mutate: Callable[[Config], None], error: type[Exception], said: str
) -> None:
    config = load()
    mutate(config)
    with pytest.raises(error, match=said):
        check(config)


def test_it_is_pinned_guarded_and_grows() -> None:
    config = load()
    assert config["docker"]["image"] == f"rayproject/ray:{version('ray')}-py311-cpu"
    head, worker = (config["available_node_types"][name] for name in ("head", "worker"))
    assert head["resources"] == {"CPU": 0}
    assert 0 <= worker["min_workers"] < worker["max_workers"] <= config["max_workers"]
    assert config["idle_timeout_minutes"] > 0
    for node in (head["node_config"], worker["node_config"]):
        assert node["IamInstanceProfile"]["Name"]
        # The container's packets take a second hop to the metadata of its machine.
        assert node["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}
        assert [disk["Ebs"]["VolumeType"] for disk in node["BlockDeviceMappings"]] == ["gp3"]


def test_every_node_gets_the_token_and_asks_for_it() -> None:
    config = load()
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for who in ("head", "worker"):
        *_, start = config[f"{who}_start_ray_commands"]
        assert "RAY_AUTH_MODE=token" in start.partition("ray start")[0]


def test_what_it_mounts_is_in_the_checkout_or_built() -> None:
    mounts = load()["file_mounts"].values()
    here = [one for one in mounts if not one.startswith("~") and one != "dist"]
    assert here == [one for one in here if (ROOT / one).exists()]
    build = re.search(r"^build:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert build is not None
    assert "--wheel" in build[1]  # into dist/
