"""Serve a page to search with, and to read runs and failures, until Ctrl-C."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, open_dict

from raypipe.cli.job_factory import find_connection
from raypipe.cli.local_services import start_local_services
from raypipe.cli.open_state import open_existing_state
from raypipe.config.build import read_options, require_part
from raypipe.core.activity import signs_of_life
from raypipe.core.errors import OptionError
from raypipe.core.exit_codes import OK
from raypipe.core.net import is_loopback_literal
from raypipe.core.printable import join_lines
from raypipe.core.s3 import S3Connection
from raypipe.core.setup_check import check_package
from raypipe.embedded.peers import read_owner
from raypipe.embedded.services import Services
from raypipe.ledger.facade import Ledger
from raypipe.opensearch.index import IndexAlias, IndexConfig
from raypipe.opensearch.search import BookSearcher

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from raypipe.web.access import AccessRules, Address

MIN_TOKEN = 16
"""Least characters of a token."""

_NO_PACKAGES = "serve needs packages of its extra: pip install 'raypipe[serve]'"
_PACKAGES = ("fastapi", "jinja2", "uvicorn")
_REUSE_S = 10.0
"""Seconds for which the opened index is used again: opening takes several requests."""
_FACETS_S = 60.0
_THREADS = 40
"""Threads that answer requests: the default of anyio, which Starlette uses."""
_POLL_S = 0.5


def main(cfg: DictConfig) -> int:
    """Serve until Ctrl-C or SIGTERM, which is the regular end; errors as `serve`."""
    # Another thread may receive the signal; Python handles it when this thread wakes up.
    with serve(cfg) as url, suppress(KeyboardInterrupt):
        print(_format_usage(url, read_options(cfg)), flush=True)
        while not threading.Event().wait(_POLL_S):
            pass
    return OK


@contextmanager
def serve(cfg: DictConfig) -> Iterator[str]:
    """Serve the page, and yield its URL.

    Raises:
        OptionError: An option is wrong, no port is free, or the token is missing or too short.
        SetupError: A package is missing, or the embedded node cannot be started.
    """
    for package in _PACKAGES:
        check_package(package, _NO_PACKAGES)
    from raypipe.web.server import PageServer, format_url, listen

    options, connection = read_options(cfg), find_connection(cfg)
    rules = _read_rules(options)
    with open_dict(cfg):
        del cfg.storage  # the page reads no books; its server is not started
    with Services(Path(options.embedded.data)) as services:
        with signs_of_life():  # later it waits on purpose
            start_local_services(cfg, services, ["embedder"], needs_index=True)
        app = _make_app(cfg, options, connection, rules)
        listener = listen(options.host, options.port)
        with PageServer(app, listener):
            yield format_url(listener)


def _make_app(
    cfg: DictConfig, options: Any, connection: S3Connection | None, rules: AccessRules
) -> ASGIApp:
    from raypipe.web.app import create_app
    from raypipe.web.readers import BookReader, RunReader

    part: IndexConfig = require_part(cfg, "opensearch")
    threads = max(part.connection.threads, _THREADS)
    server = replace(part.connection, threads=threads).without_restart_wait()
    alias = IndexAlias(replace(part, connection=server))
    searcher = BookSearcher(
        alias,
        require_part(cfg, "embedder"),
        options.search.fusion,
        reuse_s=_REUSE_S,
        facets_s=_FACETS_S,
    )

    def open_ledger() -> Ledger:
        return Ledger(open_existing_state(options.state.uri, connection))

    return create_app(BookReader(searcher, alias, open_ledger), RunReader(open_ledger), rules)


def _read_rules(options: Any) -> AccessRules:
    """Return which requests are answered.

    Raises:
        OptionError: Others can reach the page, and there is no token; or it is too short.
    """
    from raypipe.web.access import AccessRules

    is_local = is_loopback_literal(options.host) and not options.allowed_hosts
    token = os.environ.get(options.token_env, "")
    if not token and not is_local:
        given = f"allowed_hosts={','.join(options.allowed_hosts)}"
        if not is_loopback_literal(options.host):
            given = f"host={options.host}"
        raise OptionError(
            f"{given}: others can reach the page, so it needs a token. Put at least {MIN_TOKEN} "
            f"characters into the environment variable {options.token_env}, for example those of "
            "`openssl rand -hex 32`"
        )
    if token and len(token) < MIN_TOKEN:
        raise OptionError(
            f"token_env={options.token_env}: the token in this variable has {len(token)} "
            f"characters; at least {MIN_TOKEN} are needed, for example those of "
            "`openssl rand -hex 32`"
        )
    names = {options.host, *options.allowed_hosts}
    if not is_local:
        names |= {socket.gethostname(), socket.getfqdn()}
    return AccessRules(
        token=token,
        hosts=frozenset(name.lower().rstrip(".") for name in names),
        any_address=not is_local,
        is_own_user=_is_own_user if not token and sys.platform == "linux" else None,
    )


def _is_own_user(client: Address, server: Address) -> bool:
    return read_owner(client, server) == os.geteuid()


def _format_usage(url: str, options: Any) -> str:
    lines = [f"Page  {url}  (Ctrl-C ends it)", f"JSON  {url}/openapi.json describes the API"]
    if os.environ.get(options.token_env):
        lines.append(f"The browser asks for a password: the token in {options.token_env}")
    return join_lines(lines)
