"""How Bedrock's runtime is reached; used by its chat and embedding models."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson

from raypipe.core.model_ids import base_model_id
from raypipe.models.bedrock_errors import explain, translated
from raypipe.models.preflight import check
from raypipe.models.protocol import ModelError, TokenUsage

log = logging.getLogger(__name__)

_CONNECTIONS = 256
"""Connections that a client keeps open: more than one worker's threads."""
_CONNECT_S = 10
_COUNT = "x-amzn-bedrock-input-token-count"


@dataclass(frozen=True)
class BedrockModel:
    """Settings that every model on Bedrock has; boto3's own chain finds the credentials.

    Args:
        model_id: Model id, inference profile (`us.`, `eu.`, ...) or ARN.
        region: The region; None = AWS_REGION or the profile's.
        profile: A profile of the AWS configuration; None = boto3's default.
        endpoint_url: Another server that speaks Bedrock; None = boto3's own settings
            (AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_ENDPOINT_URL, the profile), else Amazon's.
        read_timeout_s: Seconds without an answer after which a call is given up. It may be on
            the bill all the same, so it is long.

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
        if "@" in urlsplit(self.endpoint_url or "").netloc:
            raise ValueError("endpoint_url must hold no user name and password")

    @property
    def name(self) -> str:
        """Name the model in documents and messages."""
        return f"bedrock/{self.base_model}"

    @property
    def base_model(self) -> str:
        """Return the model's id without region prefix."""
        return base_model_id(self.model_id)

    @property
    def pool(self) -> str:
        """Name the quota that its calls draw on: one for each profile, region and model.

        Of the settings alone, so that driver and workers call it the same.
        """
        where = f"{self.profile or 'default'}/{self.region or 'default'}"
        return f"bedrock/{where}/{self.base_model}"

    def client(self) -> Any:
        """Return the boto3 client of these settings: one a process, safe for threads.

        Raises:
            botocore.exceptions.BotoCoreError: There is no such profile, or no region.
        """
        with _lock:  # two threads at once would make two
            return _client(self.profile, self.region, self.endpoint_url, self.read_timeout_s)

    def send(self, operation: str, texts: Sequence[str], **request: Any) -> Mapping[str, Any]:
        """Make one HTTP request to the model.

        Args:
            operation: The client's method.
            texts: What of the request must not come back in an exception.
            request: The method's arguments, without the model.

        Raises:
            ModelError: There was no answer.
        """
        try:
            method = getattr(self.client(), operation)
            answer: Mapping[str, Any] = method(modelId=self.model_id, **request)
            if "body" in answer:  # a stream: it can end too early, too
                answer = {**answer, "body": answer["body"].read()}
        except Exception as error:  # its parser lets any through, over JSON of another shape
            # Not as the cause: boto3 quotes whole requests.
            raise translated(error, texts) from None
        return answer

    def invoke(
        self, body: Mapping[str, Any], texts: Sequence[str]
    ) -> tuple[Mapping[str, Any], TokenUsage]:
        """Make one InvokeModel request; return its body and its input tokens.

        Raises:
            ModelError: There was no answer, or it is no JSON object.
        """
        sent = {"contentType": "application/json", "accept": "application/json"}
        answer = self.send("invoke_model", texts, body=orjson.dumps(body), **sent)
        try:
            said = orjson.loads(answer["body"])
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            raise ModelError.bad_response("the answer is no JSON object")
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        tokens = headers.get(_COUNT, said.get("inputTextTokenCount"))
        if tokens is None:
            log.warning("%s does not say how many tokens it counted", self.name)
        return said, TokenUsage(input_tokens=int(tokens or 0))

    def explain(self, error: ModelError) -> str:
        """Return one line: which model, where, what is wrong and the way out."""
        place = f" at {self.endpoint_url}" if self.endpoint_url else ""
        of = [f"region {self.region}" if self.region else "", f"profile {self.profile or ''}"]
        settings = ", ".join(of if self.profile else of[:1])
        what = f"{self.model_id} on Bedrock{f' ({settings})' if settings else ''}{place}"
        return f"{what}: {explain(error, self.model_id, self.region)}"

    def _check(self, call: Any) -> None:
        check(self.name, call, self.explain)


_lock = threading.Lock()


@lru_cache(maxsize=8)
def _client(
    profile: str | None, region: str | None, endpoint_url: str | None, read_timeout_s: float
) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        # One request a call: boto3 would send a generation that timed out, and may be paid, again.
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=_CONNECT_S,
        read_timeout=read_timeout_s,
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
    )
    session = boto3.Session(profile_name=profile, region_name=region)
    if session.region_name is None and (named := os.environ.get("AWS_REGION")):
        # Other SDKs, containers and Lambda set this; botocore looks at AWS_DEFAULT_REGION alone.
        session = boto3.Session(profile_name=profile, region_name=named)
    return session.client("bedrock-runtime", endpoint_url=endpoint_url, config=config)
