"""Turn texts into vectors."""

from raypipe.embedders.protocol import Embedder, InputType

__all__ = ["Embedder", "InputType"]
