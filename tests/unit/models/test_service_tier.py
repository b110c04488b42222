"""Service tiers: what is requested, what the server billed, and models that lack a tier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.models.bedrock import BedrockChat
from raypipe.models.context import Billing, billing_of
from raypipe.models.openai import OpenAIChat
from raypipe.models.protocol import ChatModel, ModelError, Question, TokenUsage
from raypipe.models.service_tier import read_tier, refuse_other_tier, tier_way_out
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import ModelOptions, ServerOptions
from tests.unit.models.fakes import FakeModel
from tests.unit.models_here import set_credentials

QUESTION = Question("Be brief.", "What is it about?", max_tokens=40)
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    options = ServerOptions(model=ModelOptions(tiers=["default", "flex"]))
    options.latency.base_s = 0.0
    with pytest.MonkeyPatch.context() as patch, ModelServer(options) as server:
        set_credentials(patch)
        yield server


def chat(kind: str, server: ModelServer, tier: str | None) -> ChatModel:
    if kind == "bedrock":
        model = "us.amazon.nova-lite-v1:0"
        return BedrockChat(model, "us-east-1", endpoint_url=server.url, service_tier=tier)
    return OpenAIChat("gpt-5-mini", f"{server.url}/v1", service_tier=tier)


@pytest.mark.parametrize("kind", ["bedrock", "openai"])
def test_the_tier_of_the_answer_is_recorded(server: ModelServer, kind: str) -> None:
    assert chat(kind, server, "flex").call(QUESTION).usage.tier == "flex"
    served = "" if kind == "bedrock" else "default"
    assert chat(kind, server, None).call(QUESTION).usage.tier == served


@pytest.mark.parametrize("kind", ["bedrock", "openai"])
@pytest.mark.parametrize("tier", ["priority", "reserved"])
def test_the_check_refuses_a_tier_that_the_model_lacks(
    server: ModelServer, kind: str, tier: str
) -> None:
    for present in (None, "default", "flex"):
        chat(kind, server, present).check()
    with pytest.raises(SetupError) as caught:
        chat(kind, server, tier).check()
    message = str(caught.value)
    assert (
        f"service_tier={tier} is not available for this model here: set service_tier=null"
        in message
    )
    assert "\n" not in message


@pytest.mark.parametrize("kind", ["bedrock", "openai"])
def test_a_tier_changes_neither_recipe_nor_body(server: ModelServer, kind: str) -> None:
    one, other = chat(kind, server, None), chat(kind, server, "flex")
    assert one.identity() == other.identity()
    assert one.body(QUESTION) == other.body(QUESTION)


def test_a_dearer_tier_than_requested_is_refused_and_a_cheaper_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ModelError, match="answers at service_tier=default, not flex"):
        refuse_other_tier("flex", TokenUsage(1, 1, tier="default"))
    refuse_other_tier("flex", TokenUsage(1, 1))
    refuse_other_tier("priority", TokenUsage(1, 1, tier="priority"))
    assert caplog.text == ""
    refuse_other_tier("priority", TokenUsage(1, 1, tier="default"))
    assert "not priority; costs are counted at service_tier=default" in caplog.text


@pytest.mark.parametrize(
    "served",
    [None, "", "auto", "scale", {"type": "turbo"}, {"type": ["flex"]}, ["flex"], 7, {}, "FLEX"],
)
def test_an_unknown_tier_of_an_answer_is_none(served: Any) -> None:
    assert read_tier(served) == ""


def test_errors_about_other_things_say_nothing_about_tiers() -> None:
    denied = ModelError("AccessDeniedException", "no access", status=403)
    assert tier_way_out(denied, "flex") == ""
    assert tier_way_out(ModelError("x", "service tier provided is invalid"), "default") == ""


@pytest.mark.parametrize("kind", [BedrockChat, OpenAIChat])
def test_a_setting_that_is_no_tier_is_refused(kind: type) -> None:
    with pytest.raises(ValueError, match="service_tier=cheap: choose one of default, flex"):
        kind("m", service_tier="cheap")


def test_calls_are_billed_under_their_profile() -> None:
    nova = "amazon.nova-lite-v1:0"
    assert billing_of(BedrockChat(f"eu.{nova}")) == Billing(f"eu.{nova}")
    assert billing_of(BedrockChat(f"{ARN}/us.{nova}", service_tier="flex")) == Billing(
        f"us.{nova}", "flex"
    )
    assert billing_of(OpenAIChat("m", extra={"service_tier": "priority"})).tier == "priority"
    assert billing_of(OpenAIChat("m", extra={"service_tier": "auto"})).tier == "default"
    assert billing_of(FakeModel()) == Billing("fake-1"), "a client of a user need not say"
