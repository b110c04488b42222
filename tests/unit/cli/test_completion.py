"""Tab completion, as the shell asks for it and as its own function answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raypipe.cli.app import COMMANDS
from raypipe.config import build as config

ROOT = Path(config.__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose PATH begins with this checkout's `raypipe`."""
    script = tmp_path / "bin" / "raypipe"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from raypipe.cli.app import main\nmain()\n"
    )
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def asked(environment: dict[str, str], line: str, *, point: int | None = None) -> list[str]:
    """Return what raypipe offers for a line; it must say nothing else."""
    at = len(line) if point is None else point
    done = subprocess.run(
        ["raypipe", "-sc", "query=bash"],
        env={**environment, "COMP_LINE": line, "COMP_POINT": str(at)},
        cwd=environment["HOME"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("raypipe ", list(COMMANDS)),
        ("raypipe ver", ["verify"]),
        ("raypipe run stor", ["storage.", "storage="]),
        ("raypipe stor", ["storage.", "storage="]),  # no command word means run
        ("raypipe run storage=", ["storage=local", "storage=s3", "storage=samples"]),
        ("raypipe run storage=local storage.pa", ["storage.path="]),
        ("raypipe run stages.embed.w", ["stages.embed.workers="]),
        ("raypipe run -m embedder=hash,wordllama sca", ["scale="]),
        ('raypipe search "two old friends" emb', ["embedded.", "embedder.", "embedder="]),
        ("raypipe run --cf", ["--cfg"]),
        # a group that this command has not, half a line, a value that cannot be read
        ("raypipe up scale", []),
        ("raypipe run limit=[ sto", []),
        ("raypipe run storage=nosuch storage.", []),
    ],
)
def test_what_is_offered(environment: dict[str, str], line: str, offered: list[str]) -> None:
    assert asked(environment, line) == offered


def test_what_stands_behind_the_cursor_does_not_matter(environment: dict[str, str]) -> None:
    assert asked(environment, "raypipe ver limit=3", point=len("raypipe ver")) == ["verify"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["raypipe", "sea"], ["search"]),
        (["raypipe", "run", "summarizer=e"], ["summarizer=extractive"]),
        (["raypipe", "run", "storage=s3", "storage.buc"], ["storage.bucket="]),
    ],
)
def test_bashs_own_function_completes(
    environment: dict[str, str], words: list[str], offered: list[str]
) -> None:
    line = " ".join(words)
    script = f"""
        eval "$(raypipe -sc install=bash)"
        complete -p raypipe >&2
        COMP_LINE={line!r}; COMP_POINT={len(line)}; COMP_CWORD={len(words) - 1}
        hydra_bash_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        env=environment,
        cwd=environment["HOME"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-F hydra_bash_completion raypipe" in done.stderr
    assert done.stdout.split() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_installing_names_the_program(environment: dict[str, str], shell: str) -> None:
    for verb in ("install", "uninstall"):
        done = subprocess.run(
            ["raypipe", "-sc", f"{verb}={shell}"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert verb == "uninstall" or "raypipe" in done.stdout
        assert done.stderr == ""


@pytest.mark.parametrize("args", [["-sc"], ["-sc", "install=ksh"], ["run", "-sc", "x=bash"]])
def test_a_wrong_question_is_one_line_with_the_way_out(
    environment: dict[str, str], args: list[str]
) -> None:
    done = subprocess.run(["raypipe", *args], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert 'eval "$(raypipe -sc install=bash)"' in done.stderr
