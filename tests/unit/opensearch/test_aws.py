"""Signed requests to a server that verifies every signature."""

from __future__ import annotations

import pickle  # noqa: TID251
import time
from pathlib import Path
from typing import Any

import pytest

from raypipe.core import retry
from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.results import Ack
from raypipe.opensearch.connection.aws import AwsConnection
from raypipe.opensearch.index import Index, IndexConfig
from tests.unit.opensearch.builders import documents, ref_at, results_by_id
from tests.unit.opensearch.sigv4 import Signer
from tests.unit.opensearch.stub import Reply, Request, Stub

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
GOOD = Signer("AKIDEXAMPLE", SECRET, "eu-west-1", "es")
INFO = Reply(body={"version": {"number": "2.19.0", "distribution": "opensearch"}})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(retry, "full_jitter", lambda attempt, **_: 0.0)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", GOOD.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def aws(stub: Stub) -> Stub:
    guard(stub, GOOD)
    stub.paths["/"] = INFO
    return stub


def guard(stub: Stub, signer: Signer) -> None:
    """Refuse every request that is not signed with these credentials."""

    def check(request: Request) -> Reply | None:
        message = signer.refusal(request.method, request.target, request.headers, request.raw)
        return Reply(403, {"message": message}) if message else None

    stub.guard = check


def connection(stub: Stub, **settings: Any) -> AwsConnection:
    return AwsConnection(stub.url, **{"region": "eu-west-1", **settings})


@pytest.mark.parametrize("compress", [False, True])
def test_bulk_requests_are_signed_as_sent(aws: Stub, compress: bool) -> None:
    config = IndexConfig(connection(aws, compress=compress), index="books")
    writer = Index(config, ref_at(aws.url)).bulk_writer(1)
    results = results_by_id(list(writer.write(documents(5))))
    assert all(isinstance(result, Ack) for result in results.values())
    assert len(results) == 5
    [bulk] = aws.bulks
    assert (bulk.headers.get("content-encoding") == "gzip") is compress
    assert bulk.headers["x-amz-content-sha256"]


def test_queries_and_unusual_names_are_signed_as_sent(aws: Stub) -> None:
    client = connection(aws)
    params = {"filter_path": "took,items.*._id", "q": "a+b&c=é", "empty": ""}
    for path in ("/", "/books-20260101/_search", "/%C3%BC-books/_doc/a%2Fb"):
        aws.paths[path] = INFO
        client.send("GET", path)
        client.send("POST", path, params=params, body=b'{"query": {}}')
    assert len(aws.requests) == 6


def test_session_tokens_are_sent(aws: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    guard(aws, Signer(GOOD.key, SECRET, "eu-west-1", "aoss", token="session/token+1="))
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session/token+1=")
    assert connection(aws, service="aoss").info()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("AWS_SECRET_ACCESS_KEY", "another", "signature we calculated does not match"),
        ("AWS_ACCESS_KEY_ID", "AKIDOTHER", "security token included in the request is invalid"),
        ("AWS_SESSION_TOKEN", "old", "security token included in the request is expired"),
    ],
)
def test_a_refusal_is_one_line_with_the_reason_of_aws(
    aws: Stub, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    began = time.monotonic()
    with pytest.raises(SetupError, match=words) as caught:
        connection(aws).info()
    assert time.monotonic() - began < 30
    assert "\n" not in str(caught.value)
    assert "access policy" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_credentials_that_expire_during_a_write_are_read_again_once(
    aws: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = IndexConfig(connection(aws), index="books", max_docs=2)
    index = Index(config, ref_at(aws.url))
    writer = index.bulk_writer(1)
    answers = writer.write(documents(4))
    next(answers)
    guard(aws, Signer("AKIDNEXT", "the next secret", "eu-west-1", "es", token="t2"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEXT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the next secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t2")
    assert len(results_by_id(list(answers))) == 2
    guard(aws, GOOD)
    with pytest.raises(SinkError, match="invalid"):
        list(index.bulk_writer(1).write(documents(1)))


def test_missing_credentials_and_profiles_are_named(
    aws: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SetupError, match="no AWS credentials found"):
        connection(aws).info()
    with pytest.raises(SetupError, match="The config profile"):
        connection(aws, profile="nobody").info()


def test_the_region_is_read_from_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    host = "https://search-books-abc.us-gov-west-1.es.amazonaws.com"
    signer = AwsConnection(host).http_auth().signer
    assert (signer.region, signer.service) == ("us-gov-west-1", "es")
    with pytest.raises(SetupError, match=r"set opensearch\.connection\.region"):
        AwsConnection("https://books.example.org").info()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"endpoint": "https://x1.eu-west-1.aoss.amazonaws.com"}, "Serverless collection"),
        ({"endpoint": "http://books.example.org"}, "https:// only"),
        ({"endpoint": "https://host", "username": "me"}, "no user name"),
        ({"endpoint": "https://host", "service": "ec2"}, "es, aoss"),
    ],
)
def test_invalid_settings_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AwsConnection(**settings)


def test_a_pickle_holds_no_secret(aws: Stub) -> None:
    client = connection(aws)
    client.info()
    data = pickle.dumps(client)
    assert SECRET.encode() not in data
    assert GOOD.key.encode() not in data
    assert pickle.loads(data).info()
