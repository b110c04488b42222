"""Name the credentials of a server: environment variables, files and profiles, never secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from raypipe.opensearch.connection.aws import AwsConnection
from raypipe.opensearch.connection.client import Connection

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class BasicAuth:
    """A user whose password is in an environment variable of every worker.

    Args:
        username: User name.
        password_env: Name of the variable.

    Raises:
        ValueError: `password_env` is not a variable's name.
    """

    username: str
    password_env: str = "OPENSEARCH_PASSWORD"  # noqa: S105 (a name, not a password)

    def __post_init__(self) -> None:
        """Check the name."""
        _check_variable("BasicAuth.password_env", self.password_env)


@dataclass(frozen=True)
class TokenAuth:
    """A token in an environment variable, or in a file, of every worker.

    Args:
        env: Name of the variable.
        scheme: `bearer`, or `api_key` for OpenSearch's API keys.
        file: Path of the file that holds the token; takes precedence over the variable. It is
            read again when the server refuses the token.

    Raises:
        ValueError: `env` is not a variable's name.
    """

    env: str = "OPENSEARCH_TOKEN"
    scheme: Literal["bearer", "api_key"] = "bearer"
    file: str | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        _check_variable("TokenAuth.env", self.env)


@dataclass(frozen=True)
class SigV4:
    """Requests signed with boto3's credentials, for Amazon OpenSearch Service and Serverless.

    Args:
        region: AWS region; None to take it from the host name, else from the profile.
        service: `es` for a domain, `aoss` for a Serverless collection; None to take it from the
            host name, else `es`.
        profile: Name of an AWS profile; None for boto3's default chain.
    """

    region: str | None = None
    service: str | None = None
    profile: str | None = None


@dataclass(frozen=True)
class ClientCertificate:
    """A client certificate in files of every worker.

    Args:
        certificate: Path of the certificate.
        key: Path of its key; None if the file of the certificate holds it.
    """

    certificate: str
    key: str | None = None


Auth = BasicAuth | TokenAuth | SigV4 | ClientCertificate


def connect(endpoint: str | Connection, auth: Auth | None, **settings: Any) -> Connection:
    """Return the connection to a server; nothing is sent.

    Args:
        endpoint: URL of the server, or a connection, which is returned as it is.
        auth: Credentials; None for none.
        settings: Further arguments of `Connection`.

    Raises:
        ValueError: A setting is wrong; the message does not quote `auth`.
    """
    if isinstance(endpoint, Connection):
        if auth is not None or settings:
            raise ValueError(
                "a Connection has its own auth and settings; leave out these arguments"
            )
        return endpoint
    match auth:
        case None:
            return Connection(endpoint, **settings)
        case BasicAuth():
            names: dict[str, Any] = {"username": auth.username, "password_env": auth.password_env}
            return Connection(endpoint, **names, **settings)
        case TokenAuth():
            token: dict[str, Any] = {
                "token": auth.scheme,
                "token_env": auth.env,
                "token_file": auth.file,
            }
            return Connection(endpoint, **token, **settings)
        case ClientCertificate():
            files: dict[str, Any] = {"client_cert": auth.certificate, "client_key": auth.key}
            return Connection(endpoint, **files, **settings)
        case SigV4():
            service = auth.service or _service_of(endpoint)
            signed: dict[str, Any] = {
                "service": service,
                "region": auth.region,
                "profile": auth.profile,
            }
            return AwsConnection(endpoint, **signed, **settings)
    # The value may hold a password, as the http_auth of other clients does.
    raise ValueError(
        f"auth is a {type(auth).__name__}; give BasicAuth(username, password_env), TokenAuth, "
        "SigV4, ClientCertificate, or a Connection in place of the endpoint"
    )


def _service_of(endpoint: str) -> str:
    return "aoss" if ".aoss." in (urlsplit(endpoint).hostname or "") else "es"


def _check_variable(name: str, variable: str) -> None:
    """Raise `ValueError` if this cannot be a variable; it may be a secret, so it is not quoted."""
    if not _VARIABLE.fullmatch(variable):
        raise ValueError(
            f"{name} is not the name of an environment variable; put the secret into a variable, "
            "and give the variable's name"
        )
