from __future__ import annotations

import os
from pathlib import Path

import certifi
import pytest

from raypipe.core.certificates import VARIABLES, certificates_for_requests, find_certificates, trust
from raypipe.core.errors import SetupError


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_the_first_variable_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_certificates() is None
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert find_certificates() == str(tmp_path)
    for name in reversed(VARIABLES):
        file = tmp_path / name
        file.write_bytes(Path(certifi.where()).read_bytes())
        monkeypatch.setenv(name, str(file))
        assert find_certificates() == str(file)
        assert trust(str(file)).cert_store_stats()["x509_ca"] > 0


@pytest.mark.parametrize(("content", "reason"), [(None, "no such file"), ("x", "no certificates")])
def test_an_unusable_file(
    content: str | None, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    with pytest.raises(SetupError, match=rf"^AWS_CA_BUNDLE=.*ca\.pem: .*{reason}"):
        find_certificates()


def test_requests_trusts_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    with certificates_for_requests():
        assert os.environ["REQUESTS_CA_BUNDLE"] == certifi.where()
    assert "REQUESTS_CA_BUNDLE" not in os.environ
