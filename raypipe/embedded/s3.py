"""Run a real S3 server (moto) on this machine and connect to it."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from raypipe.embedded import EmbeddedError, guardian, ports

REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """The S3 server of a data folder; an `EmbeddedService`. Its objects are in memory only.

    Args:
        data: Data folder of the embedded services.
        name: Name of the service.
        startup_timeout_s: Seconds until the server must answer.
    """

    data: Path
    name: str = "s3"
    startup_timeout_s: float = 60.0

    @property
    def version(self) -> str:
        """Version of moto.

        Raises:
            EmbeddedError: Moto is not installed.
        """
        try:
            if importlib.util.find_spec("moto") is None:
                raise PackageNotFoundError("moto")
            return version("moto")
        except PackageNotFoundError as error:
            raise EmbeddedError(
                "the embedded S3 needs moto, which is not installed. "
                "Run `pip install raypipe[embedded]`, or read books from a folder (storage=local) "
                "or from an S3 bucket (storage=s3)."
            ) from error

    @property
    def _ports_file(self) -> Path:
        return self.data / "logs" / "s3.ports"

    def prepare_command(self) -> list[str]:
        """Delete the previous address; return the server's command line."""
        guardian.make_private(self._ports_file.parent)
        self._ports_file.unlink(missing_ok=True)
        root = Path(__file__).parents[2]
        # Makes raypipe importable from a checkout that is not installed, in any working directory.
        # The guardian's umask hides new files from others, who may share the compiled modules.
        code = f"import os, sys; os.umask(0o022); sys.path.insert(0, {str(root)!r}); " + (
            "from raypipe.embedded.s3_server import main; main()"
        )
        return [sys.executable, "-c", code, str(self._ports_file)]

    def find_url(self) -> str | None:
        """Return the server's URL; None until it listens."""
        try:
            address = self._ports_file.read_text().strip()
        except OSError:
            return None
        return f"http://{address}"

    def is_ready(self, url: str) -> bool:
        """Whether the server answers without a server error."""
        response = ports.http_get(url, "/", timeout_s=20.0)
        return response is not None and response[0] < 500

    def explain_failure(self, log_text: str) -> str | None:
        """Return None: no failure of the server is known in advance."""
        return None


def create_client(url: str) -> Any:
    """Return a boto3 client for the embedded server that ignores the user's AWS settings.

    A missing profile in AWS_PROFILE would stop boto3 even with explicit credentials, and a proxy
    in HTTP_PROXY would receive requests for a loopback address.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    ignored = {name: (None, None, None, None) for name in ("profile", "config_file")}
    session = botocore.session.Session(session_vars=ignored)
    return boto3.Session(botocore_session=session).client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",  # noqa: S106 - the server accepts any credentials
        config=Config(
            proxies={}, s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}
        ),
    )
