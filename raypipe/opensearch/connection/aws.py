"""Connect to Amazon OpenSearch Service with signed requests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from raypipe.core.aws import create_session
from raypipe.core.aws_clock import CLOCK_HINT, is_clock_wrong
from raypipe.core.errors import SetupError
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.connection.errors import reason_of

SERVICES = ("es", "aoss")
"""Service names in the signature: Amazon OpenSearch Service, Serverless."""
_HOST = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.(es|aoss)\.amazonaws\.com(?:\.cn)?$")
"""Hosts that AWS gives to domains and collections: `<id>.<region>.<service>.amazonaws.com`."""
_WRONG_SERVICE = {
    "es": "is a domain: use opensearch=aws_managed",
    "aoss": "is a Serverless collection: use opensearch=aws_serverless",
}
_POLICY = {"es": "domain's access policy", "aoss": "collection's data access policy"}


@dataclass(frozen=True)
class AwsConnection(Connection):
    """A connection that signs its requests (Signature Version 4) with boto3's credentials.

    Credentials that renew themselves (roles, SSO) do so during a run.

    Args:
        service: `es` for a domain, `aoss` for a Serverless collection.
        region: AWS region; None to take it from the host name, else from the profile.
        profile: Name of an AWS profile; None for boto3's default chain.

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
        if parts.scheme != "https" and not self.is_loopback:
            raise ValueError(f"endpoint={self.endpoint}: AWS accepts https:// only")
        host = _HOST.search(parts.hostname or "")
        if host and host[2] != self.service:
            raise ValueError(f"endpoint={self.endpoint} {_WRONG_SERVICE[host[2]]}")

    @property
    def is_serverless(self) -> bool:
        """Whether the server is a Serverless collection, without client ids and refresh."""
        return self.service == "aoss"

    def http_auth(self) -> Any:
        """Return the signer of requests.

        Raises:
            SetupError: There are no AWS credentials, or the region is unknown.
        """
        from botocore.exceptions import BotoCoreError
        from opensearchpy import Urllib3AWSV4SignerAuth

        try:
            session = create_session(self.profile)
            credentials = session.get_credentials()
        except BotoCoreError as error:
            raise SetupError(f"opensearch.connection: {error}") from None
        if credentials is None:
            raise SetupError(
                "opensearch.connection: no AWS credentials found; run `aws configure`, or set "
                "AWS_PROFILE or opensearch.connection.profile"
            )
        host = _HOST.search(urlsplit(self.endpoint).hostname or "")
        region = self.region or (host[1] if host else session.region_name)
        if not region:
            raise SetupError(
                f"the region of {self.endpoint} is unknown; set opensearch.connection.region"
            )
        return Urllib3AWSV4SignerAuth(credentials, region, self.service)

    def _explain_refusal(self, status: int, error: Exception) -> str:
        reason = reason_of(error)
        clock = CLOCK_HINT if is_clock_wrong(reason) else ""
        return (
            f"AWS refused the request ({status}): {reason}; {clock}check "
            "opensearch.connection.profile and region, that the credentials are still valid, and "
            f"that the {_POLICY[self.service]} grants them access"
        )
