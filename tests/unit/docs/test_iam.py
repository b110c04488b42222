"""docs/iam-policy.json permits all operations that the clients call, and no others."""

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
SERVICES = {
    "s3": "s3",
    "bedrock": "bedrock-runtime",
    "sns": "sns",
    "cloudwatch": "cloudwatch",
}
PERMISSIONS = {  # of operations whose permission has another name
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "DeleteObjects"): "s3:DeleteObject",
    ("bedrock", "Converse"): "bedrock:InvokeModel",
}


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


ACTIONS = sorted(
    {action for statement in POLICY["Statement"] for action in as_list(statement["Action"])}
)


def operations(service: str) -> list[str]:
    """Return the names of a service's operations from botocore's model."""
    session = botocore.session.get_session()
    return list(session.get_service_model(SERVICES[service]).operation_names)


@pytest.mark.parametrize(
    "action", [action for action in ACTIONS if action.split(":")[0] in SERVICES]
)
def test_each_action_permits_an_existing_operation(action: str) -> None:
    service, _, name = action.partition(":")
    known = operations(service)
    permitted = {operation for (of, operation), need in PERMISSIONS.items() if need == action}
    assert all(operation in known for operation in permitted)
    assert name in known or permitted


def find_calls(service: str, folders: list[str]) -> set[str]:
    """Return the operations of a service that the code in some folders of the package calls."""
    files = [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    known = set(operations(service))
    operation_of = {
        method: method.title().replace("_", "")
        for method in re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b|\bconverse\b|\bpublish\b", text)
    }
    called = {name for name in operation_of if re.search(rf"(\.{name}\(|\"{name}\")", text)}
    return {operation_of[name] for name in called if operation_of[name] in known}


@pytest.mark.parametrize(
    ("service", "folders"),
    [
        ("s3", ["core", "state", "sources"]),
        ("bedrock", ["models", "embedders"]),
        ("sns", ["notify"]),
        ("cloudwatch", ["metrics"]),
    ],
)
def test_the_policy_permits_exactly_the_calls_of_the_code(service: str, folders: list[str]) -> None:
    operations = find_calls(service, folders)
    needed = {PERMISSIONS.get((service, name), f"{service}:{name}") for name in operations}
    assert needed == {action for action in ACTIONS if action.startswith(f"{service}:")}


def test_nothing_is_permitted_on_everything() -> None:
    statements = POLICY["Statement"]
    unlimited = [statement for statement in statements if "*" in as_list(statement["Resource"])]
    # CloudWatch has no resources for its metrics; the condition limits the namespace.
    assert [statement["Action"] for statement in unlimited] == ["cloudwatch:PutMetricData"]
    assert all("cloudwatch:namespace" in str(each["Condition"]) for each in unlimited)
    assert not any("*" in action for action in ACTIONS)
    assert {statement["Effect"] for statement in statements} == {"Allow"}


def test_the_page_explains_each_statement() -> None:
    page = (DOCS / "iam.md").read_text(encoding="utf-8")
    assert all(f"`{statement['Sid']}`" in page for statement in POLICY["Statement"])
