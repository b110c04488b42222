"""Check that a response is S3's own and complete.

A login page, a proxy or a load balancer can answer any request with status 200. boto3 reads a page
of HTML as an empty listing, as an object, or as a successful put.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

_ROOTS = {"ListObjectsV2": b"ListBucketResult", "DeleteObjects": b"DeleteResult"}
"""Root element of the body, by operation."""
_ROOT = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*)*<(?:[\w.-]+:)?([\w.-]+)", re.S
)
_PROLOG_BYTES = 4_096
_MAX_EMPTY_PAGES = 1_000
_TRANSFORMED = re.compile(r"(?:-|--|;)gzip$")


class S3ResponseError(Exception):
    """A response is not from S3, or it is incomplete; the message is one line."""


def check_response(model: Any, response_dict: dict[str, Any]) -> None:
    """Raise an error if a successful response cannot be from S3.

    Args:
        model: botocore's model of the operation.
        response_dict: Status, and the body: bytes, or a stream that is not read here.

    Raises:
        S3ResponseError: It is a page of HTML, or its body has another root element than expected.
    """
    body = response_dict.get("body")
    if not 200 <= response_dict["status_code"] < 300 or not isinstance(body, bytes):
        return  # boto3 raises for other statuses; a stream is checked by its headers
    root = _root_of(body)
    if root == b"html":
        raise S3ResponseError(_explain_foreign("a page of HTML"))
    expected = _ROOTS.get(model.name)
    if expected is not None and root != expected:
        raise S3ResponseError(_explain_foreign("a body of another kind" if body else "no body"))


def list_objects(
    request: Callable[..., Mapping[str, Any]], bucket: str, prefix: str
) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of all pages of a listing; each page is checked first.

    Args:
        request: Requests a page with `list_objects_v2`; takes ContinuationToken as an argument.
        bucket: The bucket of the request.
        prefix: The prefix of the request.

    Raises:
        S3ResponseError: A page is incomplete, of another listing, or repeats an earlier page.
    """
    tokens: set[str] = set()
    last_key, empty_pages = "", 0
    continuation: dict[str, str] = {}
    while True:
        page = request(**continuation)
        entries = check_page(page, bucket, prefix)
        # Directory buckets do not sort their keys.
        if entries and last_key and entries[0]["Key"] <= last_key and not bucket.endswith("--x-s3"):
            raise S3ResponseError("a page of the listing begins before the end of the page before")
        yield from entries
        if not page["IsTruncated"]:
            return
        token = page.get("NextContinuationToken")
        if not token:
            raise S3ResponseError("the server announced another page without a token for it")
        empty_pages = 0 if entries else empty_pages + 1
        if token in tokens or empty_pages > _MAX_EMPTY_PAGES:
            raise S3ResponseError("the pages of the listing repeat or never end")
        tokens.add(token)
        last_key = entries[-1]["Key"] if entries else last_key
        continuation = {"ContinuationToken": token}


def check_page(page: Mapping[str, Any], bucket: str, prefix: str) -> list[Mapping[str, Any]]:
    """Return the entries of a page of a listing.

    Raises:
        S3ResponseError: The page is incomplete or of another listing.
    """
    entries: list[Mapping[str, Any]] = list(page.get("Contents", ()))
    if not isinstance(page.get("IsTruncated"), bool):
        raise S3ResponseError("a page of the listing does not tell whether it is the last page")
    # The name of an access point differs from the name of its bucket.
    is_access_point = bucket.startswith("arn:") or bucket.endswith("-s3alias")
    if not is_access_point and page.get("Name") not in (None, "", bucket):
        raise S3ResponseError(f"the server listed the bucket {page['Name']}")
    # Servers differ in whether they encode the prefix, and boto3 decodes it.
    if page.get("Prefix") not in (None, prefix, unquote_plus(prefix)):
        raise S3ResponseError("the server listed another prefix")
    count = page.get("KeyCount")
    if count is not None and count != len(entries) + len(page.get("CommonPrefixes", ())):
        raise S3ResponseError(f"a page of the listing has {len(entries)} of {count} keys")
    for entry in entries:
        if not (key := entry.get("Key")) or not key.startswith(prefix):
            raise S3ResponseError("an entry of the listing has no key with the prefix")
    return entries


def read_body(response: Mapping[str, Any]) -> bytes:
    """Return the body of a GET.

    Raises:
        S3ResponseError: The response has no ETag, or its length differs from Content-Length.
    """
    etag_of(response)
    data: bytes = response["Body"].read()
    length = response.get("ContentLength")
    if length is not None and length != len(data):
        raise S3ResponseError(f"the response has {len(data)} of {length} bytes")
    return data


def etag_of(response: Mapping[str, Any]) -> str:
    """Return the ETag header of the response to a GET or PUT, as it was sent.

    Raises:
        S3ResponseError: There is no ETag: S3 always sends it.
    """
    etag = response.get("ETag")
    if not etag or not isinstance(etag, str):
        raise S3ResponseError(_explain_foreign("a response without an ETag"))
    return etag


def plain_etag(etag: str) -> str:
    """Return an ETag without quotes, and without the marks of a proxy that compresses bodies."""
    return _TRANSFORMED.sub("", etag.removeprefix("W/").strip('"'))


def _root_of(body: bytes) -> bytes:
    match = _ROOT.match(body[:_PROLOG_BYTES])
    if match is None:
        return b"html" if b"<!doctype html" in body[:_PROLOG_BYTES].lower() else b""
    return b"html" if match[1].lower() == b"html" else match[1]


def _explain_foreign(found: str) -> str:
    return (
        f"the server answered with {found}, which S3 never sends; check the endpoint_url, and "
        "whether a proxy or a login page answers instead of S3"
    )
