from __future__ import annotations

from typing import Any

import botocore.exceptions as botocore_errors
import pytest

from raypipe.models.bedrock_client import BedrockModel
from raypipe.models.bedrock_errors import explain_error, to_model_error
from raypipe.models.error_policy import rule_for
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
def test_every_id_of_a_model_has_the_same_base_model(model_id: str) -> None:
    assert BedrockModel(model_id).base_model == NOVA


def test_prefixes_of_providers_are_not_regions() -> None:
    for model_id in ("ai21.jamba-1-5-mini-v1:0", "us.zai.glm-4.7", "meta.llama3-1-8b-v1:0"):
        assert BedrockModel(model_id).base_model == model_id.removeprefix("us.")
    assert BedrockModel(f"{ARN}:application-inference-profile/a1b2c3").base_model == "a1b2c3"


def client_error(code: str, status: int = 400, message: str = "no", **more: Any) -> Exception:
    headers = more.pop("headers", {})
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata, **more}
    return botocore_errors.ClientError(response, "Converse")


def test_an_error_keeps_the_servers_code_message_and_wait() -> None:
    headers = {"x-amz-retry-after": "1500", "retry-after": "9"}
    error = to_model_error(client_error("ThrottlingException", 429, "Too many", headers=headers))
    assert (error.code, error.status, error.message) == ("ThrottlingException", 429, "Too many")
    assert (error.retry_after_s, error.maybe_paid) == (1.5, False)
    error = to_model_error(client_error("ModelErrorException", 424, originalStatusCode=400))
    assert (error.original_status, error.retry_after_s) == (400, None)
    assert to_model_error(client_error("x", headers={"retry-after": "2"})).retry_after_s == 2.0


URL = "https://bedrock-runtime.us-east-1.amazonaws.com/model/secret/converse"
CLIENT_ERRORS = [
    (botocore_errors.ReadTimeoutError(endpoint_url=URL), "ReadTimeout", True),
    (botocore_errors.ConnectTimeoutError(endpoint_url=URL), "ConnectTimeout", False),
    (botocore_errors.EndpointConnectionError(endpoint_url=URL), "ConnectionError", False),
    (botocore_errors.ProxyConnectionError(proxy_url="http://p"), "ConnectionError", False),
    (botocore_errors.SSLError(endpoint_url=URL, error="x"), "ConnectionError", False),
    (botocore_errors.ConnectionClosedError(endpoint_url=URL), "ConnectionError", True),
    (botocore_errors.HTTPClientError(error="x"), "ConnectionError", True),
    (botocore_errors.ResponseStreamingError(error="x"), "BadResponse", True),
    (botocore_errors.IncompleteReadError(actual_bytes=1, expected_bytes=2), "BadResponse", True),
    (AttributeError("'list' object has no attribute 'get'"), "BadResponse", True),
    (botocore_errors.NoCredentialsError(), "NoCredentialsError", False),
    (
        botocore_errors.ParamValidationError(report="value: a secret, type"),
        "ParamValidation",
        False,
    ),
]


@pytest.mark.parametrize(
    ("raised", "code", "paid"), CLIENT_ERRORS, ids=lambda value: str(value)[:40]
)
def test_errors_without_a_response(raised: Exception, code: str, paid: bool) -> None:
    assert getattr(raised, "response", None) is None
    error = to_model_error(raised)
    assert (error.code, error.maybe_paid) == (code, paid)
    assert error.status == (200 if code == "BadResponse" else 0)
    assert "secret" not in str(error)


def invalid(message: str) -> Exception:
    return client_error("ValidationException", 400, message)


EXPLANATIONS = [
    (client_error("AccessDeniedException", 403, "x is not authorized"), "bedrock:InvokeModel"),
    (client_error("AccessDeniedException", 403, "x is not authorized"), "docs/iam.md"),
    (
        client_error("AccessDeniedException", 403, "You don't have access to the model with ..."),
        "request it under Model access",
    ),
    (
        client_error("AccessDeniedException", 403, "(aws-marketplace:Subscribe) on this resource"),
        "grant aws-marketplace:Subscribe",
    ),
    (
        client_error("AccessDeniedException", 403, "u is not authorized, with an explicit deny in"),
        "a policy denies this explicitly",
    ),
    (
        client_error("AccessDeniedException", 403, "Make sure your API Key is valid"),
        "AWS_BEARER_TOKEN_BEDROCK",
    ),
    (
        client_error("InvalidSignatureException", 403, "Signature expired: 2020 is now earlier"),
        "the clock of this machine is wrong",
    ),
    (client_error("ExpiredTokenException", 403), "the session has expired; log in again"),
    (botocore_errors.UnauthorizedSSOTokenError(), "the session has expired; log in again"),
    (client_error("UnrecognizedClientException", 403), "AWS rejects these credentials"),
    (client_error("ResourceNotFoundException", 404), "check model_id and region"),
    (invalid("The provided model identifier is invalid."), "check model_id and region"),
    (
        client_error(
            "ResourceNotFoundException",
            404,
            "Model use case details have not been submitted for this account.",
        ),
        "Bedrock: Model use case details have not been submitted for this account; fill in",
    ),
    (
        client_error(
            "ResourceNotFoundException",
            404,
            "Access denied. This Model is marked by "
            "provider as Legacy and you have not been actively using the model.",
        ),
        "using the model; the provider retires the model; set model_id to an active model",
    ),
    (
        client_error(
            "ResourceNotFoundException", 404, "This model version has reached the end of its life."
        ),
        "its life; the model was retired; set model_id",
    ),
    (
        invalid("Operation not allowed"),
        "Operation not allowed; the account may not call models yet",
    ),
    (
        invalid("The requested model is not supported in this region."),
        "in this region; set model_id to a model of this region",
    ),
    (botocore_errors.NoCredentialsError(), "no AWS credentials found; run `aws configure`"),
    (botocore_errors.ProfileNotFound(profile="prod"), "no such profile in the AWS configuration"),
    (botocore_errors.NoRegionError(), "set AWS_REGION or the option region"),
    (
        botocore_errors.EndpointConnectionError(endpoint_url=URL),
        "bedrock-runtime.us-east-1.amazonaws.com",
    ),
    (invalid("temperature is not supported"), "send_temperature=false"),
    (invalid("outputConfig is not supported"), "structured=false"),
    (client_error("ServiceQuotaExceededException", 400, "limit"), "limit"),
]


@pytest.mark.parametrize(("raised", "way_out"), EXPLANATIONS, ids=lambda value: str(value)[:60])
def test_each_error_is_explained_with_the_way_out(raised: Exception, way_out: str) -> None:
    model = BedrockModel(NOVA, region="us-east-1", profile="prod")
    line = model.explain(to_model_error(raised))
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
def test_a_model_that_needs_an_inference_profile_suggests_one(
    region: str | None, choices: str
) -> None:
    message = (
        "Invocation with on-demand throughput isn't supported. Retry with an inference profile."
    )
    error = ModelError("ValidationException", message, status=400)
    assert f"try model_id={choices}{NOVA}" in explain_error(error, NOVA, region)


def test_a_profile_of_another_region_suggests_one_of_this_region() -> None:
    error = ModelError(
        "ValidationException", "The provided model identifier is invalid.", status=400
    )
    line = explain_error(error, f"eu.{NOVA}", "us-east-1")
    assert line.startswith("Bedrock: The provided model identifier is invalid; profiles with the ")
    assert f"try model_id=us.{NOVA} or model_id=global.{NOVA}" in line


def test_a_run_names_the_same_way_out() -> None:
    message = "Model use case details have not been submitted for this account."
    rule = rule_for(ModelError("ResourceNotFoundException", message, status=404))
    assert (rule.action, "fill in the form" in rule.way_out) == ("stop", True)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model_id": ""}, "model_id must name a model"),
    ({"read_timeout_s": 0}, "read_timeout_s=0 must be more than 0"),
    ({"endpoint_url": "http://me:pass@host"}, "endpoint_url must not contain a user name"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BedrockModel(**{"model_id": NOVA, **settings})


def test_the_pool_depends_on_the_settings_only() -> None:
    assert BedrockModel(f"us.{NOVA}").pool == f"bedrock/default/default/{NOVA}"
    model = BedrockModel(NOVA, region="eu-west-1", profile="prod")
    assert model.pool == f"bedrock/prod/eu-west-1/{NOVA}"
