"""Read what a state records: the newest document of each book, and the failures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

from raypipe.api.commands import _command_config

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data
    from omegaconf import DictConfig

    from raypipe.api.options import Config, SettingsFile
    from raypipe.ledger.failure_log import FailedBook
    from raypipe.ledger.newest_documents import DocumentBatch

    Place: TypeAlias = str | os.PathLike[str] | Config | None
    """A folder, `s3://bucket/prefix`, a config, or None for the state of the settings file."""


def read_documents(
    state: Place = None,
    columns: Sequence[str] = (),
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> pa.Table:
    """Return the newest document of each book; books that were deleted are left out.

    The parquet files of a state also have the documents of earlier versions, recipes and runs, and
    of deleted books.

    Args:
        state: A folder, `s3://bucket/prefix` or a composed config; None for the state of the
            settings file, or else `raypipe-data/state`.
        columns: Columns to read; empty for all, with the vectors in `summary_vector`.
        recipe: Documents of this recipe only, or of the recipe that begins like this; None for the
            newest document of any recipe.
        overrides: As for `raypipe.run`.
        settings: As for `raypipe.run`.
        profile: As for `raypipe.run`.
        options: Options of `raypipe export`, e.g. those of `storage`, by which a state on S3 is
            reached.

    Returns:
        A row for each book.

    Raises:
        SetupError: There is no state, or it cannot be read.
        OptionError: There is no such column or recipe, or an option is wrong.
    """
    import pyarrow as pa

    from raypipe.ledger.newest_documents import check_columns, columns_schema, read_batches

    names = check_columns(columns)
    with _reader_config(state, overrides, settings, profile, options) as cfg:
        batches = _select(cfg, recipe)
        return pa.concat_tables(
            [columns_schema(names).empty_table(), *read_batches(batches, names)]
        )


def read_dataset(
    state: Place = None,
    columns: Sequence[str] = (),
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> ray.data.Dataset:
    """Return the newest document of each book as a Ray Dataset, which reads them when it runs.

    This call decides which documents are the newest. Workers read them, so a state in a folder
    needs a folder that all nodes share. Arguments and errors are those of `read_documents`.

    Args:
        state: As for `read_documents`.
        columns: As for `read_documents`.
        recipe: As for `read_documents`.
        overrides: As for `raypipe.run`.
        settings: As for `raypipe.run`.
        profile: As for `raypipe.run`.
        options: As for `read_documents`.
    """
    from raypipe.ledger.newest_documents import check_columns
    from raypipe.run.documents_dataset import documents_dataset

    names = check_columns(columns)
    with _reader_config(state, overrides, settings, profile, options) as cfg:
        return documents_dataset(_select(cfg, recipe), names)


def failures(
    state: Place = None,
    *,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> list[FailedBook]:
    """Return the last failure of each book that no later run resolved, oldest first.

    Each has key, stage, kind, message and number of attempts; `advice` is the way out.

    Args:
        state: As for `read_documents`.
        overrides: As for `raypipe.run`.
        settings: As for `raypipe.run`.
        profile: As for `raypipe.run`.
        options: As for `read_documents`.

    Raises:
        SetupError: There is no state, or it cannot be read.
        OptionError: An option is wrong.
    """
    from raypipe.cli.open_state import open_recorded_state
    from raypipe.config.build import read_options
    from raypipe.ledger.facade import Ledger

    with _reader_config(state, overrides, settings, profile, options) as cfg:
        opened, _ = open_recorded_state(cfg, read_options(cfg))
        return Ledger(opened).failed_books()


def _reader_config(
    state: Place,
    overrides: Sequence[str],
    settings: SettingsFile,
    profile: str | None,
    options: dict[str, Any],
) -> AbstractContextManager[DictConfig]:
    config: Config | None = None
    fixed: dict[str, Any] = {}
    if isinstance(state, Mapping):
        config = state
    elif state is not None:
        fixed["state.uri"] = os.fspath(state)
    return _command_config("export", config, overrides, settings, profile, options, fixed)


def _select(cfg: DictConfig, recipe: str | None) -> list[DocumentBatch]:
    from raypipe.cli.open_state import open_recorded_state
    from raypipe.config.build import read_options
    from raypipe.ledger.document_store import DocumentStore
    from raypipe.ledger.newest_documents import find_recipe, select_newest

    state, _ = open_recorded_state(cfg, read_options(cfg))
    store = DocumentStore(state)
    return select_newest(store, None if recipe is None else find_recipe(store, recipe))
