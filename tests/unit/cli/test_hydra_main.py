from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra._internal.hydra import Hydra

from raypipe.cli.hydra_main import run_hydra
from raypipe.cli.prepare import prepare_arguments

pytestmark = pytest.mark.usefixtures("isolated_hydra")

READ_MODE = Hydra.get_mode  # the fixture replaces it


@pytest.mark.parametrize(("more", "times"), [([], 1), (["hydra.mode=RUN"], 2)])
def test_the_config_is_composed_once_unless_an_override_may_set_the_mode(
    more: list[str], times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compose, composed, tasks = Hydra.compose_config, [], []

    def count(self: Hydra, *args: Any, **kwargs: Any) -> Any:
        composed.append(args)
        return compose(self, *args, **kwargs)

    monkeypatch.setattr(Hydra, "compose_config", count)
    monkeypatch.setattr(Hydra, "get_mode", READ_MODE)
    merged = prepare_arguments("gc", ["output=json", *more], "none", None)
    run_hydra(merged, lambda cfg: tasks.append(cfg.output))
    assert (len(composed), tasks) == (times, ["json"])
    assert Hydra.get_mode is READ_MODE
