from __future__ import annotations

from raypipe.models.redaction import redact_message

BOOK = "The keeper lit the lamp at dusk,\nand never once had he been late."


def test_a_message_is_cut_where_it_quotes_the_request() -> None:
    message = f'Invalid input {{"text": "{BOOK}"}} at position 3'
    assert redact_message(message, [BOOK]) == 'Invalid input {"text": " ...'
    escaped = message.replace("\n", "\\n")
    assert redact_message(escaped, ["Be brief.", BOOK]) == 'Invalid input {"text": " ...'


def test_a_message_is_one_short_line_without_secrets() -> None:
    assert redact_message("no\n  access\tfor sk-1", [], ["sk-1", ""]) == "no access for ***"
    assert len(redact_message("word " * 500)) == 300
    assert redact_message("Input is too long for requested model.", [BOOK]).endswith("model.")
