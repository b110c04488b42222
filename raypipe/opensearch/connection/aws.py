"""The way to Amazon OpenSearch Service: every request is signed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.error_policy import reason_of
from raypipe.opensearch.connection.client import Connection

SERVICES = ("es", "aoss")
"""Names in the signature: Amazon OpenSearch Service, Serverless."""
_HOST = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.(es|aoss)\.amazonaws\.com(?:\.cn)?$")
"""Hosts that AWS gives to domains and collections: `<id>.<region>.<service>.amazonaws.com`."""
_CHAIN = "opensearch.connection"
_OTHER = {
    "es": "is a domain: give opensearch=aws_managed",
    "aoss": "is a Serverless collection: give opensearch=aws_serverless",
}


@dataclass(frozen=True)
class AwsConnection(Connection):
    """A connection that signs what it sends (Signature Version 4), by boto3's credentials.

    Credentials that renew themselves (roles, SSO) do so while it runs.

    Args:
        service: `es` for a domain, `aoss` for a Serverless collection.
        region: None = as the host says, else the profile's.
        profile: Name of a profile; None = boto3's own chain.

    Raises:
        ValueError: A setting is out of its range.
    """

    service: str = "es"
    region: str | None = None
    profile: str | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        parts = urlsplit(self.endpoint)
        if self.service not in SERVICES:
            raise ValueError(f"connection.service={self.service}: choose one of es, aoss")
        if self.username or self.token:
            raise ValueError("a signed connection takes no user name and no token")
        if parts.scheme != "https" and not self.loopback:
            raise ValueError(f"endpoint={self.endpoint}: AWS takes https:// alone")
        named = _HOST.search(parts.hostname or "")
        if named and named[2] != self.service:
            raise ValueError(f"endpoint={self.endpoint} {_OTHER[named[2]]}")

    @property
    def serverless(self) -> bool:
        """Whether it leads to a collection that makes ids itself and has no refresh."""
        return self.service == "aoss"

    def _auth(self) -> Any:
        import boto3
        from botocore.exceptions import BotoCoreError
        from opensearchpy import Urllib3AWSV4SignerAuth

        try:
            session = boto3.Session(profile_name=self.profile)
            credentials = session.get_credentials()
        except BotoCoreError as error:
            raise SetupError(f"{_CHAIN}: {error}") from None
        if credentials is None:
            raise SetupError(
                f"{_CHAIN}: no AWS credentials found; run `aws configure`, or set AWS_PROFILE or "
                "opensearch.connection.profile"
            )
        named = _HOST.search(urlsplit(self.endpoint).hostname or "")
        region = self.region or (named[1] if named else session.region_name)
        if not region:
            raise SetupError(
                f"the region of {self.endpoint} is not known; give opensearch.connection.region"
            )
        return Urllib3AWSV4SignerAuth(credentials, region, self.service)

    def _refusal(self, status: int, error: Exception) -> str:
        said = reason_of(error)
        return (
            f"AWS refused the request ({status}): {said}; check opensearch.connection.profile and "
            f"region, that the credentials are valid now, and that the {_POLICY[self.service]} "
            "lets them in"
        )


_POLICY = {"es": "domain's access policy", "aoss": "collection's data access policy"}
