"""The presets in conf/scale/ share conf/base/scale.yaml, and fit a small machine."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from omegaconf import OmegaConf

from raypipe.cli.help_text.config_comments import included_files
from raypipe.config.build import read_options
from raypipe.core.options import RayOptions
from raypipe.core.stage_options import SCALES, Stages
from raypipe.run.machine import Machine
from raypipe.run.resources import LISTING_CPUS, check_resources, resolve_workers
from tests.unit.command_line import CONF, compose_command

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

PRESETS = sorted(path.stem for path in (CONF / "scale").glob("*.yaml"))


def read_stages(preset: str) -> Stages:
    stages: Stages = read_options(compose_command("run", f"scale={preset}")).stages
    return stages


def test_the_presets_are_those_that_the_code_knows() -> None:
    assert sorted(SCALES) == PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_only_values_that_differ_from_the_shared_file(preset: str) -> None:
    shared, own = (OmegaConf.load(path) for path in included_files(CONF / f"scale/{preset}.yaml"))
    assert shared == OmegaConf.load(CONF / "base" / "scale.yaml")
    base, changes = _flatten(shared.stages), _flatten(own.stages)
    assert {name for name, value in changes.items() if base[name] == value} == set()


def _flatten(node: Any, path: str = "") -> dict[str, object]:
    if not OmegaConf.is_dict(node):
        return {path: node}
    return {
        name: leaf for key in node for name, leaf in _flatten(node[key], f"{path}.{key}").items()
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_fits_two_cpus_with_all_its_writers(preset: str) -> None:
    sizes = resolve_workers(read_stages(preset), 2.0)
    summarize, embed = sizes.summarize, sizes.embed
    assert summarize.workers == 2
    assert summarize.num_cpus == 0.6
    reserved = LISTING_CPUS + 2 * 0.6 + (embed.workers or 1) * embed.num_cpus
    assert reserved + sizes.write.writers * sizes.write.num_cpus <= 2.0 + 1e-9


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_fits_two_cpus_and_4_gib_beside_an_opensearch(preset: str) -> None:
    sizes, max_books = read_stages(preset), SCALES[preset]
    machine = Machine(2.0, 4 * 1024**3, 4 * 1024**3)
    resolved = check_resources(
        sizes, RayOptions(), max_books or 100_000, "http://127.0.0.1:9200", machine
    )
    assert resolved.summarize.workers == 2


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_its_name_and_says_for_how_many_books_it_is(preset: str) -> None:
    assert read_stages(preset).preset == preset
    names = list(SCALES)
    smaller = names[: names.index(preset)]
    least = SCALES[smaller[-1]] if smaller else 1
    most = SCALES[preset]
    books = f"{least:,} to {most:,} books" if most else f"{least:,} books and more"
    assert f"# For {books}. " in (CONF / "scale" / f"{preset}.yaml").read_text()


def test_presets_grow_with_the_number_of_books() -> None:
    growing = [read_stages(preset) for preset in ("small", "medium", "large", "very_large")]
    assert len(growing) == len(PRESETS)
    for smaller, larger in itertools.pairwise(growing):
        assert smaller.summarize.books_per_task < larger.summarize.books_per_task
        assert smaller.summarize.bytes_per_task < larger.summarize.bytes_per_task
        assert smaller.write.tasks <= larger.write.tasks
