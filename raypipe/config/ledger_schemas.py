"""The typed options of the commands about a state and its index; they process no books."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from raypipe.core.options import (
    EmbeddedOptions,
    IndexOptions,
    QuotaOptions,
    StateOptions,
    check_at_least,
    check_output,
)
from raypipe.core.paths import expand_home


@dataclass
class LedgerSchema:
    """Options that the commands which read ledger and index share."""

    output: str = "text"
    storage: Any = None
    opensearch: Any = None
    state: StateOptions = field(default_factory=StateOptions)
    embedded: EmbeddedOptions = field(default_factory=EmbeddedOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_output(self.output)


@dataclass
class VerifySchema(LedgerSchema):
    """Options of `verify`."""

    against: str | None = None
    most_nearer: float = 0.1
    embedder: Any = None


@dataclass
class RollbackSchema(LedgerSchema):
    """Options of `rollback`."""

    to: str = ""


@dataclass
class GcSchema(LedgerSchema):
    """Options of `gc`."""

    keep: int = 1
    indices: list[str] = field(default_factory=list)
    apply: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        IndexOptions(keep=self.keep)


@dataclass
class StateSchema:
    """Options of `state`."""

    action: str = ""
    source: str = ""
    target: str = ""
    output: str = "text"
    storage: Any = None

    def __post_init__(self) -> None:
        """Check the values."""
        check_output(self.output)


@dataclass
class ExportSchema:
    """Options of `export`."""

    to: str = ""
    format: str | None = None
    columns: list[str] = field(default_factory=list)
    recipe: str | None = None
    vectors: bool = True
    overwrite: bool = False
    output: str = "text"
    storage: Any = None
    state: StateOptions = field(default_factory=StateOptions)

    def __post_init__(self) -> None:
        """Check the values."""
        check_output(self.output)


@dataclass
class ReaderSchema:
    """Options that the commands which only read the state share."""

    output: str = "text"
    storage: Any = None
    state: StateOptions = field(default_factory=StateOptions)

    def __post_init__(self) -> None:
        """Check the values."""
        check_output(self.output)


@dataclass
class StatusSchema(ReaderSchema):
    """Options of `status`."""

    run: str = ""


@dataclass
class ReportSchema(StatusSchema):
    """Options of `report`."""

    compare: str = ""
    to: str = ""

    def __post_init__(self) -> None:
        """Check the file."""
        super().__post_init__()
        expand_home(self.to, "to")


@dataclass
class FailuresSchema(ReaderSchema):
    """Options of `failures`."""

    kind: str = ""
    limit: int | None = 3

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.limit is not None:
            check_at_least("limit", self.limit, 0)


@dataclass
class RunsSchema(ReaderSchema):
    """Options of `runs`."""

    limit: int | None = 20

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.limit is not None:
            check_at_least("limit", self.limit, 1)


@dataclass
class ShowSchema(LedgerSchema):
    """Options of `show`."""

    book: str = ""


@dataclass
class DoctorSchema(LedgerSchema):
    """Options of `doctor`."""

    text: Any = None
    summarizer: Any = None
    embedder: Any = None
    prompts: Any = None
    quota: QuotaOptions = field(default_factory=QuotaOptions)
    call_models: bool = False


@dataclass
class CostsSchema(ReaderSchema):
    """Options of `costs`."""

    prices: Any = None


@dataclass
class PromoteSchema(RollbackSchema):
    """Options of `promote`."""

    force: bool = False
    keep: int = 1
    force_merge: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        IndexOptions(keep=self.keep, force_merge=self.force_merge)
