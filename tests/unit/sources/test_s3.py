from __future__ import annotations

from raypipe.core.s3 import S3Connection
from raypipe.sources.protocol import BookSource
from raypipe.sources.s3 import S3BookSource


def test_workers_must_reach_a_given_endpoint() -> None:
    source: BookSource = S3BookSource("books", endpoint_url="http://127.0.0.1:1", anonymous=True)
    assert source.locations == {"storage.endpoint_url": "http://127.0.0.1:1"}
    assert source.connection == S3Connection(endpoint_url="http://127.0.0.1:1", anonymous=True)


def test_amazon_s3_has_no_location_to_check() -> None:
    source: BookSource = S3BookSource("books")
    assert source.locations == {}
    assert source.lists_whole_source
