"""Reach the AWS services to which a run reports: short timeouts, and errors in a few words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from raypipe.core.aws import create_client, create_session
from raypipe.core.errors import SetupError
from raypipe.core.redact import redact_urls

CONNECT_S = 3
READ_S = 5
"""Seconds; a run waits no longer for its reports (`raypipe.coordination.watchers.END_WAIT_S`)."""
_TRIES = 2
_MAX_CHARS = 300
_NO_CREDENTIALS = (
    "there are no credentials; set a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
_WAYS_OUT = {
    "NoCredentialsError": _NO_CREDENTIALS,
    "PartialCredentialsError": _NO_CREDENTIALS,
    "NoRegionError": "no region is set; set AWS_REGION or the option region",
    "EndpointConnectionError": "the server cannot be reached",
    "ConnectTimeoutError": f"the server cannot be reached within {CONNECT_S} s",
    "ReadTimeoutError": f"no answer within {READ_S} s",
}


@dataclass(frozen=True)
class ReportService:
    """A service of AWS to which a run reports. boto3's default chain finds the credentials.

    Args:
        option: Option that needs the service, for messages.
        service: Name of the service in boto3.
        permission: Permission that the calls need.
        region: AWS region; None for AWS_REGION or the profile's region.
        profile: Profile of the AWS configuration; None for boto3's default.
        endpoint_url: URL of another server with the service's API; None for boto3's own settings.
    """

    option: str
    service: str
    permission: str
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None

    def client(self) -> Any:
        """Return a new client.

        Raises:
            botocore.exceptions.BotoCoreError: The profile does not exist, or no region is set.
            SetupError: The proxy or the certificates of the environment cannot be used.
        """
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"mode": "standard", "total_max_attempts": _TRIES},
        )
        session = create_session(self.profile, self.region)
        if session.region_name is None and (region := os.environ.get("AWS_REGION")):
            session = create_session(self.profile, region)
        return create_client(session, self.service, self.endpoint_url, config)

    def check_setup(self) -> None:
        """Check region, profile and credentials; no request is made.

        Raises:
            SetupError: One of them is missing; the message says how to get it.
        """
        from botocore.exceptions import BotoCoreError, NoCredentialsError

        try:
            self.client()
            if create_session(self.profile).get_credentials() is None:
                raise NoCredentialsError
        except (BotoCoreError, ValueError) as error:  # ValueError: a wrong endpoint_url
            raise SetupError(f"{self.option}: {self.explain(error)}") from None

    def explain(self, error: Exception) -> str:
        """Return the reason of an error of boto3 in a few words."""
        response = getattr(error, "response", None)
        details = response.get("Error", {}) if isinstance(response, dict) else {}
        if code := str(details.get("Code", "")):
            hint = ""
            if "AccessDenied" in code or "Authorization" in code:
                hint = f"; these credentials need {self.permission}, see docs/iam.md"
            return redact_urls(f"{code}: {details.get('Message', '')}")[:_MAX_CHARS] + hint
        name = type(error).__name__
        return _WAYS_OUT.get(name) or redact_urls(f"{name}: {error}")[:_MAX_CHARS]
