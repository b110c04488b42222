"""Upload the sample books to the embedded S3 server."""

from __future__ import annotations

import logging
from pathlib import Path

from raypipe.embedded.s3 import create_client

log = logging.getLogger(__name__)

BUCKET = "sample-books"
FOLDER = Path(__file__).parent / "samples"


def find_sample_books(folder: Path = FOLDER) -> dict[str, Path]:
    """Return the books in a folder: key to file. Sub-folders become prefixes of the keys.

    README files, hidden files and files with a leading `__` are not books.
    """
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("README", ".", "__"))
    }


def upload_sample_books(url: str, bucket: str = BUCKET, folder: Path = FOLDER) -> int:
    """Upload the sample books that a bucket lacks, byte for byte.

    Args:
        url: URL of the embedded S3 server.
        bucket: Bucket to create and fill.
        folder: Folder with the books.

    Returns:
        The number of uploaded books.
    """
    s3 = create_client(url)
    # In us-east-1, S3 answers 200 if the caller already owns the bucket.
    s3.create_bucket(Bucket=bucket)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    present = {item["Key"] for page in pages for item in page.get("Contents", [])}
    missing = {key: path for key, path in find_sample_books(folder).items() if key not in present}
    for key, path in missing.items():
        # Public, so that unsigned requests can read the samples without credentials.
        s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ACL="public-read")
    log.debug("uploaded %d sample books to the bucket %s", len(missing), bucket)
    return len(missing)
