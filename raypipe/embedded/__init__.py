"""Run an OpenSearch node and an S3 server on this machine, for the default configuration."""

from __future__ import annotations

from raypipe.core.errors import SetupError


class EmbeddedError(SetupError):
    """An embedded service is unavailable or does not start; the message says how to fix it."""
