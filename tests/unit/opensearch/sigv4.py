"""Checks a Signature Version 4 as AWS does: from what was received and the secret, by its own code.

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
    """Who may come in, and for what."""

    key: str
    secret: str
    region: str
    service: str
    token: str = ""

    def refusal(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> str:
        """Return what AWS would say of a request, or an empty string if it is good.

        Args:
            method: HTTP method.
            target: Path and query as they stand in the request line.
            headers: By lowercase name.
            body: As received, compressed if it was.
        """
        found = _AUTH.fullmatch(headers.get("authorization", ""))
        if found is None:
            return "Missing Authentication Token"
        if found["key"] != self.key:
            return "The security token included in the request is invalid."
        if (found["region"], found["service"]) != (self.region, self.service):
            return f"Credential should be scoped to a valid region, not '{found['region']}'."
        if headers.get("x-amz-security-token", "") != self.token:
            return "The security token included in the request is expired"
        signed = found["signed"].split(";")
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
                found["signed"],
                digest,
            ]
        )
        scope = f"{found['day']}/{self.region}/{self.service}/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashed}"
        key = f"AWS4{self.secret}".encode()
        for part in (found["day"], self.region, self.service, "aws4_request"):
            key = _hmac(key, part)
        if _hmac(key, to_sign).hex() != found["signature"]:
            return "The request signature we calculated does not match the signature you provided."
        return ""


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _path(path: str) -> str:
    # Every service but S3: what stands in the request line is encoded once more.
    return quote(path or "/", safe="/-_.~")


def _query(query: str) -> str:
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    encoded = [tuple(quote(unquote(one), safe="-_.~") for one in pair) for pair in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))
