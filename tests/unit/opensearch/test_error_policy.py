"""Failure kinds, and the removal of document content from a server's reason."""

from __future__ import annotations

import pytest

from raypipe.opensearch.bulk.error_policy import KINDS, failure_kind
from raypipe.opensearch.connection.errors import MAX_REASON_CHARS, strip_content


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (
            "failed to parse field [words] of type [long] in document with id 'b1'. "
            "Preview of field's value: 'it's a secret'",
            "failed to parse field [words] of type [long] in document with id …",
        ),
        (
            "mapping set to strict, dynamic introduction of [foo] within [_doc] is not allowed",
            "mapping set to strict, dynamic introduction of [foo] within [_doc] is not allowed",
        ),
        ('For input string: "a "quoted" secret"', "For input string: …"),
        ('immense term in field="key" (\'[1, 2]\')', "immense term in field [key] (…)"),
        ("object mapping for [summary] tried to parse [a secret text]", None),
        ("Vector dimension mismatch. Expected: 4, Given: 3", None),
        ("an open 'secret", "an open …"),
        ("one\ntwo", "one two"),
    ],
)  # fmt: skip
def test_document_content_is_removed_and_field_paths_are_kept(
    reason: str, kept: str | None
) -> None:
    stripped = strip_content(reason)
    assert "secret" not in stripped
    if kept is not None:
        assert stripped == kept


def test_a_long_reason_is_truncated() -> None:
    assert len(strip_content("word " * 1000)) == MAX_REASON_CHARS


@pytest.mark.parametrize("kind", ["mapper_parsing_exception", "anything", ""])
def test_failure_kinds_are_from_the_list(kind: str) -> None:
    assert failure_kind(kind) in KINDS
