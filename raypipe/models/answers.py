"""Make an `Answer` of a response: what it is, why it ended, and which tokens were thinking.

Both protocols use the same table of stop reasons, because gateways pass through the reasons of
other servers: OpenAI, Azure, Bedrock Converse, vLLM, SGLang, TGI, Ollama, llama.cpp, Mistral,
Gemini, Anthropic, DeepSeek and Zhipu each have some.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from raypipe.models.protocol import Answer, ModelError, StopReason, TokenUsage
from raypipe.models.thinking import split_thinking

log = logging.getLogger(__name__)

_MAX_REASON_CHARS = 50  # of a server's unknown stop reason, in messages
_BYTES_PER_TOKEN = 4  # of thinking, where the server counts no tokens
_SENTENCE_END = re.compile(r"[.!?…。！？}\]][\"'”’»)\]」』`*]*\s*\Z")  # noqa: RUF001

_REASONS: Mapping[StopReason, str] = {
    # malformed_model_output: what does not fit the schema may still be JSON or prose; the checks
    # of the answer decide. tool_calls: raypipe offers no tools, so any text is the answer.
    "end": "stop end end_turn stop_sequence stop_token eos eos_token complete completed finished "
    "finish done pause_turn tool_use tool_calls function_call malformed_model_output "
    "malformed_tool_use malformed_function_call",
    "max_tokens": "length max_tokens max_length max_output_tokens token_limit repetition",
    "filtered": "content_filter content_filtered guardrail_intervened filtered blocked safety "
    "refusal recitation blocklist prohibited_content spii sensitive content_policy",
    "context": "model_context_window_exceeded model_length context_length context_length_exceeded",
}
_STOP_REASONS: Mapping[str, StopReason] = {
    name: reason for reason, names in _REASONS.items() for name in names.split()
}
_BROKEN = frozenset({
    "abort", "aborted", "error", "cancelled", "canceled", "timeout", "load", "unload",
    "network_error", "other", "insufficient_system_resource",
})  # fmt: skip
"""Reasons of a server that failed in the middle of an answer: its text is no whole answer."""
_UNKNOWN = frozenset({"", "none", "null", "unknown", "finish_reason_unspecified"})


def build_answer(
    text: str,
    reason: Any,
    usage: TokenUsage,
    *,
    model: str,
    max_tokens: int,
    thinking: str = "",
    thinking_tokens: int = 0,
) -> Answer:
    """Return the answer of a response, without its thinking.

    Args:
        text: The text of the response; may contain thinking.
        reason: The server's stop reason, of any type.
        usage: Tokens as counted by the server.
        model: Name of the model, for the log.
        max_tokens: Maximum tokens of the call.
        thinking: Thinking that the server sent apart from the text.
        thinking_tokens: Tokens of the thinking as counted by the server; 0 if it did not.

    Raises:
        ModelError: The server failed in the middle of the answer, or the reason is no text.
    """
    if not isinstance(reason, str | None):
        message = f"the model stopped for an unknown reason: {str(reason)[:_MAX_REASON_CHARS]}"
        raise ModelError.bad_response(message, usage)
    split, name = split_thinking(text), (reason or "").strip().lower()
    if name in _BROKEN:
        raise ModelError.bad_response(f"the server broke off the answer: {name}", usage)
    stop = _STOP_REASONS.get(name)
    if stop is None:
        if name not in _UNKNOWN:
            _log_unknown_reason(model, name[:_MAX_REASON_CHARS])
        stop = _guess_reason(split.answer, usage, max_tokens)
    if split.is_cut and stop == "end" and usage.output_tokens >= max_tokens:
        stop = "max_tokens"  # some servers say "stop" at the limit
    if stop == "filtered":
        # A partial answer, or the text of a guardrail, is no answer.
        return Answer("", "filtered", usage, 0, name)
    tokens = _count_thinking(split.answer, thinking + split.thinking, thinking_tokens, usage)
    if stop == "max_tokens" and not split.answer:
        tokens = tokens or usage.output_tokens or max_tokens  # thinking that the server hides
    return Answer(split.answer, stop, usage, tokens, name)


def strip_thinking(answer: Answer) -> Answer:
    """Return an answer, such as a cached one of an older raypipe, without its thinking."""
    split = split_thinking(answer.text)
    if split.answer == answer.text:
        return answer
    tokens = answer.thinking_tokens or _count_thinking(
        split.answer, split.thinking, 0, answer.usage
    )
    return Answer(split.answer, answer.stop_reason, answer.usage, tokens, answer.server_reason)


def _guess_reason(answer: str, usage: TokenUsage, max_tokens: int) -> StopReason:
    """Return the stop reason of an answer whose server gave none that is known."""
    if usage.output_tokens >= max_tokens:
        return "max_tokens"
    # An answer that ends in a sentence or a JSON object is whole; another one may be cut off.
    return "end" if not answer or _SENTENCE_END.search(answer) else "max_tokens"


def _count_thinking(answer: str, thinking: str, reported: int, usage: TokenUsage) -> int:
    """Return the tokens of thinking: the server's count, or its share of the output."""
    if reported > 0:
        return min(reported, usage.output_tokens) if usage.output_tokens else reported
    size = len(thinking.encode("utf-8", "replace"))
    if size == 0:
        return 0
    if not usage.output_tokens:
        return math.ceil(size / _BYTES_PER_TOKEN)
    return math.ceil(usage.output_tokens * size / (size + len(answer.encode("utf-8", "replace"))))


@lru_cache(maxsize=256)
def _log_unknown_reason(model: str, reason: str) -> None:
    """Log an unknown stop reason, once per process and model."""
    log.warning(
        "%s stopped for a reason that raypipe does not know: %s; raypipe judges by the text "
        "whether an answer is whole",
        model,
        reason,
    )
