"""A settings file with the options of a test's project, for calls without options."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.raypipe_command import Project


def write_settings(project: Project, **changes: Any) -> None:
    """Write `raypipe.yaml` into a project's folder: its books, its node, fast parts, no Ray."""
    options: dict[str, Any] = {
        "storage": "local",
        "storage.path": str(project.books),
        "summarizer": "lead",
        "embedder": "hash",
        "opensearch": "self_managed",
        "opensearch.endpoint": project.endpoint,
        "opensearch.index": project.index,
        "opensearch.replicas": 0,
        "state.uri": str(project.state),
        "executor": "local",
        "stages.summarize.workers": 1,
        **changes,
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in options.items()]
    (project.folder / "raypipe.yaml").write_text("\n".join(lines))
