"""Write any Ray Dataset to OpenSearch, without the rest of raypipe.

    pip install "raypipe[sink]"
    OPENSEARCH_PASSWORD=... python examples/sink_only.py https://localhost:9200 admin

The second argument is a user name; leave it out for a server without passwords.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import ray

from raypipe.opensearch.datasink import BasicAuth, OpenSearchDatasink


def embed(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch with a text and a vector for each row: here is your model."""
    batch["text"] = np.array([f"the text of row {number}" for number in batch["id"]])
    batch["embedding"] = np.random.default_rng(0).random((len(batch["id"]), 64), np.float32)
    return batch


def main(endpoint: str, username: str | None = None) -> None:
    """Write 2,000 rows to the index `sink-example`."""
    # Workers of a local Ray inherit this process's environment, OPENSEARCH_PASSWORD included.
    ray.init(address="local", include_dashboard=False, ignore_reinit_error=True)
    sink = OpenSearchDatasink(
        endpoint,
        index="sink-example",
        id_column="id",  # repeatable: a second run replaces the same documents
        vector_column="embedding",  # a new index gets a knn_vector field for it
        auth=BasicAuth(username) if username else None,
        on_rejected="skip",
    )
    ray.data.range(2_000).map_batches(embed, batch_size=500).write_datasink(sink)
    print(f"Ray {ray.__version__}: {sink.result}")


if __name__ == "__main__":
    main(*sys.argv[1:])
