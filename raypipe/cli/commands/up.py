"""Start the embedded OpenSearch and S3 and leave them running."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.embedded.services import Services


def main(cfg: DictConfig) -> int:
    """Start the services that do not run yet, and print their addresses."""
    data = read_options(cfg).embedded.data
    with Services(Path(data)) as services:
        opensearch, s3 = services.start_and_keep()
    print(f"OpenSearch  {opensearch}  (k-NN; data in {data})")
    print(f"S3          {s3}  (bucket sample-books)")
    print()
    print(f"  curl '{opensearch}/_cluster/health?pretty'")
    print(f"  curl '{opensearch}/book-summaries/_count?pretty'")
    print()
    print("To stop them: raypipe down")
    return OK
