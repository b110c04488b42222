"""Where conf/ is, the typed options, and the one place that turns configs into parts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raypipe.config.moved_targets import update_moved_targets
from raypipe.config.validate import wrong_setting
from raypipe.core.errors import OptionError, SetupError
from raypipe.core.options import (
    BreakerOptions,
    BudgetOptions,
    EmbeddedOptions,
    IndexOptions,
    QuotaOptions,
    RayOptions,
    Stages,
    StateOptions,
    check_at_least,
    check_output,
)
from raypipe.simulator.options import ServerOptions

PARTS = (
    "storage",
    "text",
    "summarizer",
    "embedder",
    "opensearch",
    "checkpoint",
    "prices",
    "prompts",
)


@dataclass
class JobSchema:
    """What `run`, `index` and `retry` share; typed here, so that Hydra checks it."""

    storage: Any = None
    text: Any = None
    summarizer: Any = None
    embedder: Any = None
    opensearch: Any = None
    checkpoint: Any = None
    limit: int | None = None
    adopt: bool = False
    output: str = "text"
    state: StateOptions = field(default_factory=StateOptions)
    embedded: EmbeddedOptions = field(default_factory=EmbeddedOptions)
    ray: RayOptions = field(default_factory=RayOptions)
    stages: Stages = field(default_factory=Stages)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    prices: Any = None
    prompts: Any = None
    quota: QuotaOptions = field(default_factory=QuotaOptions)
    budget: BudgetOptions = field(default_factory=BudgetOptions)
    index: IndexOptions = field(default_factory=IndexOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.limit is not None:
            check_at_least("limit", self.limit, 0)
        check_output(self.output)


@dataclass
class IndexSchema(JobSchema):
    """Schema of `index`."""

    purge: bool = False
    max_attempts: int = 3

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        check_at_least("max_attempts", self.max_attempts, 1)


@dataclass
class SourceSchema(IndexSchema):
    """What `run` and `plan` share: commands that list the source."""

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
    """Schema of `run`."""

    examples: list[str] = field(default_factory=list)


@dataclass
class PlanSchema(SourceSchema):
    """Schema of `plan`."""

    sample: int = 50

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        check_at_least("sample", self.sample, 1)


@dataclass
class RetrySchema(JobSchema):
    """Schema of `retry`."""

    all: bool = False


@dataclass
class SearchSchema:
    """Schema of `search`."""

    query: str = "???"
    limit: int = 5
    output: str = "text"
    embedder: Any = None
    opensearch: Any = None
    embedded: EmbeddedOptions = field(default_factory=EmbeddedOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_output(self.output)


@dataclass
class LedgerSchema:
    """What commands share that hold ledger and index against each other."""

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
    """Schema of `verify`."""

    against: str | None = None
    most_nearer: float = 0.1
    embedder: Any = None


@dataclass
class RollbackSchema(LedgerSchema):
    """Schema of `rollback`."""

    to: str = ""


@dataclass
class GcSchema(LedgerSchema):
    """Schema of `gc`."""

    keep: int = 1
    apply: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        IndexOptions(keep=self.keep)


@dataclass
class PromoteSchema(RollbackSchema):
    """Schema of `promote`."""

    force: bool = False
    keep: int = 1
    force_merge: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        IndexOptions(keep=self.keep, force_merge=self.force_merge)


@dataclass
class ServicesSchema:
    """Schema of `up` and `down`."""

    embedded: EmbeddedOptions = field(default_factory=EmbeddedOptions)


SCHEMAS: Mapping[str, type] = {
    "run": RunSchema,
    "index": IndexSchema,
    "plan": PlanSchema,
    "retry": RetrySchema,
    "search": SearchSchema,
    "verify": VerifySchema,
    "promote": PromoteSchema,
    "rollback": RollbackSchema,
    "gc": GcSchema,
    "up": ServicesSchema,
    "down": ServicesSchema,
    "simulate": ServerOptions,
}


def conf_dir() -> Path:
    """Return the folder of the configs: beside the package in a wheel, else of the checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def register() -> None:
    """Put the schemas where the primary configs find them, as `<command>_schema`."""
    store = ConfigStore.instance()
    for command, schema in SCHEMAS.items():
        store.store(name=f"{command}_schema", node=schema)


def options(cfg: DictConfig) -> Any:
    """Return a command's typed options; the parts in them stay plain mappings.

    Raises:
        OptionError: An option is unknown, or its value is out of its range.
    """
    _check_typed(cfg, "")
    return OmegaConf.to_object(cfg)


def _check_typed(node: DictConfig, path: str) -> None:
    """Check typed options from the inside out: they do not know their own whole names."""
    schema = OmegaConf.get_type(node)
    if schema is None or not dataclasses.is_dataclass(schema):
        return
    known = [item.name for item in dataclasses.fields(schema)]
    for name in map(str, node):
        if name not in known:
            raise OptionError(f"there is no option {path}{name}; {_has(path, known)}")
        if isinstance(node[name], DictConfig):
            _check_typed(node[name], f"{path}{name}.")
    try:
        OmegaConf.to_object(node)
    except OmegaConfBaseException:
        raise
    except (ValueError, TypeError) as error:
        raise OptionError(f"{path}{_first_line(error)}") from None


def _has(path: str, names: Iterable[str]) -> str:
    return f"{path.rstrip('.') or 'there'} {'has' if path else 'are'} {', '.join(sorted(names))}"


def plain(cfg: DictConfig, *, resolve: bool = True) -> dict[str, Any]:
    """Return the configuration as plain mappings, for a run's record."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=resolve))


def build(cfg: DictConfig, name: str) -> Any:
    """Return the part that `cfg[name]` describes, or None where it has no `_target_`.

    Raises:
        OptionError: The part refused its settings.
    """
    node = cfg[name]
    if node is None or node.get("_target_") is None:
        return None
    update_moved_targets(node)
    if wrong := wrong_setting(OmegaConf.to_container(node, resolve=True), name):
        raise OptionError(wrong)
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        raise _refused(name, node, error) from None


def required(cfg: DictConfig, name: str) -> Any:
    """Return the part that `cfg[name]` describes; this command cannot do without it.

    Raises:
        OptionError: The option stands for no part, or the part refused its settings.
    """
    part = build(cfg, name)
    if part is None:
        raise OptionError(f"this command needs {name}; choose another option than {name}=none")
    return part


def _refused(name: str, node: DictConfig, error: InstantiationException) -> Exception:
    cause = error.__cause__ or error
    if isinstance(cause, SetupError):
        return cast(Exception, cause)
    line = _first_line(cause)
    # Parts name their own setting first; they do not know which option they stand for.
    setting = re.match(r"\w*", line)
    return OptionError(f"{name}.{line}" if setting and setting[0] in node else f"{name}: {line}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
