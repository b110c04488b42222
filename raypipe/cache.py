"""Paid answers of models, kept as they arrive, so that nothing is paid for twice."""
