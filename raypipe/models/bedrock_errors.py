"""Convert boto3's exceptions to `ModelError`, and explain them with the way out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from raypipe.core.aws_clock import CLOCK_HINT, is_clock_wrong
from raypipe.core.retry import retry_after_s
from raypipe.models.error_policy import find_way_out
from raypipe.models.protocol import ModelError
from raypipe.models.redaction import redact_message

_LOGIN = "log in again (`aws sso login`, `aws configure`), or set AWS_PROFILE or the option profile"
_REJECTED = f"AWS rejects these credentials; {_LOGIN}"
_EXPIRED = f"the session has expired; {_LOGIN}"
_NONE = "no AWS credentials found; run `aws configure`, or set AWS_PROFILE or the option profile"
_UNREACHABLE = "no server answers there; check the region, the endpoint_url and the network"
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
    "SignatureDoesNotMatch": _REJECTED,
    "IncompleteSignature": _REJECTED,
    "MissingAuthenticationToken": _NONE,
    "IncompleteSignatureException": _REJECTED,
    "ProfileNotFound": "no such profile in the AWS configuration; "
    "`aws configure list-profiles` lists the profiles",
    "NoRegionError": "no region is set; set AWS_REGION or the option region",
    "InvalidRegionError": "the region is invalid; correct AWS_REGION or the option region",
    "InvalidEndpointConfigurationError": "the endpoint_url is invalid; correct it",
    "ConnectionError": _UNREACHABLE,
    "ConnectTimeout": _UNREACHABLE,
}
_DENIED = (
    "these credentials need bedrock:InvokeModel (and bedrock:CountTokens) on the model and its "
    "inference profile, see docs/iam.md, and the account needs access to the model"
)
_UNKNOWN_MODEL = (
    "model not found; check model_id and region, and that the account has access; `aws bedrock "
    "list-foundation-models` lists the models of a region"
)
_PROFILE_PREFIXES = {"us-gov": "us-gov", "us": "us", "eu": "eu", "ap": "apac"}
"""Prefix of the inference profiles, by prefix of the region."""
_PREFIXES = ("us-gov", "us", "eu", "apac")


def to_model_error(error: Exception, texts: Sequence[str] = ()) -> ModelError:
    """Convert an exception of boto3 to a `ModelError` that does not quote the request.

    Args:
        error: Any exception. An exception that boto3 does not define means an unreadable answer.
        texts: Texts of the request.
    """
    # A ReadTimeoutError has a response too, and it is None.
    response = getattr(error, "response", None) or {}
    return _from_response(response, texts) if response.get("Error") else _without_response(error)


def _from_response(response: Mapping[str, Any], texts: Sequence[str]) -> ModelError:
    error, metadata = response["Error"], response.get("ResponseMetadata", {})
    status = response.get("originalStatusCode")
    if _is_foreign(error, metadata):
        wait_s = retry_after_s(metadata.get("HTTPHeaders", {}))
        return ModelError.foreign(int(metadata["HTTPStatusCode"]), wait_s)
    return ModelError(
        str(error.get("Code") or "Unknown"),
        redact_message(str(error.get("Message") or ""), texts),
        status=int(metadata.get("HTTPStatusCode") or 0),
        retry_after_s=retry_after_s(metadata.get("HTTPHeaders", {}), "x-amz-retry-after"),
        original_status=status if isinstance(status, int) else 0,
    )


def _is_foreign(error: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Return whether an error has no code of AWS: botocore puts the status in its place.

    An object with another message than a firewall's may be the service's own.
    """
    status = metadata.get("HTTPStatusCode") or 0
    is_json = "json" in str(metadata.get("HTTPHeaders", {}).get("content-type", ""))
    is_coded = error.get("Code") not in (None, "", str(status))
    is_own = is_json and error.get("Message") not in (None, "", "Forbidden")
    return status >= 400 and not is_coded and not is_own


def _without_response(error: Exception) -> ModelError:
    import botocore.exceptions as botocore_errors

    kwargs = getattr(error, "kwargs", {})
    host = urlsplit(str(kwargs.get("endpoint_url") or "")).netloc.rpartition("@")[2]
    source = f" from {host}" if host else ""
    if isinstance(error, botocore_errors.ReadTimeoutError):
        return ModelError("ReadTimeout", f"no answer in time{source}", maybe_paid=True)
    if isinstance(error, botocore_errors.ConnectTimeoutError):
        return ModelError("ConnectTimeout", f"no connection in time{source}")
    if isinstance(
        error, botocore_errors.ResponseStreamingError | botocore_errors.IncompleteReadError
    ):
        return ModelError.bad_response("Bedrock's answer ended too early")
    if not isinstance(error, botocore_errors.BotoCoreError):
        return ModelError.bad_response(f"the answer is unreadable ({type(error).__name__})")
    never_sent = (
        botocore_errors.EndpointConnectionError,
        botocore_errors.ProxyConnectionError,
        botocore_errors.SSLError,
    )
    if isinstance(error, never_sent):
        return ModelError("ConnectionError", f"no connection{source} ({type(error).__name__})")
    if isinstance(error, botocore_errors.HTTPClientError):
        return ModelError("ConnectionError", f"the connection was lost{source}", maybe_paid=True)
    if isinstance(error, botocore_errors.ParamValidationError):
        # Its own message quotes the request.
        return ModelError("ParamValidation", "boto3 rejects the request; upgrade boto3")
    return ModelError(type(error).__name__, redact_message(str(error)))


def explain_error(error: ModelError, model_id: str, region: str | None) -> str:
    """Return Bedrock's reason and the way out, in one line."""
    if error.is_foreign and error.status != 404:
        return f"{error.message}; check the endpoint_url and the network, or let the calls pass"
    if is_clock_wrong(f"{error.code} {error.message}"):
        return f"{CLOCK_HINT.rstrip('; ')} (Bedrock: {error.message})"
    if known := _WAYS_OUT.get(error.code):
        return f"{known} ({error.message})" if error.message else known
    reason = error.message.rstrip(". ") or f"status {error.status}"
    way_out = _find_way_out(error, model_id, region)
    return f"Bedrock: {reason}; {way_out}" if way_out else f"Bedrock rejects the call: {reason}"


def _find_way_out(error: ModelError, model_id: str, region: str | None) -> str:
    lower = error.message.lower()
    if error.code == "ValidationException":
        if "inference profile" in lower or "on-demand throughput" in lower:
            choices = [f"model_id={prefix}.{model_id}" for prefix in _profile_prefixes(region)]
            return f"the model needs an inference profile; try {' or '.join(choices)}"
        if "temperature" in lower:
            return "the model takes no temperature; set send_temperature=false"
        if re.search(r"outputconfig|structured|json_?.?schema", lower):
            return "the model takes no JSON schema; set structured=false"
    if way_out := find_way_out(error.message):
        return way_out
    if error.code == "ResourceNotFoundException" or error.status == 404:
        return _UNKNOWN_MODEL
    if "model identifier" in lower:
        prefix = next((name for name in _PREFIXES if model_id.startswith(f"{name}.")), "")
        if prefix and region and prefix not in _profile_prefixes(region):
            own = model_id.removeprefix(f"{prefix}.")
            choices = [f"model_id={name}.{own}" for name in _profile_prefixes(region)]
            return (
                f"profiles with the prefix {prefix} are not in the region {region}; try "
                f"{' or '.join(choices)}"
            )
        return _UNKNOWN_MODEL
    if error.code == "AccessDeniedException" or error.status == 403:
        return _DENIED
    return ""


def _profile_prefixes(region: str | None) -> list[str]:
    """Return the prefixes of the inference profiles that a region may have, the nearest first."""
    near = [
        prefix
        for region_prefix, prefix in _PROFILE_PREFIXES.items()
        if (region or "").startswith(f"{region_prefix}-")
    ]
    return [*near[:1], "global"]
