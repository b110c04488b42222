"""What became of the flags of the scripts that raypipe replaces."""

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
"""Each old flag, and what is typed now."""


def explain_legacy_flags(args: Sequence[str]) -> str:
    """Return one line for a person who types old flags, or an empty string."""
    found = [name for name in (arg.partition("=")[0] for arg in args) if name in LEGACY_FLAGS]
    if not found:
        return ""
    now = ", ".join(f"{name} is {LEGACY_FLAGS[name]}" for name in dict.fromkeys(found))
    return f"options have no dashes here: {now}"
