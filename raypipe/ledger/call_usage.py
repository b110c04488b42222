"""The usage of a model call, as an entry of the answer cache records it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.ledger.token_sums import CallKind

_MAX_TOKENS = 10**12  # of an entry; sums must fit into 64 bits
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})T")


@dataclass(frozen=True, slots=True)
class CallUsage:
    """Tokens of a model call.

    Args:
        operation: Kind of the call, as in the cache key: `chat`, `embed`.
        model: Model id without region prefix.
        input_tokens: Input tokens as counted by the server.
        output_tokens: Output tokens as counted by the server.
        log_id: Id of the log that counts the call; '' for none.
        profile: Inference profile id, if the call is billed under it; '' for `model`.
        tier: Service tier.
        day: Date of the call in UTC, as `2026-11-28`; '' if it is not known.
    """

    operation: str
    model: str
    input_tokens: int
    output_tokens: int
    log_id: str = field(default="", compare=False)
    profile: str = ""
    tier: str = "default"
    day: str = field(default="", compare=False)

    @property
    def kind(self) -> CallKind:
        """Return what the call is billed as."""
        return CallKind(self.day, self.profile or self.model, self.tier)

    @staticmethod
    def from_entry(entry: Mapping[str, Any]) -> CallUsage:
        """Return the usage in an entry.

        Raises:
            Exception: The entry is damaged or foreign.
        """
        usage = entry["usage"]
        tokens = usage["input_tokens"], usage["output_tokens"]
        if not all(isinstance(count, int) and 0 <= count <= _MAX_TOKENS for count in tokens):
            raise ValueError("a count of tokens is invalid")
        day = _DAY.match(str(entry.get("at", "")))
        return CallUsage(
            str(entry["operation"]),
            str(entry["model"]),
            *tokens,
            log_id=str(entry.get("log", "")),
            profile=str(entry.get("profile", "")),
            tier=str(entry.get("tier", "default")),
            day=day[1] if day else "",
        )

    def to_entry(self) -> dict[str, Any]:
        """Return the fields of an entry that say who is paid how much, and when."""
        extra = {"log": self.log_id, "profile": self.profile}
        if self.tier != "default":
            extra["tier"] = self.tier
        return {
            **{name: value for name, value in extra.items() if value},
            "operation": self.operation,
            "model": self.model,
            "usage": {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens},
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
