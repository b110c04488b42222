"""How much of a quota is used, and how few calls are refused: the real thing, on a real clock.

    python tests/benchmarks/bench_quota.py [--tokens 1000000] [--seconds 240] [--step 100]

The quota's actor on Ray, two worker processes that make Converse calls with boto3 as a run's
workers do, and two model servers that count their quota as Bedrock does, their buckets empty at
first and 5 s deep. On one the quota stays as it is; on the other it is halved for a while. Calls
have 2,000 to 12,000 tokens, lognormal, as are their latencies around 2 s; there is always a next
one. Settled and refused are read from the servers' logs, from the first call that was let in: what
is settled later does not count. Both at the same time, about 320 s. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import CREDENTIALS, Server, log_of, server  # noqa: E402

from raypipe.core.errors import BookLeftError  # noqa: E402
from raypipe.core.options import BudgetOptions, QuotaOptions, RayOptions  # noqa: E402
from raypipe.models.bedrock import BedrockChat  # noqa: E402
from raypipe.models.calling.caller import ModelCaller  # noqa: E402
from raypipe.models.calling.model_calls import chat_call  # noqa: E402
from raypipe.models.context import ModelContext  # noqa: E402
from raypipe.models.protocol import Question  # noqa: E402
from raypipe.quota.actor import RemoteQuotaClient, RunRegistration, broker_for  # noqa: E402
from raypipe.quota.prices import Price  # noqa: E402
from raypipe.run.executors.ray_session import ray_session  # noqa: E402

MODEL = "us.amazon.nova-lite-v1:0"
WORKERS = 2
THREADS = 24  # of each worker: as many calls as there are wait for the quota, whatever it is
REACH, THROTTLED = 0.97, 0.005
STEP_REACH, STEP_THROTTLED = 0.93, 0.02
SLACK_S = 15.0
"""What a run is longer than what is measured: the start, and calls that are settled too late."""


class Worker:
    """One process that calls a model."""

    def __init__(self, client: RemoteQuotaClient, url: str, seed: int) -> None:
        self._model = BedrockChat(MODEL, "us-east-1", None, url)
        context = ModelContext(None, {self._model.pool: client}, THREADS)
        self._caller = ModelCaller(context, self._model.pool)
        self._random = random.Random(seed)
        samples = ROOT / "raypipe" / "embedded" / "samples"
        self._text = " ".join(path.read_text("utf-8") for path in sorted(samples.glob("*.txt")))

    def work(self) -> int:
        """Make one call after another in each thread until a stop; returns how many."""
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(lambda _: self._calls(), range(THREADS)))

    def _calls(self) -> int:
        made = 0
        while True:
            call = chat_call(
                self._model, self._question(), lambda _: False, self._caller.token_estimate
            )
            try:
                self._caller.submit("bench", call).result()
            except BookLeftError:
                return made
            made += 1

    def _question(self) -> Question:
        """Return a question of its own, with an answer of 30 to 80 % of the most."""
        rnd = self._random
        tokens = int(min(12_000, max(2_000, rnd.lognormvariate(log(5_000), 0.45))))
        most = rnd.randint(500, 1_500)
        words = int(most * rnd.uniform(0.3, 0.8) / 1.2)  # English has about so many tokens a word
        at = rnd.randrange(len(self._text) - 4 * tokens)
        text = self._text[at : at + 4 * tokens]
        ask = f"Summarize in at most {words} words.\n<book>\n{rnd.random()} {text}\n</book>"
        return Question("You summarize books.", ask, most)


@dataclass(frozen=True)
class Case:
    """A quota and how it changes.

    Args:
        name: What figures are named by.
        tokens: Tokens a minute.
        seconds: How long it is measured, from the first call that is let in.
        halved: From when to when the quota is a half; None = never.
    """

    name: str
    tokens: int
    seconds: float
    halved: tuple[float, float] | None = None

    def integral(self) -> float:
        """Return the tokens that the quota lets through in that time."""
        began, ended = self.halved or (0.0, 0.0)
        return self.tokens / 60 * (self.seconds - (ended - began) / 2)


def play(case: Case, folder: Path) -> list[dict[str, Any]]:
    """Run a case; returns the server's log."""
    import ray

    calls = folder / f"{case.name}.jsonl"
    quota = [f"quota.tokens_per_minute={case.tokens}", "quota.capacity_s=5", "quota.start_level=0"]
    with server(*quota, "latency.base_s=2", "latency.sigma=0.4", f"log={calls}") as at:
        options = QuotaOptions(tokens_per_minute=case.tokens)
        registration = RunRegistration(case.name, Price(0.06, 0.24), BudgetOptions())
        client = broker_for(f"bench-{case.name}", options, registration)
        actor: Any = ray.remote
        made = actor(num_cpus=0.1)(Worker)
        workers = [made.remote(client, at.url, seed) for seed in range(WORKERS)]
        done = [worker.work.remote() for worker in workers]
        _watch(case, at, client)
        client.stop("the time is over")
        say(f"{case.name}: {sum(ray.get(done))} calls answered")
        say(f"{case.name}: {client.totals()}")
    return log_of(calls)


def _watch(case: Case, at: Server, client: RemoteQuotaClient) -> None:
    """Wait for the first call, change the quota when it is time, and tell how it goes."""
    while not at.stats()["admitted"]:
        time.sleep(0.1)
    first = time.time()
    changes = {} if case.halved is None else dict(zip(case.halved, (0.5, 1.0), strict=True))
    told = 0.0
    while (passed := time.time() - first) < case.seconds + SLACK_S:
        for when in [when for when in changes if when <= passed]:
            tokens = int(case.tokens * changes.pop(when))
            at.control(quota={"tokens_per_minute": tokens})
        if passed >= told:
            told += 30
            now, rate = at.stats(), client.totals().tokens_per_minute
            say(
                f"{case.name}: {passed:.0f} s, {now['admitted']} let in, {now['throttled']} "
                f"refused, used {now['utilization']}, tried {rate or 0:,.0f} a minute"
            )
        time.sleep(0.1)


def measure(
    report: Report, case: Case, calls: Sequence[dict[str, Any]], reach: float, throttled: float
) -> None:
    """Record the figures of a case."""
    first = min(call["sent_at"] for call in calls if call["status"] == 200)
    offered = [call for call in calls if call["sent_at"] <= first + case.seconds]
    refused = sum(call["status"] == 429 for call in offered)
    settled = sum(
        call["input_tokens"] + call["output_tokens"]
        for call in calls
        if call["status"] == 200 and call["answered_at"] <= first + case.seconds
    )
    report.note(f"{case.name}_calls", len(offered))
    report.note(f"{case.name}_refused", refused)
    report.at_least(f"{case.name}_settled_share_of_quota", settled / case.integral(), reach)
    report.at_most(f"{case.name}_refused_share_of_calls", refused / len(offered), throttled)


def main() -> None:
    """Run both cases and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1_000_000, help="a minute")
    parser.add_argument("--seconds", type=float, default=240.0, help="of the steady quota")
    parser.add_argument("--step", type=float, default=100.0, help="seconds full, half and full")
    given = parser.parse_args()
    os.environ.update(CREDENTIALS)
    report = Report("quota")
    steady = Case("steady", given.tokens, given.seconds)
    halved = Case("halved", given.tokens, 3 * given.step, (given.step, 2 * given.step))
    logs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        options = RayOptions(num_cpus=2, dashboard=False, object_store_mb=100)
        with ray_session(options):
            threads = [
                threading.Thread(
                    target=lambda case=case: logs.update({case.name: play(case, Path(name))})
                )
                for case in (steady, halved)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    measure(report, steady, logs["steady"], REACH, THROTTLED)
    measure(report, halved, logs["halved"], STEP_REACH, STEP_THROTTLED)
    report.finish()


if __name__ == "__main__":
    main()
