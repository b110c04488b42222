from __future__ import annotations

from typing import Any

import orjson
import pytest

from raypipe.models.openai_errors import status_error


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"}},
         "rate_limit_exceeded", "Slow down"),  # OpenAI
        ({"error": {"message": "No such model", "type": "NotFoundError", "code": 404}},
         "NotFoundError", "No such model"),  # vLLM
        ({"object": "error", "message": "Too long", "type": "BadRequestError", "code": 400},
         "BadRequestError", "Too long"),  # FastChat and old vLLM
        ({"error": "model 'qwen' not found"}, "HTTP 400", "model 'qwen' not found"),  # Ollama
        ({"error": "Input validation error", "error_type": "validation"},
         "HTTP 400", "Input validation error"),  # TGI
        ({"detail": "Invalid model"}, "HTTP 400", "Invalid model"),  # FastAPI
        ({"detail": [{"loc": ["body", "n"], "msg": "not a number", "type": "int_parsing"}]},
         "HTTP 400", "not a number"),
        ({"unknown": [1]}, "HTTP 400", "HTTP status 400"),
    ],
)  # fmt: skip
def test_the_server_is_quoted_whatever_the_shape_of_its_error(
    body: Any, code: str, message: str
) -> None:
    error = status_error(400, {}, orjson.dumps(body))
    assert (error.code, error.message, error.status) == (code, message, 400)
