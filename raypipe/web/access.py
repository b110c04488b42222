"""Decide which requests are answered, and send the headers that protect a browser."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raypipe.core.net import is_loopback_literal
from raypipe.core.printable import escape_line

Address = tuple[str, int]
"""IP address and port."""

IsOwnUser = Callable[[Address, Address], bool]
"""Whether the client at the first address, of a connection to the second, is of the same user."""

HEADERS = {
    # No script, no request to another server, no frame around the page.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every response; a response may set its own value."""

_ASK_FOR_TOKEN = {"WWW-Authenticate": 'Basic realm="raypipe", charset="UTF-8"'}


@dataclass(frozen=True)
class AccessRules:
    """Which requests are answered.

    Args:
        token: Token that a request must have; '' for none.
        hosts: Names that the header Host may have, besides `localhost` and loopback addresses;
            lower case.
        any_address: Whether Host may be any IP address. A web site has a name, so that it cannot
            reach the page by an address (DNS rebinding).
        is_own_user: Tells whether a client is a process of the user who serves the page; None to
            answer every user of the machine.
    """

    token: str = ""
    hosts: frozenset[str] = frozenset()
    any_address: bool = False
    is_own_user: IsOwnUser | None = None

    def allows_host(self, host: str) -> bool:
        """Return whether the page is served under a name, the value of the header Host."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if is_loopback_literal(name) or name in self.hosts:
            return True
        return self.any_address and _is_address(name)

    def allows_token(self, authorization: str) -> bool:
        """Return whether a request has the token.

        Args:
            authorization: The header Authorization: `Bearer TOKEN`, or `Basic` with any user name
                and the token as the password, as browsers send it.
        """
        if not self.token:
            return True
        scheme, _, value = authorization.partition(" ")
        # Starlette decodes the bytes of a header as Latin-1; clients send UTF-8.
        given = value.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(value, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return False
        # In constant time: the time must not tell how many characters are right.
        return hmac.compare_digest(given, os.fsencode(self.token))


class Gate:
    """The ASGI app around the page: it refuses requests, and adds `HEADERS` to every response.

    Args:
        app: The page.
        rules: Which requests are answered.
    """

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self.app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refuse(scope)
        if scope["method"] == "HEAD":  # FastAPI's routes answer GET only; the server drops the body
            scope = {**scope, "method": "GET"}
        await (refusal or self.app)(scope, receive, send_protected)

    def _refuse(self, scope: Scope) -> ASGIApp | None:
        headers, rules = Headers(scope=scope), self._rules
        host = headers.get("host", "")
        if not rules.allows_host(host):
            name = escape_line(host)
            return _plain(
                400, f"this page is not served as {name}; the option allowed_hosts adds names"
            )
        client, server = scope.get("client"), scope.get("server")
        is_own_user = rules.is_own_user
        if is_own_user and client and server and not is_own_user(tuple(client), tuple(server)):
            return _plain(403, "this page answers its own user only; a token answers others")
        if not rules.allows_token(headers.get("authorization", "")):
            response = "this page needs the token, as the password of any user name"
            return PlainTextResponse(response, 401, headers=_ASK_FOR_TOKEN)
        if _is_sent_by_other_page(headers):
            return _plain(403, "this request was sent by the page of another site")
        return None


def _plain(status: int, message: str) -> ASGIApp:
    return PlainTextResponse(message, status)


def _is_sent_by_other_page(headers: Headers) -> bool:
    """Return whether a browser sent a request for another site, and not to follow a link."""
    site, mode = headers.get("sec-fetch-site", ""), headers.get("sec-fetch-mode", "")
    return site not in ("", "none", "same-origin") and mode != "navigate"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
