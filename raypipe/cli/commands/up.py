"""Start the embedded OpenSearch and S3 and leave them running."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.core.printable import escape_line
from raypipe.embedded.services import Services


def main(cfg: DictConfig) -> int:
    """Start the services that do not run yet, and print their addresses."""
    data = read_options(cfg).embedded.data
    opensearch, s3 = carry_out(cfg)
    print(f"OpenSearch  {opensearch}  (k-NN; data in {escape_line(data)})")
    print(f"S3          {s3}  (bucket sample-books)")
    print("Only your user can connect. The addresses are new at every start; the data folder has")
    print("them in opensearch.json and s3.json.")
    print()
    print(f"  curl '{opensearch}/_cluster/health?pretty'")
    print(f"  curl '{opensearch}/book-summaries/_count?pretty'")
    print()
    print("To stop them: raypipe down")
    return OK


def carry_out(cfg: DictConfig) -> tuple[str, str]:
    """Start the services that do not run yet; return the URLs of OpenSearch and S3."""
    with Services(Path(read_options(cfg).embedded.data)) as services:
        return services.start_and_keep()
