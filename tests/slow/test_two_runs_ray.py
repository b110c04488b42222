"""Two runs at once on Ray: in two local Rays, in one local Ray, and on one cluster."""

from __future__ import annotations

import pytest

from raypipe.run.executors import ray_session
from tests.integration.raypipe_command import PARTS, Project
from tests.integration.s3_server import CountingS3Server
from tests.integration.test_two_runs import (
    SHELVES,
    check_apart,
    run_both,
    run_in_threads,
    shelf_options,
    write_shelves,
)
from tests.slow.ray_head import AWS
from tests.slow.two_node_cluster import two_nodes


@pytest.fixture
def on_ray(project: Project) -> Project:
    write_shelves(project)
    project.executor = "ray"
    return project


def test_two_rays_on_one_machine(on_ray: Project) -> None:
    check_apart(on_ray, run_both(on_ray))


def test_two_threads_share_a_ray(on_ray: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that has started Ray may end first."""
    import ray

    ray.shutdown()  # other tests of this process share a session
    monkeypatch.setattr(ray_session, "_runs", ray_session._Runs())
    on_ray.journal.hold("summarize", 0)
    check_apart(on_ray, run_in_threads(on_ray))
    assert not ray.is_initialized(), "the last run ends it"


def test_two_runs_on_a_cluster(
    on_ray: Project, s3: CountingS3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    s3.create_bucket(on_ray.index)
    for shelf in SHELVES:
        for book in (on_ray.folder / shelf).iterdir():
            s3.put_object(on_ray.index, f"{shelf}/{book.name}", book.read_bytes())
    with two_nodes() as nodes:

        def options(project: Project, shelf: str) -> list[str]:
            local = shelf_options(project, shelf)
            kept = [arg for arg in local if not arg.startswith(("storage", "+storage", "state"))]
            return [
                *kept,
                *s3.options(project.index),
                "storage.anonymous=false",
                f"storage.prefix={shelf}/",
                f"storage._target_={PARTS}.JournalingS3Source",
                f"+storage.journal={project.journal.folder}",
                f"state.uri=s3://{project.index}/state-{shelf}",
                "ray=cluster",
                f"ray.address={nodes.address}",
            ]

        check_apart(on_ray, run_both(on_ray, options))
