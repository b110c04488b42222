"""States of a run with a value for each metric."""

from __future__ import annotations

from dataclasses import replace

from raypipe.coordination.counts import ModelUsage, Progress
from raypipe.coordination.forecast import Outlook
from raypipe.coordination.process_meter import ResourceUsage
from raypipe.coordination.progress import Snapshot

MODEL = ModelUsage("nova", "default", 20, 3, 5_000, 400, 0.25)

FULL = Snapshot(
    Progress(
        done=8,
        failed=2,
        models=(MODEL, replace(MODEL, service_tier="flex", calls=5)),
        stage_seconds=(("text", 1.5), ("write", 0.5)),
        stage_books=(("text", 10, 1_000),),
        failures=(("binary", 2),),
        stop_reason="7 of the last 10 books failed",
        bulk_requests=2,
        bulk_documents=9,
        bulk_retries=1,
        throttled=4,
        model_retries=6,
        in_flight=3,
        tokens_per_minute=60_000.0,
        budget_usd=10.0,
        budget_spent=2.5,
    ),
    30,
    Outlook(eta_s=60.0, tokens_per_minute=30_000.0),
    ResourceUsage(1_000_000, 1.5),
)
