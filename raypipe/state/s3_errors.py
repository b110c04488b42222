"""Classify errors of S3: absent names, failed conditions, transient errors, and others."""

from __future__ import annotations

import re

from raypipe.core.retry import TRANSIENT_STATUS
from raypipe.core.s3_responses import S3ResponseError

# A 404 without S3's own code may be a proxy's: it does not show that a name is absent.
_ABSENT_CODES = frozenset({"NoSuchKey"})
_CONDITION_FAILED_CODES = frozenset({"PreconditionFailed", "412"})
# A 409 means that another write was in progress; Amazon asks to repeat the request: "Prevent
# object overwrites with conditional writes", S3 User Guide.
_TRANSIENT_CODES = frozenset(
    {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "InternalError"}
    | {"SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException"}
)
_NOT_EXECUTED_CODES = frozenset({"ConditionalRequestConflict", "SlowDown"})
# Answers of servers that do not know If-None-Match and If-Match.
_NO_CONDITION_CODES = frozenset(
    {"NotImplemented", "501", "MethodNotAllowed", "405", "UnsupportedHeader", "NotSupported"}
)
_CONDITION = re.compile(r"if-(none-)?match|condition", re.IGNORECASE)
_INVALID_RANGE_CODES = frozenset({"InvalidRange", "416"})


def error_code(error: Exception) -> str:
    """Return the error code of S3, or '' if S3 did not respond."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def is_absent(error: Exception) -> bool:
    """Whether the name does not exist."""
    return error_code(error) in _ABSENT_CODES


def is_condition_failed(error: Exception) -> bool:
    """Whether the condition of a put was not met."""
    return error_code(error) in _CONDITION_FAILED_CODES


def is_condition_unknown(error: Exception) -> bool:
    """Whether the server refuses the condition of a put, rather than its content."""
    if error_code(error) in ("InvalidArgument", "InvalidRequest"):
        return bool(_CONDITION.search(str(error)))
    return error_code(error) in _NO_CONDITION_CODES


def is_range_invalid(error: Exception) -> bool:
    """Whether the requested range of an object is empty."""
    return error_code(error) in _INVALID_RANGE_CODES


def may_be_executed(error: Exception) -> bool:
    """Whether a failed put may have been executed."""
    return error_code(error) not in _NOT_EXECUTED_CODES


def is_from_s3(error: Exception) -> bool:
    """Whether S3 or the connection to it raised the error, rather than a bug of raypipe."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return isinstance(
        error, (BotoCoreError, ClientError, HTTPError, ConnectionError, S3ResponseError)
    )


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    from botocore import exceptions as aws
    from urllib3.exceptions import HTTPError

    if isinstance(error, aws.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status in TRANSIENT_STATUS or error_code(error) in _TRANSIENT_CODES
    if isinstance(error, aws.SSLError):
        return False  # an invalid certificate stays invalid
    network = (aws.ConnectionError, aws.HTTPClientError, aws.IncompleteReadError)
    return isinstance(error, (*network, HTTPError, ConnectionError, S3ResponseError))
