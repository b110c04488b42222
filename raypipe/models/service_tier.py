"""Service tiers: which a call requests, which the server billed, and models that lack a tier."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from raypipe.models.protocol import ModelError, TokenUsage
from raypipe.quota.prices import TIERS

log = logging.getLogger(__name__)

_OTHER_TIER = "OtherServiceTier"
_CHEAP = "flex"
"""An answer at any other tier costs more than was asked for."""


def check_tier(tier: str | None) -> None:
    """Raise ValueError unless a setting is a service tier, or None for the server's default."""
    if tier is not None and tier not in TIERS:
        raise ValueError(f"service_tier={tier}: choose one of {', '.join(TIERS)}")


def read_tier(served: Any) -> str:
    """Return the tier that an answer names: Bedrock's `{"type": "flex"}` or OpenAI's "flex".

    Returns:
        One of `TIERS`; '' if the answer names none of them.
    """
    value = served.get("type") if isinstance(served, Mapping) else served
    return value if isinstance(value, str) and value in TIERS else ""


def refuse_other_tier(requested: str, usage: TokenUsage) -> None:
    """Check the answer to the check call before a run.

    Args:
        requested: The tier that the call requested.
        usage: Usage of the answer, with the tier that the server named.

    Raises:
        ModelError: The server billed a dearer tier than it was asked for.
    """
    if not usage.tier or usage.tier == requested:
        return
    message = f"the server answers at service_tier={usage.tier}, not {requested}"
    if requested == _CHEAP:
        raise ModelError(_OTHER_TIER, message, status=200, usage=usage)
    log.warning("%s; costs are counted at service_tier=%s", message, usage.tier)


def tier_way_out(error: ModelError, tier: str) -> str:
    """Return the way out of an error about the service tier, to append to its explanation.

    Bedrock rejects a tier that it does not have with "service tier provided is invalid", and a
    reserved tier without capacity with "Reservation not found."

    Args:
        error: Error of the check call.
        tier: The tier that the call requested.
    """
    message = error.message.lower()
    is_about_tier = error.code == _OTHER_TIER or "tier" in message or "reservation" in message
    if tier == "default" or not is_about_tier:
        return ""
    return (
        f"; service_tier={tier} is not available for this model here: set service_tier=null, or "
        "choose another model_id or region"
    )
