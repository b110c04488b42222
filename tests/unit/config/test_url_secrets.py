"""A password or token in a URL is refused at once, by a line that does not repeat it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import raypipe
from raypipe.core.errors import OptionError, SetupError
from raypipe.core.s3 import S3Connection
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.datasink import OpenSearchDatasink
from tests.unit.command_line import RunCommandLine, compose_command

SECRET = "hunter2"
URL = f"https://user:{SECRET}@host:9200"

OPTIONS = [
    (["run", "opensearch=self_managed", f"opensearch.endpoint={URL}"], "OPENSEARCH_PASSWORD"),
    (["run", f"opensearch.endpoint=user:{SECRET}@host:9200"], "OPENSEARCH_PASSWORD"),
    (["run", f"opensearch.endpoint='{URL}:nonsense'"], "OPENSEARCH_PASSWORD"),
    (["run", f"opensearch.endpoint='https://user:my {SECRET}@host'"], "OPENSEARCH_PASSWORD"),
    (["run", "storage=s3", f"storage.endpoint_url={URL}"], "AWS_SECRET_ACCESS_KEY"),
    (["run", f"state.uri=s3://key:{SECRET}@bucket/state"], "AWS_SECRET_ACCESS_KEY"),
    (["plan", "summarizer=openai", f"summarizer.model.base_url={URL}"], "OPENAI_API_KEY"),
    (["run", f"embedder.model.base_url=https://host/v1?api_key={SECRET}"], "OPENAI_API_KEY"),
    (["run", f"++summarizer.model.extra={{proxies:[http://me:{SECRET}@proxy]}}"], "environment"),
    (["index", f"--endpoint={URL}"], "environment"),
    (["search", "lighthouse", f"opensearch.endpoint={URL}"], "OPENSEARCH_PASSWORD"),
    (["settings", "run", f"opensearch.endpoint={URL}"], "OPENSEARCH_PASSWORD"),
    (["init", f"opensearch.endpoint={URL}"], "OPENSEARCH_PASSWORD"),
    (["run", "--help", f"opensearch.endpoint={URL}"], "OPENSEARCH_PASSWORD"),
    (["run", "--cfg", "job", f"opensearch.endpoint={URL}"], "OPENSEARCH_PASSWORD"),
    (["run", "-m", f"opensearch.endpoint=https://a,{URL}"], "OPENSEARCH_PASSWORD"),
    (["state", "copy", f"s3://key:{SECRET}@bucket/state", "copy"], "environment"),
    (["run", f"nosuch={URL}"], "environment"),
    (["run", f"limit={URL}"], "environment"),
    ([URL], "environment"),
    ([f"{URL}=3"], "environment"),
]


@pytest.mark.usefixtures("isolated_hydra", "no_services")
@pytest.mark.parametrize(("args", "fix"), OPTIONS)
def test_a_command_line_with_a_secret_is_refused(
    run_command_line: RunCommandLine, tmp_path: Path, args: list[str], fix: str
) -> None:
    code, out, err = run_command_line(*args)
    assert (code, out) == (2, "")
    assert SECRET not in err
    assert len(err.splitlines()) == 1
    assert "the URL contains a user name, password or token" in err
    assert fix in err
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.usefixtures("isolated_hydra", "no_services")
def test_secrets_in_a_settings_file_and_from_the_environment(
    run_command_line: RunCommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "raypipe.yaml"
    settings.write_text(f"storage:\n  endpoint_url: https://host?token={SECRET}\n")
    code, _, err = run_command_line("plan", "storage=s3", "storage.bucket=b")
    assert (code, SECRET in err) == (2, False)
    assert "raypipe.yaml:2" in err
    settings.unlink()
    monkeypatch.setenv("MY_URL", URL)
    endpoint = "opensearch.endpoint=${oc.env:MY_URL}"
    code, out, err = run_command_line("run", "opensearch=self_managed", endpoint)
    assert (code, out, SECRET in err) == (2, "", False)
    assert "opensearch.endpoint: the URL contains" in err
    own = tmp_path / "own" / "opensearch"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text(f"connection:\n  endpoint: {URL}\n")
    for more in ([], ["--help"]):
        code, out, err = run_command_line("run", "-cd", "own", "opensearch=mine", *more)
        assert (code, SECRET in out + err) == (2, False)
        assert "opensearch.connection.endpoint: the URL contains" in err


@pytest.mark.usefixtures("no_services")
def test_python_calls_with_a_secret_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    composed = compose_command("run", "opensearch=self_managed", "opensearch.endpoint=https://h")
    composed.opensearch.connection.endpoint = URL
    wrong_type: Any = OmegaConf.to_container(composed, resolve=False)
    wrong_type["limit"] = URL
    calls = [
        lambda: raypipe.run(opensearch="self_managed", opensearch__endpoint=URL, settings=False),
        lambda: raypipe.plan(overrides=[f"opensearch.endpoint={URL}"], settings=False),
        lambda: raypipe.run(composed, settings=False),
        lambda: raypipe.run(wrong_type, settings=False),
    ]
    for call in calls:
        with pytest.raises(OptionError) as caught:
            call()
        assert SECRET not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    "url",
    [
        URL,
        f"{URL}:nonsense",
        f"user:{SECRET}@host",
        f"https://u:a/{SECRET}@h",
        f"https://u:a {SECRET}@h",
    ],
)
def test_parts_refuse_secrets_by_themselves(url: str) -> None:
    makers = (
        lambda: Connection(url),
        lambda: OpenSearchDatasink(url, index="books"),
        lambda: S3Connection(endpoint_url=url),
    )
    for make in makers:
        with pytest.raises(ValueError, match="must not contain a user name") as caught:
            make()
        assert SECRET not in str(caught.value)


def test_a_token_in_the_place_of_its_kind_is_not_repeated() -> None:
    with pytest.raises(ValueError, match=r"connection\.token names how a token is sent") as caught:
        Connection("https://host", token=SECRET)
    assert SECRET not in str(caught.value)


def test_errors_never_show_a_url_with_a_login() -> None:
    for kind in (SetupError, OptionError):
        error = kind(f"cannot connect to proxy {URL}\nforged line")
        assert SECRET not in str(error)
        assert len(str(error).splitlines()) == 1
