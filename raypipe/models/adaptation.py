"""What a model's server needs that its settings do not say, and how requests are adapted to it.

The check before a run finds it (`preflight`), and the answers of a run do (`adapter`). It changes
neither the recipe nor the key of a cached answer: it is the same question, asked in a form that
this server accepts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from raypipe.models.protocol import ModelError, Question

_MAX_TOKENS = 10_000_000
_MIN_CONTEXT, _MIN_OUTPUT = 512, 64
"""Smaller numbers in a message are no limits of a model."""
_NUMBER = r"`?(\d[\d,_]*)`?"
_CONTEXT_LIMITS = tuple(
    re.compile(pattern.replace("#", _NUMBER), re.I)
    for pattern in (
        r"maximum context length (?:is|of) #",  # OpenAI, vLLM
        r"# maximum context length",  # Mistral
        r"context (?:size|length|window)[^.]{0,20}\(# ?(?:tokens)?\)",  # llama.cpp
        r"context (?:size|length|window)(?: of| is|:)? (?:only )?#",  # Ollama, LM Studio
        r"tokens? > # maximum",  # Claude
        r"max_new_tokens`? must be <= #\. Given: \d+ `?inputs",  # TGI
    )
)
_OUTPUT_LIMITS = tuple(
    re.compile(pattern.replace("#", _NUMBER), re.I)
    for pattern in (
        r"exceeds the model limit of #",  # Bedrock
        r"at most # completion tokens",  # OpenAI
        r"max_tokens: \d+ > #",  # Claude
        r"(?:max_?(?:completion_|new_|output_)?tokens|maxTokenCount)\b.{0,60}"
        r"(?:less than or equal to|must be <=|not exceed|at most|not less or equal to) #",
        r"range of max_tokens should be \[\d+, #\]",  # DashScope
    )
)
_NO_SYSTEM = re.compile(
    r"system (?:messages?|prompts?|role|instructions?)\b.{0,40}"
    r"(?:not supported|unsupported|not allowed|is not)"
    r"|(?:support|allow|accept)\w* (?:the )?[\"'`]?system\b|roles must alternate",
    re.I,
)
_NO_SCHEMA = re.compile(
    r"outputconfig|structured.?output|json.?schema|response_format|guided|grammar|textformat", re.I
)


@dataclass(frozen=True, slots=True)
class Adaptation:
    """Differences between the requests that settings describe and those that are sent.

    Args:
        moves_system: Whether the system text is put before the prompt.
        drops_schema: Whether no JSON schema is sent: the prompt alone asks for JSON.
        context_tokens: The model's context window; 0 if the settings are right.
        max_output_tokens: The model's limit of an answer, thinking included; 0 for none.
        thinking_room: Tokens added to the maximum of each answer for the thinking before it.
        thinking_tokens: Mean tokens of that thinking, for estimates.
    """

    moves_system: bool = False
    drops_schema: bool = False
    context_tokens: int = 0
    max_output_tokens: int = 0
    thinking_room: int = 0
    thinking_tokens: int = 0

    def apply(self, question: Question) -> Question:
        """Return the question as this model accepts it."""
        max_tokens = question.max_tokens + self.thinking_room
        if self.max_output_tokens:
            max_tokens = min(max_tokens, self.max_output_tokens)
        changes: dict[str, Any] = {"max_tokens": max_tokens}
        if self.moves_system and question.system:
            changes |= {"system": "", "prompt": f"{question.system}\n\n{question.prompt}"}
        if self.drops_schema:
            changes["schema"] = None
        return replace(question, **changes)

    def merge(self, other: Adaptation) -> Adaptation:
        """Return an adaptation that has what either of two processes found."""
        limits = {
            name: min(filter(None, (getattr(self, name), getattr(other, name))), default=0)
            for name in ("context_tokens", "max_output_tokens")
        }
        return Adaptation(
            moves_system=self.moves_system or other.moves_system,
            drops_schema=self.drops_schema or other.drops_schema,
            thinking_room=max(self.thinking_room, other.thinking_room),
            thinking_tokens=other.thinking_tokens or self.thinking_tokens,
            **limits,
        )

    def describe(self) -> Sequence[str]:
        """Return what is different, in words for the log."""
        texts = {
            "moves_system": "the system text is part of the prompt",
            "drops_schema": "JSON is asked for in words, without a schema",
            "context_tokens": f"the context window is {self.context_tokens:,} tokens",
            "max_output_tokens": f"an answer has at most {self.max_output_tokens:,} tokens",
            "thinking_room": f"an answer gets {self.thinking_room:,} more tokens for thinking, "
            f"which takes about {self.thinking_tokens:,}; docs/models.md says how to turn it off",
        }
        return [text for name, text in texts.items() if getattr(self, name)]

    def to_json(self) -> dict[str, Any]:
        """Return the values that differ from the default, as plain JSON values."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return an adaptation from plain JSON values; values of a newer raypipe are ignored.

        Raises:
            ValueError: A value has another type or is out of range.
        """
        known: dict[str, Any] = {}
        for field in fields(cls):
            default: Any = field.default
            found = value.get(field.name, default)
            if type(found) is not type(default) or not 0 <= found <= _MAX_TOKENS:
                raise ValueError(f"{field.name} is invalid")
            known[field.name] = found
        return cls(**known)


def find_adaptation(error: ModelError, sent: Question) -> Adaptation | None:
    """Return what makes a refused request acceptable; None if raypipe cannot adapt it.

    Args:
        error: The server's refusal.
        sent: The refused question.
    """
    if error.status not in (400, 422) or error.is_foreign:
        return None
    context = _find_limit(error.message, _CONTEXT_LIMITS, _MIN_CONTEXT)
    if context:
        return Adaptation(context_tokens=context)
    output = _find_limit(error.message, _OUTPUT_LIMITS, _MIN_OUTPUT)
    if output and output < sent.max_tokens:
        return Adaptation(max_output_tokens=output)
    if sent.system and _NO_SYSTEM.search(error.message):
        return Adaptation(moves_system=True)
    if sent.schema is not None and _NO_SCHEMA.search(error.message):
        return Adaptation(drops_schema=True)
    return None


def _find_limit(message: str, patterns: Sequence[re.Pattern[str]], minimum: int) -> int:
    for pattern in patterns:
        if match := pattern.search(message):
            number = int(re.sub(r"[,_]", "", match[1])[:9])
            if number >= minimum:
                return number
    return 0
