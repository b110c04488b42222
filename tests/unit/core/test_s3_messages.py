"""Each error of S3 gives the cause, the way out, and what the server said."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from raypipe.core.book import Book
from raypipe.core.errors import BookError, SetupError
from raypipe.core.s3 import S3Connection, explain
from raypipe.sources.s3 import S3BookSource
from raypipe.state.s3 import S3State


def client_error(code: str, message: str = "", status: int = 403) -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "Operation")


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("AccessDenied", "Access Denied", ["permission denied (403)", "grant s3:ListBucket"]),
        ("403", "Forbidden", ["permission denied (403)", "requester pays"]),
        (
            "AccessDenied",
            "User: u is not authorized to perform: kms:Decrypt on resource: k",
            ["KMS key", "grant kms:Decrypt", "User: u is not authorized"],
        ),
        (
            "AccessDenied",
            "User: u is not authorized to perform: s3:ListBucket with an explicit deny in a policy",
            ["a policy denies this explicitly", "explicit deny in a policy"],
        ),
        ("KMS.DisabledException", "k is disabled", ["KMS.DisabledException", "enable it"]),
        (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            ["the clock of this machine is wrong"],
        ),
        ("ExpiredToken", "The provided token has expired.", ["session has expired; log in again"]),
        ("AuthorizationHeaderMalformed", "expecting 'eu-west-1'", ["region", "expecting"]),
        ("NoSuchBucket", "", ["does not exist"]),
        ("Odd", "something new", ["something new"]),
    ],
)
def test_the_message_names_cause_and_way_out(code: str, message: str, expected: list[str]) -> None:
    line = explain(client_error(code, message), "storage.bucket=b", S3Connection())
    assert line.startswith("storage.bucket=b: ")
    assert [words for words in expected if words not in line] == [], line
    assert "\n" not in line


def test_a_book_that_may_not_be_read_names_the_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def get_object(self, **_: Any) -> None:
            raise client_error("AccessDenied", "not authorized to perform: kms:Decrypt")

    monkeypatch.setattr(S3Connection, "client", lambda *_, **__: Client())
    with pytest.raises(BookError, match=r"k\.txt may not be read: .*grant kms:Decrypt") as caught:
        S3BookSource("b").read(Book("id", "k.txt", "e", 1, 0.0))
    assert caught.value.kind == "denied"


@pytest.mark.parametrize(
    "error",
    [
        client_error("NotImplemented", "A header you provided implies functionality", 501),
        client_error("501", "Not Implemented", 501),
        client_error("InvalidArgument", "If-None-Match is not supported", 400),
    ],
)
def test_a_server_that_refuses_conditional_puts_gets_a_way_out(
    error: ClientError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(S3State, "_request", refuse)
    with pytest.raises(SetupError, match=r"does not honor conditional writes.*set state\.uri"):
        S3State("b").check()


def test_another_invalid_request_keeps_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise client_error("InvalidRequest", "Content-MD5 is required", 400)

    monkeypatch.setattr(S3State, "_request", refuse)
    with pytest.raises(SetupError, match="Content-MD5 is required"):
        S3State("b").check()
