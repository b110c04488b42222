from __future__ import annotations

import pytest

from raypipe.core.errors import SetupError
from raypipe.models.openai_errors import explain_error
from raypipe.models.preflight import check_model, is_transient
from raypipe.models.protocol import ModelError


@pytest.mark.parametrize(
    ("error", "transient"),
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
def test_a_busy_server_passes_the_check(error: ModelError, transient: bool) -> None:
    assert is_transient(error) == transient

    def call() -> None:
        raise error

    if transient:
        check_model("m", call, str)
    else:
        with pytest.raises(SetupError):
            check_model("m", call, str)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModelError("x", "no", status=403), "the key in OPENAI_API_KEY has no access"),
        (ModelError("x", "no", status=404), "base_url does not end with /v1"),
        (ModelError("insufficient_quota", "no", status=429), "no credit or quota left"),
        (
            ModelError("x", "Use 'max_completion_tokens' instead.", status=400),
            "set max_tokens_field=max_completion_tokens",
        ),
        (ModelError("x", "'temperature' must be 1", status=400), "set send_temperature=false"),
        (ModelError("BadResponse", "odd", status=200), "BadResponse: odd"),
    ],
)
def test_each_error_of_openai_is_explained(error: ModelError, line: str) -> None:
    assert line in explain_error(error, True)
