"""Connect to S3; shared by the source of books and by the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from raypipe.core.aws import create_client, create_session
from raypipe.core.per_process import cached_per_process
from raypipe.core.redact import refuse_url_secret
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
    return client


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
    if isinstance(value, str) and value[10:11] == "T" and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    from botocore import utils

    parsed: datetime = utils.parse_timestamp(value)
    return parsed


_FIXES = {
    "NoSuchBucket": "the bucket does not exist; check its name and the account",
    "AccessDenied": "these credentials may not list the bucket (403); grant s3:ListBucket",
    "InvalidAccessKeyId": "S3 does not know the access key; log in again",
    "SignatureDoesNotMatch": "the secret key is wrong; log in again",
    "ExpiredToken": "the session has expired; log in again",
    "PermanentRedirect": "the bucket is in another region; set storage.region",
    "NoCredentialsError": "no AWS credentials found; run `aws configure`, set AWS_PROFILE, or set "
    "storage.profile",
    "ProfileNotFound": "the profile is not in the AWS configuration; check storage.profile and "
    "AWS_PROFILE",
    "EndpointConnectionError": "no server answers; check the endpoint_url and the network",
    "ConnectTimeoutError": "no server answers; check the endpoint_url and the network",
    "InvalidBucketName": "this is not a valid bucket name",
    "ParamValidationError": "this is not a valid bucket name",
    "NoRegionError": "no region is set; set storage.region",
}


def explain(error: Exception, target: str, connection: S3Connection) -> str:
    """Return a one-line message for a failed request: target, endpoint, cause and fix.

    Args:
        error: Exception of boto3.
        target: What was accessed, e.g. `storage.bucket=books`.
        connection: Settings of the client.
    """
    response = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code") or type(error).__name__
    if code in ("403", "AllAccessDisabled"):
        code = "AccessDenied"
    where = f" at {connection.endpoint_url}" if connection.endpoint_url else ""
    return f"{target}{where}: {_FIXES.get(code, str(error))}"
