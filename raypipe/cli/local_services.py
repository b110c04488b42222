"""Start the embedded services that a config needs, and put their addresses into the config."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from raypipe.config.build import PARTS, build_part, require_part
from raypipe.embedded.services import Services
from raypipe.embedders.protocol import Embedder
from raypipe.run.executors.cluster_checks import check_shared_options
from raypipe.sources import BookSource
from raypipe.summarizers.protocol import Summarizer

EMBEDDED = "embedded"
"""Value of an address option that stands for an embedded service."""

_S3 = "storage.endpoint_url"
_OPENSEARCH = "opensearch.endpoint"
_CONTRACTS = {"storage": BookSource, "summarizer": Summarizer, "embedder": Embedder}
"""Contracts of the groups for which users write their own classes."""
_ANY_URL = "http://127.0.0.1:1"


def start_local_services(cfg: DictConfig, services: Services) -> None:
    """Start the services whose address option is `embedded`, and replace the word by their URL.

    Raises:
        OptionError: A setting of a part is wrong; no service was started.
        SetupError: A service cannot be started; the message says what to do.
    """
    wanted = _embedded_options(cfg)
    if "ray" in cfg and cfg.executor == "ray":
        check_shared_options(cfg.ray.address, cfg.state.uri, wanted)
    check_parts(cfg)
    for option, url in _start(services, wanted).items():
        OmegaConf.update(cfg, option, url)


def _embedded_options(cfg: DictConfig) -> list[str]:
    return [option for option in (_S3, _OPENSEARCH) if OmegaConf.select(cfg, option) == EMBEDDED]


def _start(services: Services, wanted: list[str]) -> dict[str, str]:
    if wanted == [_S3, _OPENSEARCH]:
        opensearch, s3 = services.start_both()
        return {_S3: s3, _OPENSEARCH: opensearch}
    if wanted == [_S3]:
        return {_S3: services.start_s3()}
    return {_OPENSEARCH: services.start_opensearch()} if wanted else {}


def check_parts(cfg: DictConfig) -> None:
    """Build each part once: a wrong setting or class is reported before a service starts.

    Raises:
        OptionError: A setting of a part is wrong.
    """
    trial = cfg.copy()
    for option in _embedded_options(cfg):
        OmegaConf.update(trial, option, _ANY_URL)
    for name in PARTS:
        if name in trial:
            if name == "opensearch":
                build_part(trial, name)
            else:
                require_part(trial, name, _CONTRACTS.get(name))
