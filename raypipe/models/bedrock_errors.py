"""boto3's exceptions as `ModelError`, and what a person can do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from raypipe.core.retry import retry_after_s
from raypipe.models.preflight import safe_message
from raypipe.models.protocol import ModelError

_LOGIN = "log in again (`aws sso login`, `aws configure`), or set AWS_PROFILE or the option profile"
_REJECTED = f"AWS does not take these credentials; {_LOGIN}"
_EXPIRED = f"the session has expired; {_LOGIN}"
_NONE = "no AWS credentials found; run `aws configure`, or set AWS_PROFILE or the option profile"
_WAYS_OUT = {
    "NoCredentialsError": _NONE,
    "PartialCredentialsError": _NONE,
    "CredentialRetrievalError": _NONE,
    "MissingAuthenticationTokenException": _NONE,
    "NoAuthTokenError": _NONE,
    "ExpiredTokenException": _EXPIRED,
    "ExpiredToken": _EXPIRED,
    "UnauthorizedSSOTokenError": _EXPIRED,
    "SSOTokenLoadError": _EXPIRED,
    "SSOError": _EXPIRED,
    "TokenRetrievalError": _EXPIRED,
    "LoginRefreshRequired": _EXPIRED,
    "UnrecognizedClientException": _REJECTED,
    "InvalidClientTokenId": _REJECTED,
    "InvalidSignatureException": _REJECTED,
    "IncompleteSignatureException": _REJECTED,
    "ProfileNotFound": "there is no such profile in the AWS configuration; "
    "`aws configure list-profiles` names those that are",
    "NoRegionError": "no region is set; set AWS_REGION or the option region",
    "InvalidRegionError": "that is not a region; correct AWS_REGION or the option region",
    "InvalidEndpointConfigurationError": "the endpoint_url is wrong; correct it",
    "ConnectionError": "no server answers there; check the region, the endpoint_url "
    "and the network",
    "ConnectTimeout": "no server answers there; check the region, the endpoint_url and the network",
}
_DENIED = (
    "access denied (403); these credentials need bedrock:InvokeModel (and bedrock:CountTokens) "
    "on the model and its inference profile, see docs/iam.md, and the account needs access to the "
    "model"
)
_UNKNOWN = (
    "there is no such model there; check model_id and region, and that the account has access"
)
_PROFILES = {"us-gov": "us-gov", "us": "us", "eu": "eu", "ap": "apac"}
_SPLIT = "bedrock's answer ended too early"


def translated(error: Exception, texts: Sequence[str] = ()) -> ModelError:
    """Return what boto3 raised as a `ModelError`, without what was sent.

    Args:
        error: Any; what boto3 does not know of either was an answer that cannot be read.
        texts: Texts of the request.
    """
    # A ReadTimeoutError has a response, too, and it is None.
    response = getattr(error, "response", None) or {}
    return _answered(response, texts) if response.get("Error") else _unanswered(error)


def _answered(response: Mapping[str, Any], texts: Sequence[str]) -> ModelError:
    said, about = response["Error"], response.get("ResponseMetadata", {})
    return ModelError(
        str(said.get("Code") or "Unknown"),
        safe_message(str(said.get("Message") or ""), texts),
        status=int(about.get("HTTPStatusCode") or 0),
        retry_after_s=retry_after_s(about.get("HTTPHeaders", {}), "x-amz-retry-after"),
        original_status=int(response.get("originalStatusCode") or 0),
    )


def _unanswered(error: Exception) -> ModelError:
    import botocore.exceptions as known

    kwargs = getattr(error, "kwargs", {})
    place = urlsplit(str(kwargs.get("endpoint_url") or "")).netloc
    at = f" from {place}" if place else ""
    if isinstance(error, known.ReadTimeoutError):
        return ModelError("ReadTimeout", f"no answer in time{at}", maybe_paid=True)
    if isinstance(error, known.ConnectTimeoutError):
        return ModelError("ConnectTimeout", f"no connection in time{at}")
    if isinstance(error, known.ResponseStreamingError | known.IncompleteReadError):
        return ModelError("BadResponse", _SPLIT, status=200, maybe_paid=True)
    if not isinstance(error, known.BotoCoreError):
        message = f"the answer cannot be read ({type(error).__name__})"
        return ModelError("BadResponse", message, status=200, maybe_paid=True)
    never_sent = (known.EndpointConnectionError, known.ProxyConnectionError, known.SSLError)
    if isinstance(error, never_sent):
        return ModelError("ConnectionError", f"no connection{at} ({type(error).__name__})")
    if isinstance(error, known.HTTPClientError):
        return ModelError("ConnectionError", f"the connection was lost{at}", maybe_paid=True)
    if isinstance(error, known.ParamValidationError):
        # Its own message quotes the request.
        return ModelError("ParamValidation", "boto3 refuses the request; upgrade boto3")
    return ModelError(type(error).__name__, safe_message(str(error)))


def explain(error: ModelError, model_id: str, region: str | None) -> str:
    """Return what is wrong and the way out, in one line."""
    if error.code == "ValidationException":
        return _invalid(error.message, model_id, region)
    if error.code == "ResourceNotFoundException" or error.status == 404:
        return f"{_UNKNOWN} (Bedrock: {error.message})"
    if way_out := _WAYS_OUT.get(error.code):
        return f"{way_out} ({error.message})" if error.message else way_out
    if error.code == "AccessDeniedException" or error.status == 403:
        return f"{_DENIED} (Bedrock: {error.message})"
    return f"{error}"


def _invalid(message: str, model_id: str, region: str | None) -> str:
    lower = message.lower()
    if "model identifier" in lower:
        return f"{_UNKNOWN} (Bedrock: {message})"
    if "inference profile" in lower or "on-demand throughput" in lower:
        known = [one for start, one in _PROFILES.items() if (region or "").startswith(f"{start}-")]
        choices = [f"model_id={one}.{model_id}" for one in [*known[:1], "global"]]
        return f"it is called by an inference profile alone; try {' or '.join(choices)}"
    if "temperature" in lower:
        return f"it takes no temperature; give send_temperature=false (Bedrock: {message})"
    if "outputconfig" in lower or "structured" in lower or "json_schema" in lower:
        return f"it takes no JSON schema; give structured=false (Bedrock: {message})"
    return f"Bedrock refuses the call: {message}"
