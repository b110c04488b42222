"""Connect to S3; shared by the source of books and by the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from raypipe.core.aws import create_client, create_session
from raypipe.core.aws_clock import CLOCK_HINT, is_clock_wrong
from raypipe.core.per_process import cached_per_process
from raypipe.core.redact import refuse_url_secret
from raypipe.core.s3_listing import read_page
from raypipe.core.s3_responses import S3ResponseError, check_response


@dataclass(frozen=True)
class S3Connection:
    """Settings of an S3 client. boto3's default chain finds the credentials.

    Args:
        profile: Profile of the AWS configuration; None for boto3's default.
        region: AWS region; None for the region of the profile.
        endpoint_url: URL of another server with the S3 API; None for Amazon S3.
        anonymous: Send unsigned requests, for public buckets and the embedded server.

    Raises:
        ValueError: The endpoint has a user name or password.
    """

    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    anonymous: bool = False

    def __post_init__(self) -> None:
        """Check the endpoint."""
        refuse_url_secret(
            "endpoint_url",
            self.endpoint_url,
            "set a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
        )

    def client(self, *, attempts: int = 5, timeout: float = 60.0) -> Any:
        """Return the boto3 client of these settings, shared by the threads of this process.

        Args:
            attempts: Maximum number of attempts of a request inside boto3. Pass 1 if the caller
                must know whether a conditional put was sent twice.
            timeout: Seconds without a received byte after which a request fails.
        """
        return _create_client(self, attempts, timeout)


@cached_per_process(max_size=8)
def _create_client(connection: S3Connection, attempts: int, timeout: float) -> Any:
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config

    unsigned = {"signature_version": UNSIGNED} if connection.anonymous else {}
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=10,
        read_timeout=timeout,
        max_pool_connections=32,
        # Some servers with the S3 API reject the checksums that boto3 adds since 1.36.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **unsigned,
    )
    region = connection.region or ("us-east-1" if connection.anonymous else None)
    # An anonymous client needs no profile: a broken AWS_PROFILE must not make it fail.
    unread = {name: (None, None, None, None) for name in ("profile", "config_file")}
    core = botocore.session.Session(session_vars=unread if connection.anonymous else None)
    parsers = core.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=parse_timestamp)
    parsers.create_parser = partial(_create_parser, parsers.create_parser)
    profile = None if connection.anonymous else connection.profile
    session = create_session(profile, region, core)
    client = create_client(session, "s3", connection.endpoint_url, config)
    client.meta.events.register_last("before-parse.s3", _check_response)
    # botocore calls the handlers of this pattern before its own, which parses the page, too.
    client.meta.events.register_first("before-parse.*.ListObjectsV2", _read_page)
    return client


def _read_page(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    read_page(response_dict, customized_response_dict, parse_timestamp)


def _check_response(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    check_response(operation_model, response_dict)


def _create_parser(create: Callable[[str], Any], protocol: str) -> Any:
    """Return a parser that raises `S3ResponseError` for a response that cannot be parsed."""
    parser = create(protocol)
    parse = parser.parse

    def parse_or_refuse(response: Any, shape: Any) -> Any:
        try:
            return parse(response, shape)
        except Exception as error:  # the parsers raise anything for a number that is none
            name = type(error).__name__
            raise S3ResponseError(f"the response of the server is unreadable ({name})") from None

    parser.parse = parse_or_refuse
    return parser


def parse_timestamp(value: Any) -> datetime:
    """Return a timestamp of S3 with its time zone.

    botocore guesses the format of every value, which takes half of the time of a listing. The
    format of S3, e.g. 2026-11-07T08:05:11.000Z, is parsed directly; botocore parses the others.
    """
    if isinstance(value, str) and value[10:11] == "T" and value[-1] == "Z":
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    from botocore import utils

    parsed: datetime = utils.parse_timestamp(value)
    return parsed


_LOG_IN = "log in again (`aws sso login`, `aws configure`), or set AWS_PROFILE or storage.profile"
_NO_SERVER = "no server answers; check the endpoint_url and the network"
_OTHER_REGION = "the bucket is in another region; set storage.region"
_KMS = (
    "these credentials may not use the KMS key of the bucket (403); grant kms:Decrypt on it, and "
    "kms:GenerateDataKey to write"
)
_FIXES = {
    "NoSuchBucket": "the bucket does not exist; check its name and the account",
    "InvalidAccessKeyId": f"S3 does not know the access key; {_LOG_IN}",
    "InvalidToken": f"S3 does not accept the session token; {_LOG_IN}",
    "SignatureDoesNotMatch": f"the secret key is wrong, or a proxy changes requests; {_LOG_IN}",
    "ExpiredToken": f"the session has expired; {_LOG_IN}",
    "TokenRefreshRequired": f"the session has expired; {_LOG_IN}",
    "UnauthorizedSSOTokenError": f"the session has expired; {_LOG_IN}",
    "SSOTokenLoadError": f"the session has expired; {_LOG_IN}",
    "TokenRetrievalError": f"the session has expired; {_LOG_IN}",
    "RequestTimeTooSkewed": CLOCK_HINT.rstrip("; "),
    "RequestExpired": CLOCK_HINT.rstrip("; "),
    "PermanentRedirect": _OTHER_REGION,
    "AuthorizationHeaderMalformed": _OTHER_REGION,
    "IllegalLocationConstraintException": _OTHER_REGION,
    "NoCredentialsError": "no AWS credentials found; run `aws configure`, set AWS_PROFILE, or set "
    "storage.profile",
    "ProfileNotFound": "the profile is not in the AWS configuration; check storage.profile and "
    "AWS_PROFILE",
    "EndpointConnectionError": _NO_SERVER,
    "ConnectTimeoutError": _NO_SERVER,
    "InvalidBucketName": "this is not a valid bucket name",
    "ParamValidationError": "this is not a valid bucket name",
    "NoRegionError": "no region is set; set storage.region",
    "AccountProblem": "AWS has a problem with the account; look at its billing page",
    "NotSignedUp": "the account is not signed up for S3; look at its billing page",
    "AllAccessDisabled": "all access to the bucket is turned off; ask its owner",
}


def explain(
    error: Exception, target: str, connection: S3Connection, needs: str = "s3:ListBucket"
) -> str:
    """Return a one-line message for a failed request: target, endpoint, cause and fix.

    Args:
        error: Exception of boto3.
        target: What was accessed, e.g. `storage.bucket=books`.
        connection: Settings of the client.
        needs: The permissions that the request needs.
    """
    response = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code") or type(error).__name__)
    message = str(response.get("Error", {}).get("Message") or "")
    where = f" at {connection.endpoint_url}" if connection.endpoint_url else ""
    said = " ".join(message.split())
    quoted = f" (S3: {said})" if said and said not in ("Access Denied", code) else ""
    return f"{target}{where}: {_explain_code(code, message, needs, str(error))}{quoted}"


def _explain_code(code: str, message: str, needs: str, unknown: str) -> str:
    if is_denied(code):
        return explain_denied(message, needs)
    if code.startswith("KMS."):
        return f"the KMS key of the bucket cannot be used ({code}); enable it, or ask its owner"
    return _FIXES.get(code, unknown.splitlines()[0] if unknown else code)


def is_denied(code: str) -> bool:
    """Return whether an error code of S3 means that a permission is missing."""
    return code in ("AccessDenied", "403", "Forbidden")


def explain_denied(message: str, needs: str) -> str:
    """Return cause and fix of a request that S3 denied.

    Args:
        message: The message of S3.
        needs: The permissions that the request needs.
    """
    if is_clock_wrong(message):
        return CLOCK_HINT.rstrip("; ")
    if "kms:" in message or "KMS" in message:
        return _KMS
    if "explicit deny" in message:
        return f"a policy denies this explicitly (403); let its owner allow {needs}"
    return (
        f"permission denied (403); grant {needs} to these credentials. Buckets whose requester "
        "pays are not supported"
    )
