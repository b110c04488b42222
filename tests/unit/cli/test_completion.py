"""Tab completion: raypipe's answers to the shell, and the shell's own function."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raypipe.cli.help_text.program import COMMANDS

ROOT = Path(__file__).parents[3]


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


def ask_completions(
    environment: dict[str, str], line: str, *, point: int | None = None
) -> list[str]:
    """Return the completions of a line; raypipe must print nothing else."""
    cursor = len(line) if point is None else point
    done = subprocess.run(
        ["raypipe", "-sc", "query=bash"],
        env={**environment, "COMP_LINE": line, "COMP_POINT": str(cursor)},
        cwd=environment["HOME"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "completions"),
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
        # a group of another command, an unfinished value, an unknown choice
        ("raypipe up scale", []),
        ("raypipe run limit=[ sto", []),
        ("raypipe run storage=nosuch storage.", []),
    ],
)
def test_completions_of_a_line(
    environment: dict[str, str], line: str, completions: list[str]
) -> None:
    assert ask_completions(environment, line) == completions


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("raypipe run pro", ["profile=", "prompts.", "prompts="]),
        ("raypipe run profile=", ["profile=prod", "profile=trial"]),
        ("raypipe run profile=p", ["profile=prod"]),
        ("raypipe run storage.bu", ["storage.bucket="]),
        ("raypipe run storage=local storage.bu", []),
        ("raypipe run profile=trial storage.pat", ["storage.path="]),
        ("raypipe run --settings none storage.pref", ["storage.prefix="]),
        ("raypipe run --settings other.yaml storage.pat", ["storage.path="]),
        ("raypipe run --settings broken.yaml storage.pref", ["storage.prefix="]),
        ("raypipe run --sett", ["--settings"]),
        ("raypipe settings ga", []),
        ("raypipe settings gc sto", ["storage.", "storage="]),
        ("raypipe settings out", ["output="]),
        ("raypipe init fo", ["force="]),
    ],
)
def test_completions_beside_a_settings_file(
    environment: dict[str, str], line: str, completions: list[str]
) -> None:
    folder = Path(environment["HOME"])
    (folder / "raypipe.yaml").write_text(
        "storage: s3\nprofiles:\n  prod: {}\n  trial: {storage: local}\n"
    )
    (folder / "other.yaml").write_text("storage: local\n")
    (folder / "broken.yaml").write_text("storage: [\n")
    assert ask_completions(environment, line) == completions


def test_words_after_the_cursor_do_not_matter(environment: dict[str, str]) -> None:
    line, cursor = "raypipe ver limit=3", len("raypipe ver")
    assert ask_completions(environment, line, point=cursor) == ["verify"]


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["raypipe", "sea"], ["search"]),
        (["raypipe", "run", "summarizer=e"], ["summarizer=extractive"]),
        (["raypipe", "run", "storage=s3", "storage.buc"], ["storage.bucket="]),
    ],
)
def test_the_bash_function_completes(
    environment: dict[str, str], words: list[str], completions: list[str]
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
    assert done.stdout.split() == completions


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_install_and_uninstall_print_a_shell_function(
    environment: dict[str, str], shell: str
) -> None:
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
def test_a_wrong_request_gives_one_line_with_the_fix(
    environment: dict[str, str], args: list[str]
) -> None:
    done = subprocess.run(["raypipe", *args], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert 'eval "$(raypipe -sc install=bash)"' in done.stderr
