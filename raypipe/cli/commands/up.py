"""Start the embedded OpenSearch and S3 and leave them running."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from raypipe.config import build as config
from raypipe.embedded.services import Services


def main(cfg: DictConfig) -> int:
    """Start what does not run yet and say where it is."""
    data = config.options(cfg).embedded.data
    with Services(Path(data)) as services:
        opensearch, s3 = services.start_and_keep()
    print(f"OpenSearch  {opensearch}  (k-NN; data in {data})")
    print(f"S3          {s3}  (bucket sample-books)")
    print()
    print(f"  curl '{opensearch}/_cluster/health?pretty'")
    print(f"  curl '{opensearch}/book-summaries/_count?pretty'")
    print()
    print("They stay until: raypipe down")
    return 0
