"""Embed on this machine, on the CPU or a GPU, with the package sentence-transformers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raypipe.core.errors import SetupError
from raypipe.core.per_process import cached_per_process
from raypipe.core.setup_check import check_package
from raypipe.embedders.protocol import InputType
from raypipe.models.context import CallsNoModel

_FINGERPRINT_BYTES = 2**20
"""Bytes at the start and at the end of each file that identify a model."""

_NO_PACKAGE = (
    "embedder=sentence_transformers needs the package: pip install 'raypipe[sentence-transformers]'"
)


@dataclass(frozen=True)
class SentenceTransformersEmbedder(CallsNoModel):
    """Embed with a sentence-transformers model in this process.

    An instance holds settings only; the model is loaded once per process. The library splits the
    texts into batches and truncates texts that are longer than the model's window.

    Args:
        model: A folder with the model, or its name on Hugging Face.
        dimension: Length of the vectors.
        shorten: Whether the vectors may be truncated to `dimension`: for models that were trained
            for it (Matryoshka).
        device: Device to compute on: cpu, cuda, cuda:1 or mps. With cuda, set
            `stages.embed.num_gpus`, so that Ray assigns the GPUs.
        batch: Number of texts computed at once.
        download: Whether to download a model that is not on this machine.
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
        """Check the settings, and expand `~` in the name of a folder."""
        if not self.model:
            raise ValueError("model must be a folder or the name of a model")
        object.__setattr__(self, "model", os.path.expanduser(self.model))  # noqa: PTH111
        for name, value in (("dimension", self.dimension), ("batch", self.batch)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")

    @property
    def name(self) -> str:
        """Return the name for documents and messages."""
        return f"sentence-transformers/{self.model.rstrip('/').rpartition('/')[2]}"

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change the vectors.

        A folder is identified by its files, not by its path.

        Raises:
            SetupError: A file of the folder cannot be read.
        """
        try:
            is_folder = os.path.isdir(self.model)  # noqa: PTH112 # False for any other name
            model = _fingerprint(Path(self.model)) if is_folder else self.model
        except OSError as error:
            raise SetupError(
                f"embedder.model={self.model} cannot be read: {error.strerror} "
                f"({error.filename}); grant read permission"
            ) from None
        return {"model": model, "dimension": self.dimension, "normalize": "l2"}

    def check_setup(self) -> None:
        """Raise `SetupError` if the package is not installed."""
        check_package("sentence_transformers", _NO_PACKAGE)

    def check(self) -> None:
        """Load the model and compare its dimension.

        Raises:
            SetupError: The package or the model is missing, or its vectors have another length.
        """
        self._load()

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return one L2-normalized vector per text, shape (len(texts), dimension).

        A text whose vector is zero always gets the same unit vector, because cosine k-NN refuses
        zero vectors.

        Args:
            texts: Texts of any length; truncated to the model's window.
            input_type: Selects the model's prompt for queries or documents, if it has prompts.

        Raises:
            SetupError: The package or the model is missing.
        """
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        model = self._load()
        encode = model.encode_query if input_type == "query" else model.encode_document
        encoded = encode(
            list(texts),
            batch_size=self.batch,
            convert_to_numpy=True,
            show_progress_bar=False,
            truncate_dim=self.dimension,
        )
        vectors = np.array(encoded, dtype=np.float32)  # a copy, because it is changed below
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[norms[:, 0] == 0] = 1.0
        norms[norms == 0] = np.sqrt(self.dimension)
        vectors /= norms
        return vectors

    def _load(self) -> Any:
        """Return the model; check that it can produce vectors of `dimension`."""
        model = _load_model(self.model, self.device, self.download, self.trust_remote_code)
        full = model.get_embedding_dimension() or self.dimension  # None if it is unknown
        if self.dimension > full or (self.dimension < full and not self.shorten):
            hint = "" if self.dimension > full else ", or embedder.shorten=true to truncate them"
            raise SetupError(
                f"embedder=sentence_transformers: {self.model} returns vectors of length {full}, "
                f"not {self.dimension}; set embedder.dimension={full}{hint}"
            )
        return model


def _fingerprint(folder: Path) -> str:
    """Return a hash of a model's files: their names, their sizes, their first and last bytes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_FINGERPRINT_BYTES))
            file.seek(max(0, size - _FINGERPRINT_BYTES))
            digest.update(file.read())
    return f"sha256:{digest.hexdigest()}"


@cached_per_process(max_size=2)
def _load_model(model: str, device: str, download: bool, trust_remote_code: bool) -> Any:
    check_package("sentence_transformers", _NO_PACKAGE)
    if not download:  # the hub's client reads this when it is imported
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(
            model,
            device=device,
            local_files_only=not download,
            trust_remote_code=trust_remote_code,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        is_folder = Path(model).is_dir()
        hint = "" if is_folder or download else "; give a folder, or set embedder.download=true"
        raise SetupError(
            f"embedder=sentence_transformers: {model} cannot be loaded: {reason}{hint}"
        ) from error
