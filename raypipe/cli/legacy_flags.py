"""Explain the flags of the scripts that raypipe replaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LEGACY_FLAGS: Mapping[str, str] = {
    "--bucket": "storage=s3 storage.bucket=BUCKET",
    "--profile": "storage.profile=PROFILE",
    "--max-workers": "stages.summarize.workers=4",
    "--batch-size": "opensearch.max_docs=100",
    "--opensearch-endpoint": "opensearch=self_managed opensearch.endpoint=https://HOST:9200",
    "--index-name": "opensearch.index=book-summaries",
    "--no-checkpoint": "checkpoint=none",
    "--max-books": "limit=100",
    "--purge": "purge=true",
}
"""Each flag of the scripts, and the raypipe options that replace it."""


def explain_legacy_flags(args: Sequence[str]) -> str:
    """Return a line that names the new options for old flags in the arguments, or ''."""
    flags = [arg.partition("=")[0] for arg in args]
    replaced = [flag for flag in dict.fromkeys(flags) if flag in LEGACY_FLAGS]
    if not replaced:
        return ""
    replacements = ", ".join(f"{flag} is {LEGACY_FLAGS[flag]}" for flag in replaced)
    return f"options have no dashes here: {replacements}"
