"""What a person sees who cannot be let in: one clear line, soon, for each kind of connection.

    python tests/benchmarks/bench_connections.py

`raypipe search` is typed against servers that refuse it: HTTPS with a certificate that is not
trusted or is another host's, a wrong password, token or client certificate, a signature with a
wrong secret, an expired session token, a host that is not there. Each must end with exit code 1
and one line on stderr that names the server or the setting and holds no secret. The servers live
in this process. The last line is one JSON object.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from processes import environment  # noqa: E402
from report import Report, say  # noqa: E402

from tests.integration.tls_proxy import Certificates, TlsProxy, serve_tls  # noqa: E402
from tests.unit.opensearch.sigv4 import Signer  # noqa: E402
from tests.unit.opensearch.stub import Reply, Request, Stub  # noqa: E402

REACH_S = 30.0
SECRET = "a-secret-that-nobody-may-see"
SIGN_OF_LIFE = re.compile(r"(?:\d\d:\d\d:\d\d )?\S.* \(\d+s\)")
"""A line such as `10:04:34 searching (2s)`, which a slow machine adds."""


@dataclass
class Case:
    """One way not to be let in, and a word that the line must have."""

    name: str
    endpoint: str
    word: str
    options: list[str] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    kind: str = "self_managed"


def cases(folder: Path, node: Stub, stack: ExitStack) -> Iterator[Case]:
    """Yield every case, its server running."""
    certificates = Certificates(folder)
    authority = f"opensearch.connection.ca_certs={certificates.authority}"
    mine = certificates.issue("server", "127.0.0.1")

    def serve(authorization: str = "", **more: Path) -> TlsProxy:
        made = stack.enter_context(serve_tls(node.url, mine, **more))
        made.authorization = authorization
        return made

    basic = base64.b64encode(b"me:right").decode()
    user = "opensearch.connection.username=me"
    password = {"OPENSEARCH_PASSWORD": SECRET}
    token = {"OPENSEARCH_TOKEN": SECRET}
    place = serve(f"Basic {basic}").url
    yield Case("password_wrong", place, "401", [authority, user], password)
    yield Case("password_missing", place, "OPENSEARCH_PASSWORD", [authority, user])
    yield Case("self_signed", place, "TLS failed", [user], password)
    other = certificates.issue("other", "books.example.org")
    another = stack.enter_context(serve_tls(node.url, other)).url
    yield Case("wrong_host_in_certificate", another, "not valid for", [authority, user], password)
    for kind in ("bearer", "api_key"):
        choice = f"opensearch.connection.token={kind}"
        place = serve("Bearer right").url
        yield Case(f"{kind}_wrong", place, "did not accept the token", [authority, choice], token)
    place = serve(clients=certificates.authority).url
    yield Case("client_certificate_missing", place, place, [authority])
    yield Case("host_not_there", "https://nowhere.invalid", "cannot be reached", [user], password)
    yield Case("port_not_there", "https://127.0.0.1:9", "cannot be reached", [user], password)
    yield from _signed(node, "aws_managed", "es", "aoss")
    yield from _signed(node, "aws_serverless", "aoss", "es")


def _signed(node: Stub, kind: str, service: str, other_service: str) -> Iterator[Case]:
    signer = Signer("AKIDEXAMPLE", "right", "eu-west-1", service)

    def check(request: Request) -> Reply | None:
        if "authorization" not in request.headers or "AWS4" not in request.headers["authorization"]:
            return None  # came through a front
        said = signer.refusal(request.method, request.target, request.headers, request.raw)
        return Reply(403, {"message": said}) if said else None

    node.guard = check
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    region = ["opensearch.connection.region=eu-west-1"]
    yield Case(f"{service}_secret_wrong", node.url, "signature", region, keys, kind)
    expired = {**keys, "AWS_SESSION_TOKEN": "old"}
    yield Case(f"{service}_token_expired", node.url, "expired", region, expired, kind)
    other = ["opensearch.connection.region=us-east-1"]
    yield Case(f"{service}_region_wrong", node.url, "region", other, keys, kind)
    yield Case(f"{service}_no_credentials", node.url, "no AWS credentials", region, {}, kind)
    place = f"https://x1.eu-west-1.{other_service}.amazonaws.com"
    yield Case(f"{service}_other_service", place, "endpoint", [], keys, kind)
    place = "https://nowhere.invalid"
    yield Case(f"{service}_host_not_there", place, "cannot be reached", region, keys, kind)


def problem(case: Case, here: Path) -> tuple[str, float]:
    """Run a case; returns what is wrong with how it ended, or nothing, and its seconds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env = {**environment(), **kept, "HOME": str(here), "AWS_EC2_METADATA_DISABLED": "true"}
    for name in list(env):
        if name.startswith("AWS_") and name != "AWS_EC2_METADATA_DISABLED":
            del env[name]
    command = [
        sys.executable, "-m", "raypipe", "search", "a lamp", f"opensearch={case.kind}",
        f"opensearch.endpoint={case.endpoint}", *case.options,
    ]  # fmt: skip
    began = time.monotonic()
    ended = subprocess.run(
        command, cwd=here, env={**env, **case.environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - began
    said = ended.stderr.strip()
    say(f"{case.name}: {seconds:.1f} s, exit {ended.returncode}: {said}")
    if ended.returncode not in (1, 2):
        return f"exit code {ended.returncode}", seconds
    lines = [line for line in said.splitlines() if not SIGN_OF_LIFE.fullmatch(line)]
    if len(lines) != 1:
        return f"{len(lines)} lines", seconds
    if case.word not in said:
        return f"{case.word!r} is not said", seconds
    if SECRET in said + ended.stdout:
        return "a secret is said", seconds
    return "", seconds


def main() -> None:
    """Measure and print."""
    report = Report("connections")
    slowest, wrong, number = 0.0, [], 0
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as folder, ExitStack() as stack:
        here = Path(folder)
        node = Stub()
        stack.callback(node.close)
        node.paths["/"] = Reply(body={"version": {"number": "2.19.0"}})
        for case in cases(here, node, stack):
            found, seconds = problem(case, here)
            number += 1
            slowest = max(slowest, seconds)
            if found:
                wrong.append(f"{case.name}: {found}")
    report.note("cases", number)
    report.note("wrong", wrong)
    report.at_most("cases_without_a_clear_line", len(wrong), 0)
    report.at_most("slowest_s", slowest, REACH_S, "s")
    report.finish()


if __name__ == "__main__":
    main()
