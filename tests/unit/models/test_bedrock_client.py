from __future__ import annotations

from typing import Any

import botocore.exceptions as known
import pytest

from raypipe.core.model_ids import base_model_id
from raypipe.models.bedrock_client import BedrockModel
from raypipe.models.bedrock_errors import explain, translated
from raypipe.models.protocol import ModelError

NOVA = "amazon.nova-lite-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012"


@pytest.mark.parametrize(
    "model_id",
    [
        NOVA,
        *(f"{prefix}.{NOVA}" for prefix in ("us", "eu", "apac", "global", "us-gov", "ca", "jp")),
        f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}",
        f"{ARN}:inference-profile/us.{NOVA}",
        f"arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.{NOVA}",
    ],
)
def test_every_name_of_a_model_has_the_same_base(model_id: str) -> None:
    assert base_model_id(model_id) == NOVA


def test_providers_are_no_regions() -> None:
    for model_id in ("ai21.jamba-1-5-mini-v1:0", "us.zai.glm-4.7", "meta.llama3-1-8b-v1:0"):
        assert base_model_id(model_id) == model_id.removeprefix("us.")
    assert base_model_id(f"{ARN}:application-inference-profile/a1b2c3") == "a1b2c3"


def client_error(code: str, status: int = 400, message: str = "no", **more: Any) -> Exception:
    headers = more.pop("headers", {})
    about = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": about, **more}
    return known.ClientError(response, "Converse")


def test_what_the_server_said_is_kept() -> None:
    headers = {"x-amz-retry-after": "1500", "retry-after": "9"}
    error = translated(client_error("ThrottlingException", 429, "Too many", headers=headers))
    assert (error.code, error.status, error.message) == ("ThrottlingException", 429, "Too many")
    assert (error.retry_after_s, error.maybe_paid) == (1.5, False)
    error = translated(client_error("ModelErrorException", 424, originalStatusCode=400))
    assert (error.original_status, error.retry_after_s) == (400, None)
    assert translated(client_error("x", headers={"retry-after": "2"})).retry_after_s == 2.0


URL = "https://bedrock-runtime.us-east-1.amazonaws.com/model/secret/converse"
CLIENTS_OWN = [
    (known.ReadTimeoutError(endpoint_url=URL), "ReadTimeout", True),
    (known.ConnectTimeoutError(endpoint_url=URL), "ConnectTimeout", False),
    (known.EndpointConnectionError(endpoint_url=URL), "ConnectionError", False),
    (known.ProxyConnectionError(proxy_url="http://p"), "ConnectionError", False),
    (known.SSLError(endpoint_url=URL, error="x"), "ConnectionError", False),
    (known.ConnectionClosedError(endpoint_url=URL), "ConnectionError", True),
    (known.HTTPClientError(error="x"), "ConnectionError", True),
    (known.ResponseStreamingError(error="x"), "BadResponse", True),
    (known.IncompleteReadError(actual_bytes=1, expected_bytes=2), "BadResponse", True),
    (AttributeError("'list' object has no attribute 'get'"), "BadResponse", True),
    (known.NoCredentialsError(), "NoCredentialsError", False),
    (known.ParamValidationError(report="value: a secret, type"), "ParamValidation", False),
]


@pytest.mark.parametrize(("raised", "code", "paid"), CLIENTS_OWN, ids=lambda one: str(one)[:40])
def test_what_never_became_an_answer(raised: Exception, code: str, paid: bool) -> None:
    assert getattr(raised, "response", None) is None
    error = translated(raised)
    assert (error.code, error.maybe_paid) == (code, paid)
    assert error.status == (200 if code == "BadResponse" else 0)
    assert "secret" not in str(error)


def invalid(message: str) -> Exception:
    return client_error("ValidationException", 400, message)


EXPLAINED = [
    (client_error("AccessDeniedException", 403, "x is not authorized"), "bedrock:InvokeModel"),
    (client_error("AccessDeniedException", 403, "x is not authorized"), "docs/iam.md"),
    (client_error("ExpiredTokenException", 403), "the session has expired; log in again"),
    (known.UnauthorizedSSOTokenError(), "the session has expired; log in again"),
    (client_error("UnrecognizedClientException", 403), "does not take these credentials"),
    (client_error("ResourceNotFoundException", 404), "check model_id and region"),
    (invalid("The provided model identifier is invalid."), "check model_id and region"),
    (known.NoCredentialsError(), "no AWS credentials found; run `aws configure`"),
    (known.ProfileNotFound(profile="prod"), "no such profile in the AWS configuration"),
    (known.NoRegionError(), "set AWS_REGION or the option region"),
    (known.EndpointConnectionError(endpoint_url=URL), "bedrock-runtime.us-east-1.amazonaws.com"),
    (invalid("temperature is not supported"), "send_temperature=false"),
    (invalid("outputConfig is not supported"), "structured=false"),
    (client_error("ServiceQuotaExceededException", 400, "limit"), "limit"),
]


@pytest.mark.parametrize(("raised", "way_out"), EXPLAINED, ids=lambda one: str(one)[:60])
def test_each_mistake_has_a_line_with_the_way_out(raised: Exception, way_out: str) -> None:
    model = BedrockModel(NOVA, region="us-east-1", profile="prod")
    line = model.explain(translated(raised))
    assert way_out in line
    assert line.startswith(f"{NOVA} on Bedrock (region us-east-1, profile prod): ")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("region", "choices"),
    [
        ("eu-west-1", "eu."),
        ("ap-south-1", "apac."),
        ("us-gov-west-1", "us-gov."),
        (None, "global."),
    ],
)
def test_a_model_that_wants_a_profile_names_one(region: str | None, choices: str) -> None:
    said = "Invocation with on-demand throughput isn't supported. Retry with an inference profile."
    error = ModelError("ValidationException", said, status=400)
    assert f"try model_id={choices}{NOVA}" in explain(error, NOVA, region)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model_id": ""}, "model_id must name a model"),
    ({"read_timeout_s": 0}, "read_timeout_s=0 must be more than 0"),
    ({"endpoint_url": "http://me:pass@host"}, "endpoint_url must hold no user name"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BedrockModel(**{"model_id": NOVA, **settings})


def test_the_pool_is_of_the_settings_alone() -> None:
    assert BedrockModel(f"us.{NOVA}").pool == f"bedrock/default/default/{NOVA}"
    model = BedrockModel(NOVA, region="eu-west-1", profile="prod")
    assert model.pool == f"bedrock/prod/eu-west-1/{NOVA}"
