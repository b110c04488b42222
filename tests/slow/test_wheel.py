"""The wheel holds everything, and works where there is no checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import raypipe
from tests.integration.raypipe_command import ROOT
from tests.slow.installed_wheel import (
    check_a_run,
    check_composing_and_help,
    check_that_the_wheel_runs,
)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the scripts' folder of an environment that has raypipe from the wheel alone.

    A .pth file adds the packages of this environment. Python does not read the .pth files of a
    folder that is added like that, so an editable raypipe is not added.
    """
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    purelib = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    (Path(purelib) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install"]
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, str(wheel)], check=True)
    return home / "bin"


def test_the_wheel_holds_every_file_and_no_more(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    kinds = {
        *(".py", ".yaml", ".json", ".txt", ".lock", ".md", ".jar", ".java"),
        *(".html", ".css", ".svg"),
    }
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "raypipe").rglob("*")
        if path.suffix in kinds and "__pycache__" not in path.parts
    } | {f"raypipe/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert wanted - names == set()
    assert {name for name in names - wanted if not name.endswith((".gitattributes", ".typed"))} == (
        set()
    )
    for name in (
        "raypipe/conf/run.yaml",
        "raypipe/embedded/opensearch.lock",
        "raypipe/metrics/files/grafana_dashboard.json",
        "raypipe/summarizers/common_english.txt",
        "raypipe/web/templates/search.html",
        "raypipe/embedded/samples/variants/nghtm10.txt",
        *(f"raypipe/web/{name}.css" for name in ("colors", "report", "serve")),
        "raypipe/web/report/templates/report.html",
    ):
        assert name in names


def test_the_wheels_metadata_names_the_program_and_the_extras(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    assert "raypipe = raypipe.cli.app:main" in archive.read(info["entry_points.txt"]).decode()
    metadata = archive.read(info["METADATA"]).decode()
    assert "Provides-Extra: embedded\n" in metadata
    assert "Requires-Python: <3.14,>=3.11\n" in metadata
    assert "LICENSE" in info
    assert f"\nVersion: {raypipe.__version__}\n" in metadata
    assert wheel.name == f"raypipe-{raypipe.__version__}-py3-none-any.whl"


def test_it_is_the_wheel_that_runs(installed: Path, empty: Path) -> None:
    check_that_the_wheel_runs(installed, empty)


def test_it_composes_and_helps_from_an_empty_folder(installed: Path, empty: Path) -> None:
    check_composing_and_help(installed, empty)


def test_a_real_run_from_an_empty_folder(installed: Path, empty: Path, books: Path) -> None:
    check_a_run(installed, empty, books)
