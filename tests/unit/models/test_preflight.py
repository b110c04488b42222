from __future__ import annotations

import pytest

from raypipe.core.errors import SetupError
from raypipe.models.openai_errors import explain
from raypipe.models.preflight import check, is_passing, safe_message
from raypipe.models.protocol import ModelError

BOOK = "The keeper lit the lamp at dusk,\nand never once had he been late."


def test_a_message_ends_where_it_begins_to_quote() -> None:
    said = f'Invalid input {{"text": "{BOOK}"}} at position 3'
    assert safe_message(said, [BOOK]) == 'Invalid input {"text": " ...'
    escaped = said.replace("\n", "\\n")
    assert safe_message(escaped, ["Be brief.", BOOK]) == 'Invalid input {"text": " ...'


def test_a_message_is_one_short_line_without_secrets() -> None:
    assert safe_message("no\n  access\tfor sk-1", [], ["sk-1", ""]) == "no access for ***"
    assert len(safe_message("word " * 500)) == 300
    assert safe_message("Input is too long for requested model.", [BOOK]).endswith("model.")


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (ModelError("ThrottlingException", "", status=429), True),
        (ModelError("ModelErrorException", "", status=424), True),
        (ModelError("ReadTimeout", ""), True),
        (ModelError("insufficient_quota", "", status=429), False),
        (ModelError("AccessDeniedException", "", status=403), False),
        (ModelError("ConnectionError", ""), False),
        (ModelError("BadResponse", "", status=200), False),
    ],
)
def test_a_server_that_is_only_busy_passes_the_check(error: ModelError, passing: bool) -> None:
    assert is_passing(error) == passing

    def call() -> None:
        raise error

    if passing:
        check("m", call, str)
    else:
        with pytest.raises(SetupError):
            check("m", call, str)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModelError("x", "no", status=403), "the key in OPENAI_API_KEY has no access"),
        (ModelError("x", "no", status=404), "base_url does not end with /v1"),
        (ModelError("insufficient_quota", "no", status=429), "no money or quota left"),
        (
            ModelError("x", "Use 'max_completion_tokens' instead.", status=400),
            "give max_tokens_field=max_completion_tokens",
        ),
        (ModelError("x", "'temperature' must be 1", status=400), "give send_temperature=false"),
        (ModelError("BadResponse", "odd", status=200), "BadResponse: odd"),
    ],
)
def test_each_mistake_at_openais_has_a_line(error: ModelError, line: str) -> None:
    assert line in explain(error, True)
