"""How S3 is reached; used by the store of books and by the state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class S3Connection:
    """Settings of an S3 client; boto3's own chain finds the credentials.

    Args:
        profile: A profile of the AWS configuration; None = boto3's default.
        region: The region; None = the profile's.
        endpoint_url: Another server that speaks S3; None = Amazon's.
        anonymous: Send unsigned requests (public buckets, the embedded server).
    """

    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    anonymous: bool = False

    def client(self, *, attempts: int = 5, timeout: float = 60.0) -> Any:
        """Return the boto3 client of these settings: one a process, safe for threads.

        Args:
            attempts: Most tries of one request inside boto3; 1 where the caller must know
                whether a conditional put was sent twice.
            timeout: Seconds without a byte after which a request is given up.
        """
        return _client(self, attempts, timeout)


@lru_cache(maxsize=8)
def _client(connection: S3Connection, attempts: int, timeout: float) -> Any:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    unsigned = {"signature_version": UNSIGNED} if connection.anonymous else {}
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=10,
        read_timeout=timeout,
        max_pool_connections=32,
        # Servers that only speak S3 stumble over the checksums boto3 adds since 1.36.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **unsigned,
    )
    region = connection.region or ("us-east-1" if connection.anonymous else None)
    import botocore.session

    # An anonymous client must not stumble over a person's broken AWS_PROFILE.
    unread = {name: (None, None, None, None) for name in ("profile", "config_file")}
    core = botocore.session.Session(session_vars=unread if connection.anonymous else None)
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=timestamp)
    profile = None if connection.anonymous else connection.profile
    session = boto3.Session(botocore_session=core, profile_name=profile, region_name=region)
    return session.client("s3", endpoint_url=connection.endpoint_url, config=config)


def timestamp(value: Any) -> datetime:
    """Return what S3 writes as a time, aware of its zone.

    botocore guesses the format of each; in a listing, that is half of all the work. S3's own
    form, like 2026-11-07T08:05:11.000Z, needs no guess; whatever else comes is left to botocore.
    """
    if isinstance(value, str) and value[10:11] == "T" and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    from botocore.utils import parse_timestamp

    parsed: datetime = parse_timestamp(value)
    return parsed


_WAYS_OUT = {
    "NoSuchBucket": "there is no such bucket; check the name and the account",
    "AccessDenied": "these credentials may not list it (403); they need s3:ListBucket",
    "InvalidAccessKeyId": "S3 does not know this access key; log in again",
    "SignatureDoesNotMatch": "the secret key is wrong; log in again",
    "ExpiredToken": "the session has expired; log in again",
    "PermanentRedirect": "the bucket is in another region; set storage.region",
    "NoCredentialsError": "no AWS credentials found; run `aws configure`, set AWS_PROFILE, or give "
    "storage.profile",
    "ProfileNotFound": "there is no such profile in the AWS configuration",
    "EndpointConnectionError": "no server answers there; check the endpoint_url and the network",
    "ConnectTimeoutError": "no server answers there; check the endpoint_url and the network",
    "InvalidBucketName": "that is not a bucket name",
    "ParamValidationError": "that is not a bucket name",
    "NoRegionError": "no region is set; give storage.region",
}


def explain(error: Exception, what: str, connection: S3Connection) -> str:
    """Return one line: what was asked, where, what S3 said and the way out."""
    response = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code") or type(error).__name__
    if code in ("403", "AllAccessDisabled"):
        code = "AccessDenied"
    where = f" at {connection.endpoint_url}" if connection.endpoint_url else ""
    return f"{what}{where}: {_WAYS_OUT.get(code, str(error))}"
