"""Random operations never lose, double or replace what people find."""

from __future__ import annotations

from tests.integration.random_operations import RandomOperations, run_sequences

SEQUENCES = 15


def test_random_operations_deviate_nowhere_from_a_plain_model(opensearch_url: str) -> None:
    before = RandomOperations.sequences
    run_sequences(opensearch_url, SEQUENCES)
    assert RandomOperations.sequences - before >= SEQUENCES
