"""docs/iam-policy.json asks for actions that exist, for all that the clients call, no more."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest

DOCS = Path(__file__).parents[3] / "docs"
PACKAGE = DOCS.parent / "raypipe"
POLICY: dict[str, Any] = json.loads((DOCS / "iam-policy.json").read_text(encoding="utf-8"))
SERVICES = {"s3": "s3", "bedrock": "bedrock-runtime"}
NEEDS = {  # an operation's permission, where it has another name than the operation
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "DeleteObjects"): "s3:DeleteObject",
    ("bedrock", "Converse"): "bedrock:InvokeModel",
}


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


ACTIONS = sorted({one for said in POLICY["Statement"] for one in listed(said["Action"])})


def operations(service: str) -> list[str]:
    """Return the names of a service's operations, of botocore's own model."""
    session = botocore.session.get_session()
    return list(session.get_service_model(SERVICES[service]).operation_names)


@pytest.mark.parametrize("action", [one for one in ACTIONS if one.split(":")[0] in SERVICES])
def test_each_action_permits_an_operation_that_there_is(action: str) -> None:
    service, _, name = action.partition(":")
    known = operations(service)
    permitted = {operation for (of, operation), need in NEEDS.items() if need == action}
    assert all(operation in known for operation in permitted)
    assert name in known or permitted


def called(service: str, folders: list[str]) -> set[str]:
    """Return the operations that the package's code names, of those the service has."""
    files = [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    known = set(operations(service))
    camel = {
        one: one.title().replace("_", "")
        for one in re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b|\bconverse\b", text)
    }
    methods = {one for one in camel if re.search(rf"(\.{one}\(|\"{one}\")", text)}
    return {camel[one] for one in methods if camel[one] in known}


@pytest.mark.parametrize(
    ("service", "folders"),
    [("s3", ["state", "sources"]), ("bedrock", ["models", "embedders"])],
)
def test_all_that_the_code_calls_is_permitted_and_nothing_else(
    service: str, folders: list[str]
) -> None:
    found = called(service, folders)
    needed = {NEEDS.get((service, one), f"{service}:{one}") for one in found}
    assert needed == {one for one in ACTIONS if one.startswith(f"{service}:")}


def test_nothing_is_permitted_on_everything() -> None:
    resources = [one for said in POLICY["Statement"] for one in listed(said["Resource"])]
    assert "*" not in resources
    assert not any("*" in action for action in ACTIONS)
    assert {said["Effect"] for said in POLICY["Statement"]} == {"Allow"}


def test_the_page_explains_each_statement() -> None:
    page = (DOCS / "iam.md").read_text(encoding="utf-8")
    assert all(f"`{said['Sid']}`" in page for said in POLICY["Statement"])
