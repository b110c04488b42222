"""The real parts that make the defaults run on one machine: an S3 server and an OpenSearch node."""

from __future__ import annotations

from raypipe.core.errors import SetupError


class EmbeddedError(SetupError):
    """An embedded part can't be had or doesn't start; the message says what to do next."""
