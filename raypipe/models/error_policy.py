"""What to do after a call that brought no answer: one table, by the server's error code.

Codes are Bedrock's (botocore's service model of bedrock-runtime), OpenAI's and those of servers
that speak its API, and the clients' own for what never became an answer. A code that is not in
the table is judged by its HTTP status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from raypipe.models.protocol import ModelError

Do = Literal["retry", "throttled", "too_long", "fail", "stop", "unknown"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do after one kind of error.

    Args:
        do: `retry` the same call a little later; `throttled`: the quota decides when, and it is
            no try; `too_long`: ask for less at a time; `fail` the book; `stop` the run;
            `unknown`: nobody knows whether it was paid for, so it is repeated a few times only.
        retries: How often `retry` and `unknown` repeat the call.
        base_s: Longest wait before the first retry, doubled each time.
        then: What to do once the retries are used up.
        kind: Of the book's failure, see `raypipe.ledger.failures.KINDS`.
        retryable: Whether a later run may fare better.
        way_out: Where the run stops: what to do about it.
        daily: It is the quota of the day that is used up.
    """

    do: Do
    retries: int = 0
    base_s: float = 1.0
    then: Do = "fail"
    kind: str = "model"
    retryable: bool = True
    way_out: str = ""
    daily: bool = False


THROTTLED = Rule("throttled")
RETRY = Rule("retry", retries=6)
BUSY = Rule("retry", retries=8)
"""The service has no capacity (503): not our quota, and it may take minutes."""
NOT_READY = Rule("retry", retries=8, base_s=5.0)
TIMEOUT = Rule("retry", retries=1, then="too_long")
"""The model itself gave up (408): once may be chance, twice is too much text."""
UNKNOWN = Rule("unknown", retries=2)
TOO_LONG = Rule("too_long")
BAD_REQUEST = Rule("fail", kind="bad_request", retryable=False)
FILTERED = Rule("fail", kind="filtered", retryable=False)
SERVICE_QUOTA = Rule("fail", kind="service_quota")
NO_ACCESS = Rule(
    "stop", way_out="allow bedrock:InvokeModel on it, and see that the account may use the model"
)
CREDENTIALS = Rule("stop", way_out="look at the credentials: profile, keys, and the clock")
EXPIRED = replace(
    CREDENTIALS,
    do="retry",
    retries=1,  # boto3 may have fetched new ones meanwhile
    then="stop",
    way_out="the credentials have expired; log in again, then run again",
)
NO_LOGIN = replace(EXPIRED, way_out="log in again, or set AWS_PROFILE; then run again")
SETTINGS = Rule("stop", way_out="look at the options profile, region and endpoint_url")
API_KEY = Rule("stop", way_out="look at the key in the environment variable OPENAI_API_KEY")
NO_MODEL = Rule("stop", way_out="look at the model's id, the region and the endpoint")
NO_FUNDS = Rule("stop", way_out="the account's credit is used up; add some, then run again")

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
    # botocore's own, by class: nothing was sent
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
    # OpenAI; `server_error` and `invalid_request_error` are judged by their status
    "rate_limit_exceeded": THROTTLED,
    "insufficient_quota": NO_FUNDS,
    "billing_hard_limit_reached": NO_FUNDS,
    "context_length_exceeded": TOO_LONG,
    "string_above_max_length": TOO_LONG,
    "content_filter": FILTERED,
    "content_policy_violation": FILTERED,
    "invalid_api_key": API_KEY,
    "model_not_found": NO_MODEL,
    "model_not_allowed": replace(NO_MODEL, way_out="the API key may not use this model"),
    # The clients' own
    "ReadTimeout": UNKNOWN,
    "BadResponse": UNKNOWN,
    "ConnectTimeout": BUSY,
    "ConnectionError": BUSY,
}

_STATUS: Mapping[int, Rule] = {
    0: BUSY,
    401: API_KEY,
    402: NO_FUNDS,
    403: replace(API_KEY, way_out="the credentials may not use this model"),
    404: NO_MODEL,
    408: TIMEOUT,
    409: RETRY,
    413: TOO_LONG,
    424: RETRY,
    429: THROTTLED,
    503: BUSY,
    529: BUSY,  # "overloaded", not in any RFC
}

# Only of a request that was found invalid: "Too many tokens, please wait" is a throttle.
_TOO_LONG = re.compile(
    r"too long|too many input tokens|context (length|window|size)|maximum context"
    r"|maxLength|input tokens exceed",
    re.IGNORECASE,
)
_WRONG_MODEL = re.compile(
    r"model identifier is invalid|on-demand throughput isn.t supported"
    r"|operation not allowed|model.{0,40} (does not exist|not found)",
    re.IGNORECASE,
)
_DAILY = re.compile(r"(tokens|requests) per day|\b[TR]PD\b", re.IGNORECASE)
_MODELS_OWN = 424


def rule_for(error: ModelError) -> Rule:
    """Return what to do after an error."""
    rule = CODES.get(error.code) or _by_status(error.status)
    if error.maybe_paid and rule.do == "retry":
        return UNKNOWN
    if rule.do == "throttled":
        return replace(rule, daily=bool(_DAILY.search(error.message)))
    if error.status == _MODELS_OWN and rule is RETRY and 400 <= error.original_status < 500:
        rule = _by_status(error.original_status)
        # What the model says of itself is about this request, never about our credentials.
        rule = BAD_REQUEST if rule.do == "stop" else _as_retry(rule)
    if rule is BAD_REQUEST and _TOO_LONG.search(error.message):
        return TOO_LONG
    if rule is BAD_REQUEST and _WRONG_MODEL.search(error.message):
        return NO_MODEL
    return rule


def _as_retry(rule: Rule) -> Rule:
    """The model's own throttle, inside the service, says nothing of our quota."""
    return BUSY if rule.do == "throttled" else rule


def _by_status(status: int) -> Rule:
    if status in _STATUS:
        return _STATUS[status]
    return BAD_REQUEST if 400 <= status < 500 else RETRY
