"""Start the embedded services that a config asks for, and put their addresses into it."""

from __future__ import annotations

import logging

from omegaconf import DictConfig, OmegaConf

from raypipe.embedded.services import Services

log = logging.getLogger(__name__)

EMBEDDED = "embedded"
_PLACES = {"storage.endpoint_url": "s3", "opensearch.endpoint": "opensearch"}


def fill_endpoints(cfg: DictConfig, services: Services) -> None:
    """Replace the word `embedded` in the config by the address of a service that runs.

    Raises:
        SetupError: A service cannot be had; the message says what to do.
    """
    wanted = [place for place in _PLACES if OmegaConf.select(cfg, place) == EMBEDDED]
    if len(wanted) == len(_PLACES):
        opensearch, s3 = services.start_both()
        urls = {"storage.endpoint_url": s3, "opensearch.endpoint": opensearch}
    else:
        urls = {place: getattr(services, _PLACES[place])() for place in wanted}
    for place, url in urls.items():
        OmegaConf.update(cfg, place, url)
