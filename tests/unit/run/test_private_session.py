"""The folder and the token of a local Ray."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import _raylet

from raypipe.core.errors import SetupError
from raypipe.core.options import RayOptions
from raypipe.run.executors import ray_session as ray_session_module
from raypipe.run.executors.private_session import (
    CLOSED_PORTS,
    MODE,
    NO_METRICS,
    TOKEN,
    TOKEN_PATH,
    private_session,
    session_environment,
)
from raypipe.run.executors.ray_session import ray_session

authentication: Any = _raylet  # its type hints lack the classes


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Remove the settings of the developer; return the folder for temporary files."""
    for name in (MODE, TOKEN, TOKEN_PATH, "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("raypipe.run.executors.private_session.LONGEST_SOCKET", 1_000)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_each_session_has_a_folder_and_a_token_that_are_deleted(no_token: Path) -> None:
    tokens = set()
    for _ in range(2):
        with private_session(None) as session:
            file = Path(session.token_place)
            assert session.variables == {**NO_METRICS, MODE: "token", TOKEN_PATH: str(file)}
            assert file.parent == session.folder == Path(session.temp_dir).parent
            assert session.folder.parent == no_token
            assert (mode(session.folder), mode(file)) == (0o700, 0o600)
            tokens.add(file.read_text())
            with session_environment(session.variables):
                # Ray caches the token: without a reset it uses that of the last session.
                assert authentication.AuthenticationTokenLoader.instance().get_raw_token() == (
                    file.read_text()
                )
            Path(session.temp_dir).mkdir()
        assert (
            authentication.get_authentication_mode() == authentication.AuthenticationMode.DISABLED
        )
    assert len(tokens) == 2
    assert all(len(token) == 64 for token in tokens)
    assert list(no_token.iterdir()) == []
    assert MODE not in os.environ


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({TOKEN: "t" * 40}, TOKEN),
        ({MODE: "token", TOKEN: "t" * 40, TOKEN_PATH: "/run/token"}, TOKEN),
        ({TOKEN_PATH: "/run/token"}, "/run/token"),
    ],
)
def test_a_token_that_the_user_has_set_is_used(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], place: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with private_session(None) as session:
        assert session.variables == {**NO_METRICS, MODE: "token"}
        assert session.token_place == place
        assert list(session.folder.iterdir()) == []


def test_a_mode_that_the_user_has_set_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "disabled")
    with private_session(None) as session:
        assert (session.variables, session.token_place) == (NO_METRICS, "")
    monkeypatch.setenv(MODE, "TOKEN")
    with private_session(None) as session:
        assert session.token_place == str(session.folder / "token")


def test_only_the_port_of_the_agent_is_opened_for_metrics() -> None:
    with private_session(None, exports_metrics=True) as session:
        assert session.variables.keys() == {*CLOSED_PORTS, MODE, TOKEN_PATH}
    assert set(CLOSED_PORTS.values()) == {"-1"}
    with private_session(None) as session:
        assert session.variables["RAY_enable_metrics_collection"] == "0"


def test_the_token_in_the_home_folder_is_neither_used_nor_changed(tmp_path: Path) -> None:
    """Ray makes the file readable for all users."""
    file = tmp_path / "home" / ".ray" / "auth_token"
    file.parent.mkdir(parents=True)
    file.write_text("of the cluster")
    with private_session(None) as session:
        assert Path(session.token_place).read_text() != "of the cluster"
    assert file.read_text() == "of the cluster"


def test_a_given_folder_keeps_its_mode_and_the_logs(tmp_path: Path) -> None:
    given = tmp_path / "sessions"
    given.mkdir(mode=0o755)
    with private_session(str(given)) as session:
        assert session.folder.parent == given
        Path(session.temp_dir).mkdir()
        (Path(session.temp_dir) / "raylet.out").write_text("a line")
    assert mode(given) == 0o755
    assert [path.name for path in given.rglob("*") if path.is_file()] == ["raylet.out"]
    assert mode(session.folder) == 0o700


def test_sockets_of_a_long_path(monkeypatch: pytest.MonkeyPatch, no_token: Path) -> None:
    monkeypatch.setattr("raypipe.run.executors.private_session.LONGEST_SOCKET", 103)
    long = no_token / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with private_session(None) as session:
        assert session.folder.parent == Path("/tmp")
    assert not session.folder.exists()
    with pytest.raises(SetupError, match=r"ray\.temp_dir=.* must be shorter by \d+ characters"):
        private_session(str(long)).__enter__()


def test_a_folder_that_cannot_be_created_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        SetupError, match=r"cannot create a folder for Ray at .*/file.*ray\.temp_dir"
    ):
        private_session(str(tmp_path / "file")).__enter__()


@pytest.mark.parametrize("starts", [True, False])
def test_only_ray_gets_the_variables(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    no_token: Path,
    starts: bool,
) -> None:
    seen: dict[str, str] = {}

    def init(**arguments: Any) -> SimpleNamespace:
        seen.update({name: os.environ[name] for name in (MODE, TOKEN_PATH)})
        assert Path(arguments["_temp_dir"]).parent == Path(seen[TOKEN_PATH]).parent
        if not starts:
            raise RuntimeError("no room")
        return SimpleNamespace(dashboard_url="127.0.0.1:8265")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_session_module, "available_cpus", lambda options: 2.0)
    caplog.set_level(logging.INFO)
    try:
        with ray_session(RayOptions()):
            assert MODE not in os.environ
            assert TOKEN_PATH not in os.environ
            assert Path(seen[TOKEN_PATH]).is_file()
            assert caplog.messages == [
                "Ray's dashboard is at http://127.0.0.1:8265 and asks for the token in "
                + seen[TOKEN_PATH]
            ]
    except SetupError:
        assert not starts
    assert seen[MODE] == "token"
    assert list(no_token.iterdir()) == []
    assert not {MODE, TOKEN_PATH} & set(os.environ)
