"""What happens after a model's error: one table, by error code, HTTP status and message.

`rule_for` finds the rule of an error in this order:

1. `CODES` by the error code: the codes of Bedrock (botocore's service model of bedrock-runtime), of
   OpenAI and compatible servers, and of the clients themselves where no answer arrived.
2. `STATUSES` by the HTTP status, for codes that are not in `CODES`.
3. `MESSAGES` by the text, for requests that the server found invalid.

An answer of a proxy or firewall says nothing about the model, the key or the quota: it has its own
table, `_FOREIGN_STATUSES`.

`raypipe.models.calling.retrying.RetryingCall` follows the rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from raypipe.models.protocol import ModelError

Action = Literal["retry", "throttled", "too_long", "fail", "stop", "unknown"]
"""What to do after an error:

- `retry`: repeat the call after a wait.
- `throttled`: repeat the call when the quota allows it; this does not count as a retry.
- `too_long`: raise `TooLongError`, so that the caller sends less per call.
- `fail`: fail the book.
- `stop`: stop the run.
- `unknown`: the call may be billed, so repeat it only a few times.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do after one kind of error.

    Args:
        action: The first action.
        retries: Maximum number of repeats for `retry` and `unknown`.
        base_s: Upper bound of the wait before the first retry, in seconds; doubles with each retry.
        then: The action after the last retry.
        kind: Kind of the book's failure, see `raypipe.ledger.failure_log.KINDS`.
        retryable: Whether a later run may succeed with the book.
        way_out: For `stop`: what the user can do.
        daily: Whether the daily quota is used up.
    """

    action: Action
    retries: int = 0
    base_s: float = 1.0
    then: Action = "fail"
    kind: str = "model"
    retryable: bool = True
    way_out: str = ""
    daily: bool = False


THROTTLED = Rule("throttled")
RETRY = Rule("retry", retries=6)
BUSY = Rule("retry", retries=8)
"""The service has no capacity (503). The quota is not involved, and it may take minutes."""
NOT_READY = Rule("retry", retries=8, base_s=5.0)
TIMEOUT = Rule("retry", retries=1, then="too_long")
"""The model itself timed out (408): the first time may be chance, the second time means too much
text."""
UNKNOWN = Rule("unknown", retries=2)
TOO_LONG = Rule("too_long")
BLOCKED = Rule("fail")
"""A proxy or firewall refused this request, for its text perhaps. If it refuses every request, the
check before the run or the circuit breaker stops the run."""
BAD_REQUEST = Rule("fail", kind="bad_request", retryable=False)
FILTERED = Rule("fail", kind="filtered", retryable=False)
SERVICE_QUOTA = Rule("fail", kind="service_quota")
NO_ACCESS = Rule(
    "stop",
    way_out="allow bedrock:InvokeModel on the model, and give the account access to the model",
)
CREDENTIALS = Rule("stop", way_out="check the credentials: profile, keys, and the clock")
EXPIRED = replace(
    CREDENTIALS,
    action="retry",
    retries=1,  # boto3 may have refreshed the credentials meanwhile
    then="stop",
    way_out="the credentials have expired; log in again, then run again",
)
NO_LOGIN = replace(EXPIRED, way_out="log in again, or set AWS_PROFILE; then run again")
SETTINGS = Rule("stop", way_out="check the options profile, region and endpoint_url")
API_KEY = Rule("stop", way_out="check the key in the environment variable OPENAI_API_KEY")
_ACCESS_RULES = (CREDENTIALS, EXPIRED, NO_LOGIN, SETTINGS, API_KEY)
"""Rules of errors that say that this machine has no access, whatever the request."""
NO_MODEL = Rule("stop", way_out="check the model id, the region and the endpoint")
NO_FUNDS = Rule("stop", way_out="the account's credit is used up; add credit, then run again")

CODES: Mapping[str, Rule] = {
    # Bedrock
    "ThrottlingException": THROTTLED,
    "TooManyRequestsException": THROTTLED,
    "ModelNotReadyException": NOT_READY,
    "ModelTimeoutException": TIMEOUT,
    "ModelErrorException": RETRY,
    "ModelStreamErrorException": RETRY,
    "InternalServerException": RETRY,
    "InternalFailure": RETRY,
    "ServiceUnavailableException": BUSY,
    "ServiceUnavailable": BUSY,
    "ValidationException": BAD_REQUEST,
    "ServiceQuotaExceededException": SERVICE_QUOTA,
    "AccessDeniedException": NO_ACCESS,
    "ResourceNotFoundException": NO_MODEL,
    "UnrecognizedClientException": CREDENTIALS,
    "InvalidClientTokenId": CREDENTIALS,
    "InvalidSignatureException": CREDENTIALS,
    "SignatureDoesNotMatch": CREDENTIALS,
    "IncompleteSignature": CREDENTIALS,
    "IncompleteSignatureException": CREDENTIALS,
    "MissingAuthenticationTokenException": CREDENTIALS,
    "MissingAuthenticationToken": CREDENTIALS,
    "NoCredentialsError": CREDENTIALS,
    "ExpiredTokenException": EXPIRED,
    "ExpiredToken": EXPIRED,
    # botocore's own exceptions, by class; no request was sent
    "PartialCredentialsError": CREDENTIALS,
    "CredentialRetrievalError": NO_LOGIN,
    "NoAuthTokenError": NO_LOGIN,
    "UnauthorizedSSOTokenError": NO_LOGIN,
    "SSOTokenLoadError": NO_LOGIN,
    "SSOError": NO_LOGIN,
    "TokenRetrievalError": NO_LOGIN,
    "LoginRefreshRequired": NO_LOGIN,
    "ProfileNotFound": SETTINGS,
    "NoRegionError": SETTINGS,
    "InvalidRegionError": SETTINGS,
    "InvalidEndpointConfigurationError": SETTINGS,
    "ParamValidation": Rule("stop", way_out="upgrade boto3"),
    # OpenAI; the status decides for `server_error` and `invalid_request_error`
    "rate_limit_exceeded": THROTTLED,
    "insufficient_quota": NO_FUNDS,
    "billing_hard_limit_reached": NO_FUNDS,
    "context_length_exceeded": TOO_LONG,
    "string_above_max_length": TOO_LONG,
    "content_filter": FILTERED,
    "content_policy_violation": FILTERED,
    "invalid_api_key": API_KEY,
    "model_not_found": NO_MODEL,
    "model_not_allowed": replace(NO_MODEL, way_out="the API key has no access to this model"),
    # The clients' own codes
    "ReadTimeout": UNKNOWN,
    "BadResponse": UNKNOWN,
    "ConnectTimeout": BUSY,
    "ConnectionError": BUSY,
}

STATUSES: Mapping[int, Rule] = {
    0: BUSY,
    401: API_KEY,
    402: NO_FUNDS,
    403: replace(API_KEY, way_out="the credentials have no access to this model"),
    404: NO_MODEL,
    408: TIMEOUT,
    409: RETRY,
    413: TOO_LONG,
    424: RETRY,
    425: RETRY,  # a proxy's "too early"
    429: THROTTLED,
    503: BUSY,
    529: BUSY,  # "overloaded"; not in any RFC
}
"""Other statuses from 400 to 499 are `BAD_REQUEST`; all others are `RETRY`."""

MESSAGES: Mapping[re.Pattern[str], Rule] = {
    re.compile(
        r"too long|too many input tokens|context (length|window|size)|maximum context"
        r"|maxLength|input tokens exceed|`inputs` tokens",
        re.IGNORECASE,
    ): TOO_LONG,
    re.compile(
        r"model identifier is invalid|on-demand throughput isn.t supported"
        r"|operation not allowed|model.{0,40} (does not exist|not found)",
        re.IGNORECASE,
    ): NO_MODEL,
}
"""Applied to `BAD_REQUEST` only: "Too many tokens, please wait" is a throttle."""

_LOCATION = "set model_id to a model of this region, or set the region"
_WAYS_OUT: Mapping[str, str] = {
    "marketplace": "subscribe to the model in the model catalog of the Bedrock console, or grant "
    "aws-marketplace:Subscribe and :ViewSubscriptions",
    "use case": "fill in the form of the model's provider in the model catalog of the Bedrock "
    "console, then wait 15 minutes",
    "legacy": "the provider retires the model; set model_id to an active model, see the model "
    "catalog of the Bedrock console",
    "end of its life": "the model was retired; set model_id to an active model, see the model "
    "catalog of the Bedrock console",
    "access to the model": "the account has no access to the model; request it under Model access "
    "in the Bedrock console, in this region",
    "explicit deny": "a policy denies this explicitly, often for a region; ask its owner, or set "
    "another region or model_id",
    **dict.fromkeys(
        ("api key", "bearer token"),
        "set a new API key in AWS_BEARER_TOKEN_BEDROCK, or unset it to use other credentials",
    ),
    "kms:": "grant kms:Decrypt on the KMS key",
    "not supported in": _LOCATION,
    "not available in": _LOCATION,
    "unsupported countries": "the provider does not serve your country; use another model",
    "operation not allowed": "the account may not call models yet; request access in the Bedrock "
    "console, or ask AWS Support",
}
"""Ways out by a part of the message of Bedrock, in lower case; the first that is found."""

_FOREIGN_STATUSES: Mapping[int, Rule] = {
    401: STATUSES[401],
    407: Rule("stop", way_out="a proxy asks for a login; set it in HTTPS_PROXY"),
    **{status: STATUSES[status] for status in (408, 413, 425, 429)},
}
"""Answers of a proxy or firewall; other statuses from 400 to 499 are `BLOCKED`."""

_DAILY = re.compile(r"(tokens|requests) per day|\b[TR]PD\b", re.IGNORECASE)
_MODEL_ERROR_STATUS = 424
"""Bedrock's status for an error of the model itself; `ModelError.original_status` has its own."""


def rule_for(error: ModelError) -> Rule:
    """Return what to do after an error."""
    if error.is_foreign and 400 <= error.status < 500:
        return _FOREIGN_STATUSES.get(error.status, BLOCKED)
    rule = _rule_for_code(error)
    if error.maybe_paid and rule.action == "retry":
        return UNKNOWN
    if rule.action == "throttled":
        return replace(rule, daily=bool(_DAILY.search(error.message)))
    if error.status == _MODEL_ERROR_STATUS and rule is RETRY and 400 <= error.original_status < 500:
        rule = _rule_for_model_status(error.original_status)
    if rule is BAD_REQUEST:
        matches = (
            special for pattern, special in MESSAGES.items() if pattern.search(error.message)
        )
        rule = next(matches, rule)
    if rule.action == "stop" and (way_out := find_way_out(error.message)):
        return replace(rule, way_out=way_out)
    return rule


def find_way_out(message: str) -> str:
    """Return the way out that belongs to the message of a refused call; '' if none is known."""
    lower = message.lower()
    return next((way_out for part, way_out in _WAYS_OUT.items() if part in lower), "")


def is_access_error(error: ModelError) -> bool:
    """Return whether this machine has no access to the server, whatever the request."""
    return error.code in ("ConnectionError", "ConnectTimeout") or (
        _rule_for_code(error) in _ACCESS_RULES and not error.is_foreign
    )


def _rule_for_code(error: ModelError) -> Rule:
    return CODES.get(error.code) or _rule_for_status(error.status)


def _rule_for_model_status(status: int) -> Rule:
    """Return the rule for an error that the model reports inside the service.

    It is about this request: never about our credentials, and never about our quota.
    """
    rule = _rule_for_status(status)
    if rule.action == "stop":
        return BAD_REQUEST
    return BUSY if rule.action == "throttled" else rule


def _rule_for_status(status: int) -> Rule:
    if status in STATUSES:
        return STATUSES[status]
    return BAD_REQUEST if 400 <= status < 500 else RETRY
