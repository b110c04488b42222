from __future__ import annotations

from typing import Any

import pytest

from raypipe.core.redact import REDACTED, redact


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
