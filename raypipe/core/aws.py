"""Create boto3 sessions and clients that follow raypipe's rules for proxies and certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from raypipe.core.certificates import find_certificates
from raypipe.core.proxy import proxy_for


def create_session(profile: str | None, region: str | None = None, core: Any = None) -> Any:
    """Return a boto3 session; its clients trust the certificates that the environment names.

    `AWS_CA_BUNDLE` and the profile's `ca_bundle` come before the variables of other clients.

    Args:
        profile: Profile of the AWS configuration; None for boto3's default.
        region: AWS region; None for the region of the profile.
        core: Session of botocore to use; None for a new session.

    Raises:
        botocore.exceptions.BotoCoreError: The profile does not exist.
        SetupError: The file of trusted certificates cannot be used.
    """
    import boto3
    import botocore.session

    core = core or botocore.session.Session()
    session = boto3.Session(botocore_session=core, profile_name=profile, region_name=region)
    path = None if core.get_config_variable("ca_bundle") else find_certificates()
    if path is not None and Path(path).is_file():  # botocore takes no folder
        core.set_config_variable("ca_bundle", path)
    return session


def create_client(session: Any, service: str, endpoint_url: str | None, config: Any) -> Any:
    """Return a client of a session that reaches its endpoint through the right proxy.

    botocore would send requests for this machine to the proxy, too.

    Args:
        session: A session of boto3.
        service: Name of the service.
        endpoint_url: URL of the server; None for boto3's own settings.
        config: Config of botocore.

    Raises:
        SetupError: The environment names no usable proxy for the endpoint.
    """
    from botocore.config import Config

    client = session.client(service, endpoint_url=endpoint_url, config=config)
    if set(getproxies()) <= {"no"}:
        return client
    # Only the client knows its endpoint: variables and the AWS configuration can set it.
    endpoint = client.meta.endpoint_url
    proxy = proxy_for(endpoint)
    proxies = {urlsplit(endpoint).scheme: proxy} if proxy else {}
    config = config.merge(Config(proxies=proxies))
    return session.client(service, endpoint_url=endpoint_url, config=config)
