"""The typed options of each command. Hydra checks a command line against them.

Every command has a schema in `SCHEMAS`, and a primary config `conf/<command>.yaml` whose defaults
list begins with `<command>_schema`. Fields of type `Any` are parts: `raypipe.config.build` makes
them from their `_target_`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

from raypipe.config.ledger_schemas import (
    CostsSchema,
    DoctorSchema,
    ExportSchema,
    FailuresSchema,
    GcSchema,
    PromoteSchema,
    ReportSchema,
    RollbackSchema,
    RunsSchema,
    ShowSchema,
    StateSchema,
    StatusSchema,
    VerifySchema,
)
from raypipe.core.options import (
    BreakerOptions,
    BudgetOptions,
    EmbeddedOptions,
    IndexOptions,
    QuotaOptions,
    RayOptions,
    StateOptions,
    check_at_least,
    check_executor,
    check_output,
)
from raypipe.core.paths import expand_home
from raypipe.core.search_options import SearchOptions
from raypipe.core.stage_options import Stages
from raypipe.simulator.options import ServerOptions

_MAX_PORT = 65_535


@dataclass
class JobSchema:
    """Options that `run`, `plan`, `index` and `retry` share."""

    storage: Any = None
    text: Any = None
    summarizer: Any = None
    embedder: Any = None
    opensearch: Any = None
    checkpoint: Any = None
    limit: int | None = None
    adopt: bool = False
    replace: bool = False
    upgrade: bool = False
    executor: str = "ray"
    output: str = "text"
    log: str = "text"
    state: StateOptions = field(default_factory=StateOptions)
    embedded: EmbeddedOptions = field(default_factory=EmbeddedOptions)
    ray: RayOptions = field(default_factory=RayOptions)
    stages: Stages = field(default_factory=Stages)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    prices: Any = None
    prompts: Any = None
    quota: QuotaOptions = field(default_factory=QuotaOptions)
    budget: BudgetOptions = field(default_factory=BudgetOptions)
    notify: Any = None
    cloudwatch: Any = None
    index: IndexOptions = field(default_factory=IndexOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.limit is not None:
            check_at_least("limit", self.limit, 0)
        check_executor(self.executor)
        check_output(self.output)
        check_output(self.log, "log")


@dataclass
class IndexSchema(JobSchema):
    """Options of `index`."""

    purge: bool = False
    max_attempts: int = 3

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        check_at_least("max_attempts", self.max_attempts, 1)


@dataclass
class SourceSchema(IndexSchema):
    """Options that the commands which list the source share: `run` and `plan`."""

    max_delete_fraction: float = 0.05
    allow_deletes: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if not 0 <= self.max_delete_fraction <= 1:
            raise ValueError(
                f"max_delete_fraction={self.max_delete_fraction} is not between 0 and 1"
            )


@dataclass
class RunSchema(SourceSchema):
    """Options of `run`."""

    examples: list[str] = field(default_factory=list)


@dataclass
class PlanSchema(SourceSchema):
    """Options of `plan`."""

    sample: int = 50

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        check_at_least("sample", self.sample, 1)


@dataclass
class RetrySchema(JobSchema):
    """Options of `retry`."""

    all: bool = False


@dataclass
class SearchSchema:
    """Options of `search`."""

    query: str = "???"
    limit: int = 5
    output: str = "text"
    search: SearchOptions = field(default_factory=SearchOptions)
    embedder: Any = None
    opensearch: Any = None
    embedded: EmbeddedOptions = field(default_factory=EmbeddedOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_output(self.output)


@dataclass
class ServeSchema:
    """Options of `serve`."""

    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: list[str] = field(default_factory=list)
    token_env: str = "RAYPIPE_SERVE_TOKEN"  # noqa: S105 (a name, not a token)
    search: SearchOptions = field(default_factory=SearchOptions)
    storage: Any = None
    embedder: Any = None
    opensearch: Any = None
    state: StateOptions = field(default_factory=StateOptions)
    embedded: EmbeddedOptions = field(default_factory=EmbeddedOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.port <= _MAX_PORT:
            raise ValueError(f"port={self.port} must be between 0 and {_MAX_PORT}")
        if not self.host:
            raise ValueError("host is empty; set it to a name or an address of this machine")


@dataclass
class DashboardsSchema:
    """Options of `dashboards`."""

    folder: str = "dashboards"
    cloudwatch: Any = None
    notify: Any = None

    def __post_init__(self) -> None:
        """Check the folder."""
        if not self.folder:
            raise ValueError("folder is empty; set it to a folder")
        expand_home(self.folder, "folder")


@dataclass
class ServicesSchema:
    """Options of `up` and `down`."""

    embedded: EmbeddedOptions = field(default_factory=EmbeddedOptions)


@dataclass
class InitSchema:
    """Options of `init`, beside those that it writes."""

    force: bool = False


@dataclass
class SettingsSchema:
    """Options of `settings`, beside those of the command that it shows."""

    output: str = "text"

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_output(self.output)


SCHEMAS: Mapping[str, type] = {
    "run": RunSchema,
    "index": IndexSchema,
    "plan": PlanSchema,
    "retry": RetrySchema,
    "status": StatusSchema,
    "failures": FailuresSchema,
    "show": ShowSchema,
    "runs": RunsSchema,
    "report": ReportSchema,
    "doctor": DoctorSchema,
    "search": SearchSchema,
    "serve": ServeSchema,
    "verify": VerifySchema,
    "promote": PromoteSchema,
    "rollback": RollbackSchema,
    "gc": GcSchema,
    "state": StateSchema,
    "export": ExportSchema,
    "dashboards": DashboardsSchema,
    "costs": CostsSchema,
    "up": ServicesSchema,
    "down": ServicesSchema,
    "simulate": ServerOptions,
    "init": InitSchema,
    "settings": SettingsSchema,
}
"""The schema of each command."""


def register_schemas() -> None:
    """Store each schema under the name that its primary config uses, `<command>_schema`."""
    store = ConfigStore.instance()
    for command, schema in SCHEMAS.items():
        store.store(name=f"{command}_schema", node=schema)
