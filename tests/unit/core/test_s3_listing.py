"""The reader of a listing's pages returns what botocore returns, or leaves the page to botocore."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.core.s3 import S3Connection, parse_timestamp
from raypipe.core.s3_listing import parse_page
from raypipe.core.s3_responses import S3ResponseError

TIME = "2026-11-07T08:05:11.250Z"
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
KEYS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="￾￿"),
    min_size=1,
    max_size=30,
)


def entry(key: str = "a.txt", size: object = 5, time: str = TIME, more: str = "") -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{time}</LastModified>"
        f"<ETag>&quot;e&quot;</ETag>{more}<Size>{size}</Size></Contents>"
    )


def page(content: str, prefix: str = "<Prefix></Prefix>", root: str = NAMESPACE) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {root}><Name>books</Name>'
        f"{prefix}<IsTruncated>false</IsTruncated>{content}</ListBucketResult>"
    ).encode()


@pytest.fixture(scope="module")
def client() -> Any:
    return S3Connection(endpoint_url="http://127.0.0.1:9", anonymous=True).client()


def read_by_botocore(client: Any, body: bytes) -> dict[str, Any]:
    """Return the fields that botocore reads, decoded as after a request."""
    from botocore.handlers import decode_list_object_v2
    from botocore.parsers import RestXMLParser

    model = client.meta.service_model.operation_model("ListObjectsV2")
    parser: Any = RestXMLParser(timestamp_parser=parse_timestamp)
    response = {"status_code": 200, "headers": {}, "body": body}
    parsed: dict[str, Any] = parser.parse(response, model.output_shape)
    decode_list_object_v2(parsed, {"encoding_type_auto_set": True})
    fields = ("Key", "ETag", "Size", "LastModified")
    if "Contents" in parsed:
        parsed["Contents"] = [{name: row[name] for name in fields} for row in parsed["Contents"]]
    return {k: v for k, v in parsed.items() if k not in ("ResponseMetadata", "EncodingType")}


@settings(max_examples=60, deadline=None)
@given(st.lists(KEYS, min_size=1, max_size=8), st.booleans(), st.booleans())
def test_fields_are_those_of_botocore(keys: list[str], is_encoded: bool, is_pretty: bool) -> None:
    connection = S3Connection(endpoint_url="http://127.0.0.1:9", anonymous=True)
    keys = [f"{key}%0A" if number == 3 else key for number, key in enumerate(keys)]
    texts = [quote(key) if is_encoded else escape(key) for key in keys]
    checksum = "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"
    contents = "".join(
        entry(text, size, more=checksum * (size % 3)) for size, text in enumerate(texts)
    )
    encoding = "<EncodingType>url</EncodingType>" if is_encoded else ""
    body = page(f"{contents}<KeyCount>{len(keys)}</KeyCount>{encoding}", "<Prefix>a%2B+b</Prefix>")
    if is_pretty:
        body = body.replace(b"><", b">\n <")
    found = parse_page(body, parse_timestamp)
    if found is None:
        assert any("Contents" in text for text in texts)
    else:
        assert found == read_by_botocore(connection.client(), body)


LEFT_TO_BOTOCORE = {
    "cut": page(entry())[:-40],
    "comment": page(f"<!-- {entry()} -->{entry('b.txt')}"),
    "CDATA": page(entry("<![CDATA[<Key>b</Key>]]>")),
    "instruction": page(f"<?x <Contents>?>{entry()}"),
    "prefixes": page("<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"),
    "attribute": page(entry().replace("<Contents>", '<Contents a="b">')),
    "attribute of a field": page(entry().replace("<Key>", '<Key xml:space="preserve">')),
    "namespace": page(entry().replace("Contents>", "s:Contents>"), root='xmlns:s="s"'),
    "two keys": page(entry(more="<Key>b.txt</Key>")),
    "no size": page(entry().replace("<Size>5</Size>", "")),
    "no number": page(entry(size="many")),
    "no time": page(entry(time="soon")),
    "two names": page("<Name>books</Name>"),
    "carriage return": page(entry("a\r.txt")),
    "an error": b"<Error><Code>SlowDown</Code></Error>",
    "HTML": b"<!DOCTYPE html><html/>",
    "a document type": page(entry()).replace(b"\n", b"<!DOCTYPE a>"),
    "nothing": b"",
    "Latin-1": page(entry("\xe9.txt")).decode().encode("latin-1"),
}


@pytest.mark.parametrize("body", LEFT_TO_BOTOCORE.values(), ids=LEFT_TO_BOTOCORE)
def test_an_unusual_page_is_left_to_botocore(body: bytes) -> None:
    assert parse_page(body, parse_timestamp) is None


PLAIN = {
    "empty": page("<KeyCount>0</KeyCount>"),
    "empty element": page(entry(), "<Prefix />"),
    "references": page(entry("a&amp;quot;&#65;&#x1F600;&#x80;&apos;.txt")),
    "byte order mark": b"\xef\xbb\xbf" + page(entry()),
    "no declaration": page(entry()).partition(b"\n")[2],
    "another zone": page(entry(time="2026-11-07T10:05:11+02:00")),
    "owner": page(entry(more="<Owner><ID>i</ID><DisplayName>n</DisplayName></Owner>")),
    "invalid UTF-8 in a key": page(
        f"{entry('a%E2%82')}{entry('b')}<EncodingType>url</EncodingType>"
    ),
    "line break in a key": page(f"{entry('a%0A')}{entry('b')}<EncodingType>url</EncodingType>"),
}


@pytest.mark.parametrize("body", PLAIN.values(), ids=PLAIN)
def test_a_plain_page_is_read_as_by_botocore(client: Any, body: bytes) -> None:
    assert parse_page(body, parse_timestamp) == read_by_botocore(client, body)


def test_a_page_that_declares_entities_is_refused() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    declaration = f'<!DOCTYPE a [<!ENTITY e0 "{"a" * 10}">{entities}]>'
    body = page(entry("&e11;")).replace(b"\n", declaration.encode())
    with pytest.raises(S3ResponseError, match="declares entities"):
        parse_page(body, parse_timestamp)


def test_botocore_does_not_parse_a_page_that_was_read(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of the handlers decides it: botocore's own would parse the whole page before."""
    from botocore import handlers
    from botocore.awsrequest import AWSResponse

    body, seen = page(entry()), []

    def look(status: int, body: bytes) -> bool:
        seen.append(len(body))
        return False

    monkeypatch.setattr(handlers, "_looks_like_special_case_error", look)

    def answer(**_: Any) -> Any:
        response = AWSResponse("http://127.0.0.1:9", 200, {}, None)
        response._content = body
        return response

    client.meta.events.register("before-send.s3.ListObjectsV2", answer)
    found = client.list_objects_v2(Bucket="books")
    client.meta.events.unregister("before-send.s3.ListObjectsV2", answer)
    assert [row["Key"] for row in found["Contents"]] == ["a.txt"]
    assert seen == [len(b"<ListBucketResult/>")]
