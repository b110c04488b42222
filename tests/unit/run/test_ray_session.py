"""Starting Ray: errors are one line."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from raypipe.core.errors import SetupError
from raypipe.core.options import RayOptions
from raypipe.run.executors.ray_session import ray_session


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (Exception("The current node timed out during startup.\nMore."), SetupError),
        (RuntimeError("no room"), SetupError),
        (KeyError("a bug in raypipe"), KeyError),
    ],
)
def test_a_ray_that_does_not_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]
) -> None:
    def init(**_: Any) -> None:
        raise raised

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(expected) as caught, ray_session(RayOptions()):
        pass
    if expected is SetupError:
        first = str(raised).splitlines()[0]
        assert str(caught.value) == f"Ray at ray.address=local did not start: {first}"
