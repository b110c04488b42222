"""Whole runs on a Ray cluster of two nodes, books and state on S3, a real OpenSearch."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.raypipe_command import PARTS, Project, check_balance, wait_for
from tests.integration.s3_server import CountingS3Server
from tests.slow.ray_head import AWS
from tests.slow.two_node_cluster import TwoNodes, two_nodes

BOOKS = 200
LEAST_SHARE = 0.2
WORKERS = 4
BOOK_S = 0.05


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    """Start a cluster for all tests here; the last one may remove a node."""
    with two_nodes() as started:
        yield started


@pytest.fixture
def args(
    project: Project, s3: CountingS3Server, nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Return the options of a run over 200 books in a bucket, on the cluster."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    s3.create_bucket(project.index)
    for number in range(BOOKS):
        text = f"The tale of number {number} begins. It goes on for a while. It ends here. " * 20
        s3.put_object(project.index, f"books/Tale_{number:03d}__by__Author.txt", text.encode())
    store = [
        *s3.options(project.index),
        "storage.anonymous=false",
        "storage.prefix=books/",
        f"storage._target_={PARTS}.JournalingS3Source",
        f"+storage.journal={project.journal.folder}",
    ]
    return project.options_without_source(
        *store,
        "ray=cluster",
        f"ray.address={nodes.address}",
        f"state.uri=s3://{project.index}/state",
        "stages.summarize.books_per_task=4",
        f"stages.summarize.workers={WORKERS}",
        # Two hundred of these books are less work than to start a worker: a node whose workers
        # start some seconds sooner would do them all. So each book takes its time, as it does
        # with a model, and none is read before all workers have come.
        f"+summarizer.seconds={BOOK_S}",
    )


def documents(project: Project) -> list[dict[str, Any]]:
    client = project.client()
    client.indices.refresh(index=project.index)
    hits = client.search(index=project.index, size=1000)["hits"]["hits"]
    return [hit["_source"] for hit in hits]


def started(project: Project, args: list[str]) -> subprocess.Popen[str]:
    """Start a run; returns when each worker has come to its first book and may read it."""
    project.journal.hold("read", 0)
    process = project.start("run", *args)
    wait_for(lambda: project.journal.count_waiting("read") >= WORKERS or process.poll() is not None)
    assert process.poll() is None, project.stderr()
    project.journal.release("read")
    return process


def test_both_nodes_do_their_share(project: Project, args: list[str], nodes: TwoNodes) -> None:
    process = started(project, args)
    project.wait_for_exit(process, 0)
    record = json.loads(project.stdout())
    check_balance(record)
    assert (record["indexed"], record["failed"], record["left"]) == (BOOKS, 0, 0)
    done = Counter(one["node_id"] for one in documents(project))
    assert set(done) == set(nodes.node_ids)
    assert min(done.values()) >= LEAST_SHARE * BOOKS, done
    assert sum(done.values()) == BOOKS


def test_a_node_is_lost_half_way(project: Project, args: list[str], nodes: TwoNodes) -> None:
    project.journal.hold("summarize", BOOKS // 2)
    process = started(project, args)
    wait_for(lambda: project.journal.count_waiting("summarize") or process.poll() is not None)
    assert process.poll() is None, project.stderr()
    # What the node did and nobody wrote yet goes with it, and is done anew on the other.
    both = set(nodes.node_ids)
    wait_for(
        lambda: {one["node_id"] for one in documents(project)} == both or process.poll() is not None
    )
    nodes.remove_second()
    project.journal.release("summarize")
    project.wait_for_exit(process, 0)
    record = json.loads(project.stdout())
    check_balance(record)
    assert (record["indexed"], record["failed"], record["left"]) == (BOOKS, 0, 0)
    kept = documents(project)
    assert len({one["key"] for one in kept}) == len(kept) == BOOKS
    assert {one["node_id"] for one in kept} == set(nodes.node_ids), "what was done stays"
