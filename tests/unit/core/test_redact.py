from __future__ import annotations

import time
from typing import Any

import pytest

from raypipe.core.redact import REDACTED, has_url_secret, redact, redact_urls


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "opensearch_password",
        "http-passwd",
        "secret",
        "aws_secret_access_key",
        "secretKey",
        "aws_access_key_id",
        "key_id",
        "api_key",
        "apiKey",
        "OPENAI_API_KEY",
        "apikey",
        "token",
        "session_token",
        "hf_token",
        "authToken",
        "Authorization",
        "credentials",
        "private_key",
        "passphrase",
        "SECRET",
    ],
)
@pytest.mark.parametrize("value", ["hush", 12345, ["hush"], {"inner": "hush"}])
def test_values_of_secret_keys_are_redacted(key: str, value: Any) -> None:
    assert redact({"deep": [{key: value}]}) == {"deep": [{key: REDACTED}]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_tokens", 400),
        ("max_output_tokens", "400"),
        ("maxTokens", 400),
        ("tokens_per_minute", 1_000_000),
        ("input_tokens", 3),
        ("tokens", 5),
        ("tokenizer", "cl100k"),
        ("key", "books/a.txt"),
        ("keywords", ["a"]),
        ("keys", ["book_id"]),
        ("passes", 2),
        ("bypass", "x"),
        ("secretary", "Miss Lemon"),
        ("password", None),
        ("password", ""),
        ("use_token", True),
        ("monkey", "x"),
        ("profile", "prod"),
    ],
)
def test_other_values_are_kept(key: str, value: Any) -> None:
    assert redact({key: value}) == {key: value}


def test_secrets_in_texts_are_redacted() -> None:
    assert redact("https://me:pa55@host:9200/x") == f"https://{REDACTED}@host:9200/x"
    assert redact("https://host/x@y") == "https://host/x@y"
    overrides = ["opensearch.password=pa55", "summarizer.max_tokens=400", "+a.api_key=x"]
    assert redact({"overrides": overrides}) == {
        "overrides": [
            f"opensearch.password={REDACTED}",
            "summarizer.max_tokens=400",
            f"+a.api_key={REDACTED}",
        ]
    }


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://me:pa55@host:9200/x", "https://(not kept)@host:9200/x"),
        ("https://me:p@55@host", "https://(not kept)@host"),
        ("https://me:pa/55@host", "https://(not kept)@host"),
        ("https://me:pa#55@host/y", "https://(not kept)@host/y"),
        ("https://pa55@host", "https://(not kept)@host"),
        ("s3://me:pa55@bucket/state", "s3://(not kept)@bucket/state"),
        ("[http://a/,http://me:pa55@b]", "[http://a/,http://(not kept)@b]"),
        ("https://host/x?api_key=pa55&size=3", "https://host/x?api_key=(not kept)&size=3"),
        ("https://host/x?size=3&token=pa55", "https://host/x?size=3&token=(not kept)"),
        ("https://host/x?sig=pa55", "https://host/x?sig=(not kept)"),
        (
            "X-Amz-Signature in ?X-Amz-Signature=pa55",
            "X-Amz-Signature in ?X-Amz-Signature=(not kept)",
        ),
    ],
)
def test_secrets_in_urls_are_redacted(url: str, kept: str) -> None:
    assert redact_urls(url) == kept
    assert redact_urls(f"before {url} after a@b") == f"before {kept} after a@b"
    assert redact_urls(kept) == kept
    assert has_url_secret(url)


@pytest.mark.parametrize(
    "url",
    [
        "me:pa55@host:9200",
        "//me:pa55@host",
        "https:/me:pa55@host",
        "https://me:my pa55@host",
        "https://(not kept)me:my pa55@host",
        "me:my pa55@host",
    ],
)
def test_a_url_option_may_lack_its_scheme_or_contain_spaces(url: str) -> None:
    assert has_url_secret(url, "endpoint")
    assert "pa55" not in redact({"base_url": url})["base_url"]


@pytest.mark.parametrize(
    "text",
    [
        "https://host:9200/a@b",
        "s3://bucket/a:b@c",
        "mail a@b or see https://host/x",
        "https://host/x?max_tokens=3&size=1",
        "a:b@c",
        "limit=3 key=3",
    ],
)
def test_texts_without_secrets_are_unchanged(text: str) -> None:
    assert redact_urls(text) == text
    assert not has_url_secret(text)


def test_the_time_to_redact_is_linear() -> None:
    started = time.process_time()
    for text in ("a://b:c" * 40_000 + " @", "a." * 100_000 + "@", "?a=" * 50_000 + "@"):
        redact_urls(text)
    assert time.process_time() - started < 3
