"""Start the embedded services that a config needs, and put their addresses into the config."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf

from raypipe.config.build import OPTIONAL_PARTS, PARTS, build_list, build_part, require_part
from raypipe.config.group_options import LISTS
from raypipe.core.activity import activity
from raypipe.core.errors import SetupError
from raypipe.core.setup_check import check_setup
from raypipe.embedded.services import Services
from raypipe.embedders.protocol import Embedder
from raypipe.run.executors.cluster_checks import check_shared_options
from raypipe.sources import BookSource
from raypipe.sources.listing import check_has_books
from raypipe.summarizers.protocol import Summarizer

EMBEDDED = "embedded"
"""Value of an address option that stands for an embedded service."""

REPORTING_PARTS = ("notify", "cloudwatch")
"""Groups of the parts that report on a run."""

PROCESSING_PARTS = ("storage", "summarizer", "embedder", *REPORTING_PARTS)
"""Groups of the parts that a command needs that processes books."""

_S3 = "storage.endpoint_url"
_OPENSEARCH = "opensearch.endpoint"
_CONTRACTS = {"storage": BookSource, "summarizer": Summarizer, "embedder": Embedder}
"""Contracts of the groups for which users write their own classes."""
_SERVICES = {_S3: "s3", _OPENSEARCH: "opensearch"}
_ANY_URL = "http://127.0.0.1:1"


def start_local_services(
    cfg: DictConfig,
    services: Services,
    checked: Collection[str] = ("storage",),
    *,
    needs_books: bool = False,
    needs_index: bool = False,
) -> None:
    """Start the services whose address option is `embedded`, and replace the word by their URL.

    What needs no service is checked first, so that a wrong folder, a missing package or a missing
    region is reported at once and starts nothing.

    Args:
        cfg: The config of the command; addresses of local services are filled in.
        services: The services of the command.
        checked: Groups of the parts that the command uses; of the others only the settings are
            checked.
        needs_books: Whether a storage without books is an error.
        needs_index: Whether the command reads an index that must exist.

    Raises:
        OptionError: A setting of a part is wrong; no service was started.
        SetupError: A part cannot work here, or a service cannot be started; the message says what
            to do.
    """
    wanted = _embedded_options(cfg)
    if "ray" in cfg and cfg.executor == "ray":
        check_shared_options(cfg.ray.address, cfg.state.uri, wanted)
    parts = check_parts(cfg)
    for name, part in parts.items():
        if name.partition(".")[0] in checked:
            check_setup(part)
    if wanted:
        if "storage" in checked and "storage" in parts and _S3 not in wanted:
            parts["storage"].check()
            if needs_books:
                check_has_books(parts["storage"])
        if needs_index and _OPENSEARCH in wanted:
            _check_node_has_run(cfg, services)
        services.check([_SERVICES[option] for option in wanted])
    with activity.doing("starting the embedded services"):
        urls = _start(services, wanted)
    for option, url in urls.items():
        OmegaConf.update(cfg, option, url)


def _check_node_has_run(cfg: DictConfig, services: Services) -> None:
    """Raise `SetupError` if the index can only be in an embedded node that has never run."""
    if not (services.data / "opensearch").exists():
        raise SetupError(
            f"there is no index opensearch.index={cfg.opensearch.index} yet: no OpenSearch node "
            f"has run in {services.data}. `raypipe run` makes the index; embedded.data= names "
            "another folder, and opensearch.endpoint= another server"
        )


def _embedded_options(cfg: DictConfig) -> list[str]:
    return [option for option in (_S3, _OPENSEARCH) if OmegaConf.select(cfg, option) == EMBEDDED]


def _start(services: Services, wanted: list[str]) -> dict[str, str]:
    if wanted == [_S3, _OPENSEARCH]:
        opensearch, s3 = services.start_both()
        return {_S3: s3, _OPENSEARCH: opensearch}
    if wanted == [_S3]:
        return {_S3: services.start_s3()}
    return {_OPENSEARCH: services.start_opensearch()} if wanted else {}


def check_parts(cfg: DictConfig) -> dict[str, Any]:
    """Build each part once: a wrong setting or class is reported before a service starts.

    Returns:
        The parts by group, or by group and choice such as `notify.slack`; embedded services have
        no address in them yet.

    Raises:
        OptionError: A setting of a part is wrong.
    """
    trial = cfg.copy()
    for option in _embedded_options(cfg):
        OmegaConf.update(trial, option, _ANY_URL)
    parts = {}
    for name in (name for name in PARTS if name in trial):
        if name in OPTIONAL_PARTS:
            parts[name] = build_part(trial, name)
        else:
            parts[name] = require_part(trial, name, _CONTRACTS.get(name))
    for name in (name for name in LISTS if name in trial):
        chosen = build_list(trial, name)
        parts |= {f"{name}.{choice}": part for choice, part in chosen.items()}
    return parts
