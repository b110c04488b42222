"""A real S3 server on this machine (moto), with the sample books in it."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from raypipe.embedded import EmbeddedError, ports

log = logging.getLogger(__name__)

PREFERRED_PORT = 5000
SAMPLE_BUCKET = "sample-books"
SAMPLES = Path(__file__).parent / "samples"
REGION = "us-east-1"


def _moto_version() -> str:
    try:
        return version("moto")
    except PackageNotFoundError as error:
        raise EmbeddedError(
            "The embedded S3 needs a few more packages: `pip install raypipe[embedded]`, or take "
            "books from a folder (storage=local) or from a bucket of yours (storage=s3)."
        ) from error


@dataclass(frozen=True)
class S3Server:
    """The S3 server of a data folder; what is in it lives in memory, as long as it runs."""

    data: Path
    name: str = "s3"
    startup_s: float = 60.0

    @property
    def version(self) -> str:
        """Moto's version."""
        return _moto_version()

    @property
    def _ports_file(self) -> Path:
        return self.data / "logs" / "s3.ports"

    def command(self) -> list[str]:
        """The server's command line."""
        self._ports_file.parent.mkdir(parents=True, exist_ok=True)
        self._ports_file.unlink(missing_ok=True)
        program = Path(__file__).with_name("s3_server.py")
        root = program.parents[2]
        # Importable from a bare checkout too, whatever the folder the command was typed in.
        code = f"import sys; sys.path.insert(0, {str(root)!r}); " + (
            "from raypipe.embedded.s3_server import main; main()"
        )
        return [sys.executable, "-c", code, str(self._ports_file), str(PREFERRED_PORT)]

    def url(self) -> str | None:
        """Where it listens, once it does."""
        try:
            address = self._ports_file.read_text().strip()
        except OSError:
            return None
        return f"http://{address}"

    def ready(self, url: str) -> bool:
        """Whether it answers."""
        answer = ports.get(url, "/", timeout=20.0)
        return answer is not None and answer[0] < 500

    def explain(self, log_text: str) -> str | None:
        """What a known failure means for a person."""
        return None


def client(url: str) -> Any:
    """A boto3 client for the embedded server that reads nothing of the user's AWS settings.

    A profile named in AWS_PROFILE that isn't there would stop boto3 even with credentials
    given, and a proxy named in HTTP_PROXY would be asked for 127.0.0.1.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    unread = {name: (None, None, None, None) for name in ("profile", "config_file")}
    session = botocore.session.Session(session_vars=unread)
    return boto3.Session(botocore_session=session).client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",  # noqa: S106 - any will do, but one must be there
        config=Config(
            proxies={}, s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}
        ),
    )


def sample_books(folder: Path = SAMPLES) -> dict[str, Path]:
    """The books in a folder: key to file. Sub-folders make prefixes; README files are none."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("README", ".", "__"))
    }


def put_samples(url: str, bucket: str = SAMPLE_BUCKET, folder: Path = SAMPLES) -> int:
    """Put the sample books into a bucket, byte by byte as they are; only those missing there.

    Returns:
        How many were put.
    """
    s3 = client(url)
    # In us-east-1, S3 answers 200 when the bucket is yours already.
    s3.create_bucket(Bucket=bucket)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    present = {item["Key"] for page in pages for item in page.get("Contents", [])}
    missing = {key: path for key, path in sample_books(folder).items() if key not in present}
    for key, path in missing.items():
        # Readable unsigned, like any public bucket: nobody needs credentials for the samples.
        s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ACL="public-read")
    log.debug("%d sample books put into %s", len(missing), bucket)
    return len(missing)
