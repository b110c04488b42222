"""Locate the OpenSearch plugin that lets the embedded node serve its own user only."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).parent / "LoopbackGuardModulePlugin.java"
JAR = Path(__file__).parent / "loopback_guard.jar"
"""The compiled source; written by `python tools/build_guard.py`."""
PLUGIN_CLASS = "raypipe.LoopbackGuardModulePlugin"
"""The suffix marks a part of every embedded node, which messages do not list."""
