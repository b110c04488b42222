from __future__ import annotations

import pytest

from raypipe.config.group_options import explain_other_choices, list_choices
from raypipe.config.value_hints import hint_for


@pytest.mark.parametrize(
    ("key", "current", "expected"),
    [
        (
            "summarizer.model_id",
            {"summarizer": "extractive"},
            "it is an option of summarizer=bedrock, openai; the current summarizer is extractive",
        ),
        ("embedder.model_id", {"embedder": "hash"}, "embedder.model.model_id is an option of"),
        ("storage.path", {"storage": "s3"}, "storage=local; the current storage is s3"),
        ("path", {}, "storage.path is an option of storage=local"),
        ("opensearch.connection.usernme", {}, "opensearch.connection.username is an option of"),
        ("summarizer.model_id", {"summarizer": "bedrock"}, ""),
        ("storage.nonsense", {}, ""),
        ("stages.path", {}, ""),
    ],
)
def test_an_option_of_another_choice_is_found(
    key: str, current: dict[str, str], expected: str
) -> None:
    hint = explain_other_choices(key, current)
    assert expected in hint
    assert bool(hint) == bool(expected)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("bedrok", "; did you mean bedrock?"),
        ("S3", "; did you mean s3?"),
        ("aws", "; did you mean aws_managed?"),
        ("x", ""),
    ],
)
def test_a_wrong_choice_gets_a_suggestion(value: str, hint: str) -> None:
    choices = ["aws_managed", "bedrock", "s3"]
    assert list_choices(value, choices) == f"choose one of aws_managed, bedrock, s3{hint}"


@pytest.mark.parametrize(
    ("value", "wanted", "hint"),
    [
        ("8MB", "a whole number", "; write 8000000"),
        ("1.5 GiB", "a whole number", "; write 1610612736"),
        ("1,000", "a whole number", "; write 1000"),
        (1000.0, "a whole number", "; write 1000"),
        ("1,2", "a whole number", "; add -m to run a job for each value"),
        (".txt,.md", "a list", "; write [.txt,.md]"),
        ("ten", "a number", ""),
        (1.5, "a whole number", ""),
        ("maybe", "true or false", ""),
    ],
)
def test_a_value_of_the_wrong_kind_gets_the_form_that_works(
    value: object, wanted: str, hint: str
) -> None:
    assert hint_for(value, wanted) == hint
