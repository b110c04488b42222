"""Verify a Signature Version 4 independently of boto3, from the received request and the secret.

Source of the rules: "Create a signed AWS API request", AWS General Reference.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

_AUTH = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/"
    r"(?P<service>[^/]+)/aws4_request, SignedHeaders=(?P<signed>[^,]+), "
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Signer:
    """Credentials that are accepted, and their scope."""

    key: str
    secret: str
    region: str
    service: str
    token: str = ""

    def refusal(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> str:
        """Return the message with which AWS refuses a request, or '' if it is signed correctly.

        Args:
            method: HTTP method.
            target: Path and query as in the request line.
            headers: Headers by lowercase name.
            body: Body as received, compressed or not.
        """
        match = _AUTH.fullmatch(headers.get("authorization", ""))
        if match is None:
            return "Missing Authentication Token"
        if match["key"] != self.key:
            return "The security token included in the request is invalid."
        if (match["region"], match["service"]) != (self.region, self.service):
            return f"Credential should be scoped to a valid region, not '{match['region']}'."
        if headers.get("x-amz-security-token", "") != self.token:
            return "The security token included in the request is expired"
        signed = match["signed"].split(";")
        if not {"host", "x-amz-date"} <= set(signed):
            return "'Host' and 'X-Amz-Date' must be signed"
        if any(name.startswith("x-amz-") and name not in signed for name in headers):
            return "every x-amz-* header must be signed"
        digest = hashlib.sha256(body).hexdigest()
        if headers.get("x-amz-content-sha256") != digest:
            return "x-amz-content-sha256 is not that of the body"
        canonical = "\n".join(
            [
                method,
                _path(target.partition("?")[0]),
                _query(target.partition("?")[2]),
                *(f"{name}:{' '.join(headers[name].split())}" for name in signed),
                "",
                match["signed"],
                digest,
            ]
        )
        scope = f"{match['day']}/{self.region}/{self.service}/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashed}"
        key = f"AWS4{self.secret}".encode()
        for part in (match["day"], self.region, self.service, "aws4_request"):
            key = _hmac(key, part)
        if _hmac(key, to_sign).hex() != match["signature"]:
            return "The request signature we calculated does not match the signature you provided."
        return ""


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _path(path: str) -> str:
    # For every service but S3 the path of the request line is encoded once more.
    return quote(path or "/", safe="/-_.~")


def _query(query: str) -> str:
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    encoded = [tuple(quote(unquote(text), safe="-_.~") for text in pair) for pair in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))
