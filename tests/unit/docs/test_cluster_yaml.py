"""Ray and AWS accept cluster.yaml; checked without a cluster and without AWS."""

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
    """Return the content of cluster.yaml."""
    config: Config = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    return config


def check(config: Config) -> None:
    """Raise an error unless Ray's schema and boto3's model of RunInstances accept the config."""
    from botocore.session import Session
    from botocore.validate import ParamValidator
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))
    shape = Session().get_service_model("ec2").operation_model("RunInstances").input_shape
    assert shape is not None
    for name, node_type in config["available_node_types"].items():
        # Ray adds these two keys at the launch.
        launch = {"MinCount": 1, "MaxCount": 1, **node_type["node_config"]}
        report = ParamValidator().validate(launch, shape)
        assert not report.has_errors(), f"{name}: {report.generate_report()}"


def test_ray_and_aws_accept_it() -> None:
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
    ("mutate", "error", "message"),
    [
        (_typo, AssertionError, "InstanceTyp"),
        (_deep_typo, AssertionError, "HttpToken"),
        (_wrong_type, AssertionError, "VolumeSize"),
        (_unknown_key, ValidationError, "max_worker"),
        (_no_such_head, ValueError, "head_node_type"),
    ],
)
def test_the_check_finds_a_mistake(
    mutate: Callable[[Config], None], error: type[Exception], message: str
) -> None:
    config = load()
    mutate(config)
    with pytest.raises(error, match=message):
        check(config)


def test_versions_are_pinned_and_the_cluster_grows() -> None:
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


def test_every_node_gets_the_token_and_requires_it() -> None:
    config = load()
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for node in ("head", "worker"):
        *_, start = config[f"{node}_start_ray_commands"]
        assert "RAY_AUTH_MODE=token" in start.partition("ray start")[0]


def test_mounted_files_are_in_the_checkout_or_built() -> None:
    mounts = load()["file_mounts"].values()
    files = [path for path in mounts if not path.startswith("~") and path != "dist"]
    assert files == [path for path in files if (ROOT / path).exists()]
    build = re.search(r"^build:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert build is not None
    assert "--wheel" in build[1]  # into dist/
