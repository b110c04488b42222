"""Embedding models that run here, on the CPU or a GPU: the package sentence-transformers."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raypipe.core.errors import SetupError
from raypipe.embedders.protocol import InputType
from raypipe.models.context import CallsNoModel

_TELLING_BYTES = 2**20


@dataclass(frozen=True)
class SentenceTransformersEmbedder(CallsNoModel):
    """Embeds with a model of sentence-transformers, in this process.

    An instance holds settings only; the model is loaded once a process. Batches are made by the
    library, texts longer than the model's window are cut by it.

    Args:
        model: A folder with the model, or its name on Hugging Face.
        dimension: Length of its vectors.
        shorten: Whether they may be cut to `dimension`: for models trained so (Matryoshka).
        device: Where it computes: cpu, cuda, cuda:1, mps. With cuda, give
            `stages.embed.num_gpus`, so that Ray deals the GPUs out.
        batch: Texts computed at once.
        download: Whether a model that is not on this machine may be fetched.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        ValueError: A setting is out of its range.
    """

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    dimension: int = 384
    shorten: bool = False
    device: str = "cpu"
    batch: int = 32
    download: bool = False
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self.model:
            raise ValueError("model must be a folder or a model's name")
        for name in ("dimension", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")

    @property
    def name(self) -> str:
        """Name the embedder in documents and messages."""
        return f"sentence-transformers/{self.model.rstrip('/').rpartition('/')[2]}"

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its vectors; a folder is known by what is in it, not by its path."""
        folder = Path(self.model)
        model = _fingerprint(folder) if folder.is_dir() else self.model
        return {"model": model, "dimension": self.dimension, "normalize": "l2"}

    def check(self) -> None:
        """Load the model and compare its dimension.

        Raises:
            SetupError: The package or the model is not there, or makes other vectors.
        """
        self._loaded()

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return one L2-normalized vector a text, shape (len(texts), dimension).

        A text whose vector is zero gets the same unit vector each time: cosine k-NN refuses
        zero vectors.

        Args:
            texts: Texts of any length; what the model does not read is cut off.
            input_type: Chooses the model's prompt for queries or documents, where it has them.

        Raises:
            SetupError: The package or the model is not there.
        """
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        model = self._loaded()
        encode = model.encode_query if input_type == "query" else model.encode_document
        made = encode(
            list(texts),
            batch_size=self.batch,
            convert_to_numpy=True,
            show_progress_bar=False,
            truncate_dim=self.dimension,
        )
        vectors = np.array(made, dtype=np.float32)  # a copy: it is changed
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[norms[:, 0] == 0] = 1.0
        norms[norms == 0] = np.sqrt(self.dimension)
        vectors /= norms
        return vectors

    def _loaded(self) -> Any:
        with _lock:  # two threads at once would load two
            model = _model(self.model, self.device, self.download, self.trust_remote_code)
        whole = model.get_embedding_dimension() or self.dimension  # None = it does not know
        if self.dimension > whole or (self.dimension < whole and not self.shorten):
            hint = "" if self.dimension > whole else ", or embedder.shorten=true if it may be cut"
            raise SetupError(
                f"embedder=sentence_transformers: {self.model} makes vectors of {whole} numbers, "
                f"not {self.dimension}; give embedder.dimension={whole}{hint}"
            )
        return model


_lock = threading.Lock()


def _fingerprint(folder: Path) -> str:
    """Return a name of a model's files: their names and sizes, and how each begins and ends."""
    seen = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        size = path.stat().st_size
        seen.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            seen.update(file.read(_TELLING_BYTES))
            file.seek(max(0, size - _TELLING_BYTES))
            seen.update(file.read())
    return f"sha256:{seen.hexdigest()}"


@lru_cache(maxsize=2)
def _model(model: str, device: str, download: bool, trusted: bool) -> Any:
    if importlib.util.find_spec("sentence_transformers") is None:
        raise SetupError(
            "embedder=sentence_transformers needs the package: "
            "pip install 'raypipe[sentence-transformers]'"
        )
    if not download:  # read when the hub's client is imported
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(
            model,
            device=device,
            local_files_only=not download,
            trust_remote_code=trusted,
        )
    except (OSError, ValueError, RuntimeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        there = Path(model).is_dir()
        hint = "" if there or download else "; give a folder, or embedder.download=true"
        raise SetupError(
            f"embedder=sentence_transformers: {model} cannot be loaded: {first}{hint}"
        ) from error
