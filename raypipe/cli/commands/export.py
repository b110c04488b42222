"""Write the newest document of each book to a file for other programs."""

from __future__ import annotations

import dataclasses

from omegaconf import DictConfig

from raypipe.cli.open_state import open_recorded_state
from raypipe.config.build import read_options
from raypipe.core.errors import OptionError
from raypipe.core.exit_codes import OK
from raypipe.core.printable import join_lines, to_json
from raypipe.core.units import format_duration
from raypipe.exporter.documents import ExportRequest, ExportResult, export_documents, resolve_target


def main(cfg: DictConfig) -> int:
    """Export, and print what was written; errors as `carry_out`."""
    options, result = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        print(to_json(dataclasses.asdict(result)))
    else:
        print(_format_result(result))
    return OK


def carry_out(cfg: DictConfig) -> ExportResult:
    """Export, and return what was written.

    Raises:
        OptionError: The file exists, or there is no such format, column or recipe.
        SetupError: There is no state, it cannot be read, or the file cannot be written.
    """
    options = read_options(cfg)
    if not options.to:
        raise OptionError("give to=FILE, a folder or s3://bucket/key")
    resolve_target(options.to, options.format)
    state, connection = open_recorded_state(cfg, options)
    request = ExportRequest(
        options.to,
        options.format,
        options.columns,
        options.recipe,
        vectors=options.vectors,
        overwrite=options.overwrite,
    )
    return export_documents(state, request, connection)


def _format_result(result: ExportResult) -> str:
    lines = [
        f"wrote   {result.documents:,} documents, {result.bytes / 1e6:,.1f} MB, in "
        f"{format_duration(result.seconds)}",
        f"file    {result.to} ({result.format})",
        f"state   {result.state}",
    ]
    return join_lines(lines)
