"""The connection to Bedrock's runtime, shared by its chat and embedding models."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from raypipe.core.aws import create_client, create_session
from raypipe.core.errors import SetupError
from raypipe.core.model_ids import base_model_id, profile_id
from raypipe.core.per_process import cached_per_process
from raypipe.core.redact import refuse_url_secret
from raypipe.models.bedrock_errors import explain_error, to_model_error
from raypipe.models.context import Billing
from raypipe.models.converse_body import repair_body
from raypipe.models.json_object import parse_json_object
from raypipe.models.preflight import check_model
from raypipe.models.protocol import ModelError, TokenUsage
from raypipe.models.token_counts import log_missing_counts, read_count

_CONNECTIONS = 256
"""Connections that a client keeps open; more than the threads of one worker."""
_CONNECT_S = 10
_COUNT_HEADER = "x-amzn-bedrock-input-token-count"
_BEARER_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
"""boto3 sends this token instead of a signature."""
_COUNT = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class BedrockModel:
    """Settings of every model on Bedrock. boto3's default chain finds the credentials.

    Args:
        model_id: Model id, inference profile id (`us.`, `eu.`, ...) or ARN.
        region: AWS region; None for AWS_REGION or the profile's region.
        profile: Profile of the AWS configuration; None for boto3's default.
        endpoint_url: URL of another server with Bedrock's API; None for boto3's own settings
            (AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_ENDPOINT_URL, the profile), else Amazon's URL.
        read_timeout_s: Seconds to wait for an answer. Long, because a call that is given up may
            be billed nevertheless.

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    read_timeout_s: float = 300.0

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self.model_id:
            raise ValueError("model_id must name a model")
        if self.read_timeout_s <= 0:
            raise ValueError(f"read_timeout_s={self.read_timeout_s} must be more than 0")
        refuse_url_secret("endpoint_url", self.endpoint_url, "set a profile with the credentials")

    @property
    def name(self) -> str:
        """Return the name for documents and messages."""
        return f"bedrock/{self.base_model}"

    @property
    def base_model(self) -> str:
        """Return the model id without region prefix."""
        return base_model_id(self.model_id)

    @property
    def billing(self) -> Billing:
        """Return how its calls are billed: geographic profiles have their own prices."""
        return Billing(profile_id(self.model_id), self.tier)

    @property
    def tier(self) -> str:
        """Return the service tier that its calls request."""
        return "default"

    @property
    def pool(self) -> str:
        """Return the name of the quota: one for each profile, region and model.

        Built from the settings alone, so that driver and workers use the same name.
        """
        location = f"{self.profile or 'default'}/{self.region or 'default'}"
        return f"bedrock/{location}/{self.base_model}"

    def client(self) -> Any:
        """Return the boto3 client of these settings: one per process, thread-safe.

        Raises:
            botocore.exceptions.BotoCoreError: The profile does not exist, or no region is set.
            SetupError: The proxy or the certificates of the environment cannot be used.
        """
        return _create_client(self.profile, self.region, self.endpoint_url, self.read_timeout_s)

    def send(self, operation: str, texts: Sequence[str], **request: Any) -> Mapping[str, Any]:
        """Make one HTTP request to the model and return the response.

        Args:
            operation: Name of the client's method.
            texts: Texts of the request; error messages must not quote them.
            request: Arguments of the method, without the model.

        Raises:
            ModelError: There is no answer.
            SetupError: The proxy or the certificates of the environment cannot be used.
        """
        try:
            method = getattr(self.client(), operation)
            response: Mapping[str, Any] = method(modelId=self.model_id, **request)
            if "body" in response:  # a stream, which can end too early, too
                response = {**response, "body": response["body"].read()}
        except SetupError:
            raise
        except Exception as error:  # boto3's parser raises anything for JSON of another shape
            # Not chained: boto3's exceptions quote whole requests.
            raise to_model_error(error, texts) from None
        return response

    def invoke(
        self, body: Mapping[str, Any], texts: Sequence[str]
    ) -> tuple[Mapping[str, Any], TokenUsage]:
        """Make one InvokeModel request; return the response's JSON object and its input tokens.

        Raises:
            ModelError: There is no answer, or it is not a JSON object.
        """
        types = {"contentType": "application/json", "accept": "application/json"}
        response = self.send("invoke_model", texts, body=orjson.dumps(body), **types)
        parsed = parse_json_object(response["body"])
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        header = str(headers.get(_COUNT_HEADER, ""))
        in_header = int(header) if _COUNT.fullmatch(header) else None
        tokens = read_count(in_header) or read_count(parsed.get("inputTextTokenCount"))
        if not tokens:
            log_missing_counts(self.name)
        return parsed, TokenUsage(input_tokens=tokens)

    def explain(self, error: ModelError) -> str:
        """Return one line: model, region or endpoint, error, and the way out."""
        settings = [f"region {self.region}"] if self.region else []
        if self.profile:
            settings.append(f"profile {self.profile}")
        model = f"{self.model_id} on Bedrock"
        if settings:
            model += f" ({', '.join(settings)})"
        if self.endpoint_url:
            model += f" at {self.endpoint_url}"
        return f"{model}: {explain_error(error, self.model_id, self.region)}"

    def check_setup(self) -> None:
        """Check region, profile and credentials; no request is sent to Bedrock.

        Raises:
            SetupError: One of them is missing.
        """
        from botocore.exceptions import BotoCoreError, NoCredentialsError

        try:
            self.client()
            if not os.environ.get(_BEARER_VARIABLE) and not _has_credentials(self.profile):
                raise NoCredentialsError
        except BotoCoreError as error:
            raise SetupError(self.explain(to_model_error(error, ()))) from None

    def check_with(self, call: Callable[[], object]) -> None:
        """Make a small call as the check before a run; see `preflight.check_model`.

        Raises:
            SetupError: No call could succeed.
        """
        check_model(self.name, call, self.explain)


def _has_credentials(profile: str | None) -> bool:
    return create_session(profile).get_credentials() is not None


@cached_per_process()
def _create_client(
    profile: str | None, region: str | None, endpoint_url: str | None, read_timeout_s: float
) -> Any:
    from botocore.config import Config

    config = Config(
        # One request per call. boto3 would repeat a generation that timed out but may be billed.
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=_CONNECT_S,
        read_timeout=read_timeout_s,
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
    )
    session = create_session(profile, region)
    if session.region_name is None and (default_region := os.environ.get("AWS_REGION")):
        # Other SDKs, containers and Lambda set AWS_REGION; botocore reads AWS_DEFAULT_REGION only.
        session = create_session(profile, default_region)
    client = create_client(session, "bedrock-runtime", endpoint_url, config)
    client.meta.events.register("before-parse.bedrock-runtime", _drop_foreign_body)
    client.meta.events.register("before-parse.bedrock-runtime.Converse", repair_body)
    return client


def _drop_foreign_body(response_dict: dict[str, Any], **_: Any) -> None:
    """Drop the body of an error that is no JSON object: botocore's parser fails for some."""
    body = response_dict.get("body")
    if response_dict["status_code"] >= HTTPStatus.BAD_REQUEST and isinstance(body, bytes):
        try:
            is_object = isinstance(orjson.loads(body), dict)
        except ValueError:
            is_object = False
        if not is_object:
            response_dict["body"] = b""
