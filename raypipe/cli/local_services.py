"""Start the embedded services that a config asks for, and put their addresses into it."""

from __future__ import annotations

import logging

from omegaconf import DictConfig, OmegaConf

from raypipe.config import build as config
from raypipe.embedded.services import Services
from raypipe.run.executors.cluster_checks import check_shared_options

log = logging.getLogger(__name__)

EMBEDDED = "embedded"
_ANY_URL = "http://127.0.0.1:1"
_PLACES = {"storage.endpoint_url": "start_s3", "opensearch.endpoint": "start_opensearch"}


def start_local_services(cfg: DictConfig, services: Services) -> None:
    """Replace the word `embedded` in the config by the address of a service that runs.

    Raises:
        OptionError: A part refused its settings; nothing was started for it.
        SetupError: A service cannot be had; the message says what to do.
    """
    wanted = [place for place in _PLACES if OmegaConf.select(cfg, place) == EMBEDDED]
    if "ray" in cfg:
        check_shared_options(cfg.ray.address, cfg.state.uri, wanted)
    _check_parts(cfg, wanted)
    if len(wanted) == len(_PLACES):
        opensearch, s3 = services.start_both()
        urls = {"storage.endpoint_url": s3, "opensearch.endpoint": opensearch}
    else:
        urls = {place: getattr(services, _PLACES[place])() for place in wanted}
    for place, url in urls.items():
        OmegaConf.update(cfg, place, url)


def _check_parts(cfg: DictConfig, wanted: list[str]) -> None:
    """Make every part once, so that nobody waits for a service to learn of a wrong setting."""
    trial = cfg.copy()
    for place in wanted:
        OmegaConf.update(trial, place, _ANY_URL)
    for name in config.PARTS:
        if name in trial:
            (config.build if name == "opensearch" else config.required)(trial, name)
