"""Read a chat completion as OpenAI-compatible servers and gateways send it.

Shapes that differ from OpenAI's: thinking in `reasoning_content` (vLLM until 0.11, SGLang,
DeepSeek, llama.cpp, LM Studio) or `reasoning` (newer vLLM, Ollama, OpenRouter), content as a list
of parts (Mistral), a `text` in place of a message, several choices, no choices after a filter
(Azure), and an error object in a response with status 200 (OpenRouter, FastChat, LiteLLM).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from raypipe.models.answers import build_answer
from raypipe.models.openai_errors import read_error
from raypipe.models.protocol import Answer, ModelError, TokenUsage
from raypipe.models.redaction import redact_message
from raypipe.models.service_tier import read_tier
from raypipe.models.token_counts import read_count, read_usage

_THINKING_FIELDS = ("reasoning_content", "reasoning", "thinking")
_THINKING_PARTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
_MAX_DEPTH = 4
_STATUS_OF_WORDS: Sequence[tuple[str, int]] = (
    (r"rate.?limit|too many requests|quota|throttl", 429),
    (r"overload|capacity|unavailable|busy|loading", 503),
    (r"timed? ?out", 504),
    (r"maximum context|context (length|size|window)|too long", 400),
    (r"not found|no such model|does not exist", 404),
    (r"unauthori[sz]ed|api key|authentication", 401),
)
_UNNAMED_STATUS = 500
_ERROR_CODE = "ErrorInResponse"
"""The code of an error that names none."""


def parse_completion(
    response: Mapping[str, Any],
    *,
    model: str,
    max_tokens: int,
    texts: Sequence[str] = (),
    secrets: Sequence[str] = (),
) -> Answer:
    """Return the answer in a chat completion.

    Args:
        response: The JSON object of the response.
        model: Name of the model, for the log.
        max_tokens: Maximum tokens of the call.
        texts: Texts of the request; error messages must not quote them.
        secrets: Values that error messages must not contain, such as the API key.

    Raises:
        ModelError: The response has an error object, or no usable answer.
    """
    usage = _read_usage(response.get("usage"), model, max_tokens)
    usage = replace(usage, tier=read_tier(response.get("service_tier")))
    if error := _find_error(response, texts, secrets):
        raise error
    choice = _first_choice(response)
    if choice is None:
        if _has_filter(response):
            return Answer("", "filtered", usage, server_reason="prompt_filter_results")
        raise ModelError.bad_response("the answer has no choices", usage)
    if error := _find_error(choice, texts, secrets):
        raise error
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        message = {"content": choice["text"]}
    if not isinstance(message, Mapping):
        raise ModelError.bad_response("the answer has no message", usage)
    if message.get("refusal"):
        return Answer("", "filtered", usage, server_reason="refusal")
    content = message.get("content")
    if not isinstance(content, str | list | None):
        raise ModelError.bad_response("the content of the answer is no text", usage)
    parts = list(_read_parts(content))
    fields = (message.get(name) for name in _THINKING_FIELDS)
    thinking = [text for text in fields if isinstance(text, str)][:1]
    thinking += [text for text, is_thinking in parts if is_thinking]
    return build_answer(
        "".join(text for text, is_thinking in parts if not is_thinking),
        choice.get("finish_reason"),
        usage,
        model=model,
        max_tokens=max_tokens,
        thinking="".join(thinking),
        thinking_tokens=_count_reasoning(response.get("usage"), usage),
    )


def _first_choice(response: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = response.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else None


def _read_usage(counts: Any, model: str, max_tokens: int) -> TokenUsage:
    """Return the tokens; thinking that only the total counts (Gemini) is output."""
    usage = read_usage(counts, model, "prompt_tokens", "completion_tokens")
    total = read_count(counts.get("total_tokens")) if isinstance(counts, Mapping) else 0
    output = total - usage.input_tokens
    if usage.input_tokens and usage.output_tokens < output <= max_tokens:
        return TokenUsage(usage.input_tokens, output)
    return usage


def _count_reasoning(counts: Any, usage: TokenUsage) -> int:
    """Return the tokens of thinking that the server counts; 0 if it counts none."""
    if not isinstance(counts, Mapping):
        return 0
    details = counts.get("completion_tokens_details")
    for part in (details, counts):
        if isinstance(part, Mapping) and read_count(part.get("reasoning_tokens")):
            return read_count(part["reasoning_tokens"])
    completion = read_count(counts.get("completion_tokens"))
    return usage.output_tokens - completion if completion else 0


def _read_parts(content: Any, depth: int = 0) -> Iterator[tuple[str, bool]]:
    """Yield the texts of a content, and whether each is thinking."""
    if isinstance(content, str):
        yield content, False
    elif isinstance(content, list) and depth < _MAX_DEPTH:
        for part in content:
            if isinstance(part, Mapping):
                is_thinking = part.get("type") in _THINKING_PARTS
                inner = part.get("text") or (part.get("thinking") if is_thinking else None)
                for text, _ in _read_parts(inner, depth + 1):
                    yield text, is_thinking
            else:
                yield from _read_parts(part, depth + 1)


def _has_filter(response: Mapping[str, Any]) -> bool:
    """Return whether Azure's filter took the prompt: a category has `"filtered": true`."""

    def is_filtered(value: Any, depth: int = 0) -> bool:
        if depth > _MAX_DEPTH:
            return False
        if isinstance(value, Mapping):
            if value.get("filtered") is True:
                return True
            value = list(value.values())
        return isinstance(value, list) and any(is_filtered(item, depth + 1) for item in value)

    return is_filtered(response.get("prompt_filter_results"))


def _find_error(
    part: Mapping[str, Any], texts: Sequence[str], secrets: Sequence[str]
) -> ModelError | None:
    """Return the error that a response with status 200, or a choice, reports instead of a text."""
    is_error = (
        part.get("error")
        or part.get("object") == "error"  # FastChat and old vLLM
        or (not part.get("choices") and isinstance(part.get("detail"), str))  # FastAPI
    )
    if not is_error:
        return None
    error = read_error(part)
    return ModelError(
        next(iter(error.codes), _ERROR_CODE),
        redact_message(error.message or "no message", texts, secrets),
        status=error.status or _guess_status(" ".join([error.message, *error.codes])),
    )


def _guess_status(words: str) -> int:
    for pattern, status in _STATUS_OF_WORDS:
        if re.search(pattern, words, re.I):
            return status
    return _UNNAMED_STATUS
