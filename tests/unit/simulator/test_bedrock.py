"""Bedrock requests: model ids and invalid bodies."""

from __future__ import annotations

from urllib.parse import quote

import orjson
import pytest

from raypipe.simulator.bedrock import BedrockApi
from raypipe.simulator.calls import CallRefused
from raypipe.simulator.http_connection import HttpRequest
from raypipe.simulator.options import ModelOptions

BODY = {"messages": [{"role": "user", "content": [{"text": "x"}]}]}


def converse_request(model_id: str, body: object = BODY) -> HttpRequest:
    target = f"/model/{quote(model_id, safe='')}/converse"
    return HttpRequest("POST", target, {"authorization": "simulated"}, orjson.dumps(body))


@pytest.mark.parametrize(
    "model_id",
    [
        "amazon.nova-lite-v1:0",
        "us.amazon.nova-lite-v1:0",
        "global.amazon.nova-lite-v1:0",
        # A prefix that only the product's list of regions used to have.
        "mx.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0",
    ],
)
def test_all_profiles_of_a_model_count_as_that_model(model_id: str) -> None:
    call = BedrockApi(ModelOptions()).parse_call(converse_request(model_id))
    assert call.model == "amazon.nova-lite-v1:0"
    assert call.requested_model == model_id


@pytest.mark.parametrize("body", [{}, {"messages": []}, [], {"messages": "x"}])
def test_invalid_bodies_are_refused(body: object) -> None:
    with pytest.raises(CallRefused) as refused:
        BedrockApi(ModelOptions()).parse_call(converse_request("m", body))
    assert refused.value.kind == "invalid"
