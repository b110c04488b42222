import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

from raypipe.core.per_process import PerProcess, cached_per_process


def test_threads_that_ask_at_the_same_time_get_the_same_object() -> None:
    created: list[str] = []
    barrier = threading.Barrier(8)

    @cached_per_process()
    def create(name: str) -> object:
        created.append(name)
        return object()

    def ask(name: str) -> object:
        barrier.wait()
        return create(name)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, ["one", "two"] * 4))
    assert len(found) == 2
    assert sorted(created) == ["one", "two"]


def test_a_holder_creates_once_and_again_after_clear() -> None:
    holder: PerProcess[object] = PerProcess()
    first = holder.get(object)
    assert holder.get(object) is first
    holder.clear()
    assert holder.get(object) is not first


def test_a_pickled_holder_arrives_empty() -> None:
    holder: PerProcess[threading.Lock] = PerProcess()
    holder.get(threading.Lock)  # locks cannot be pickled
    arrived = pickle.loads(pickle.dumps(holder))
    assert arrived.get(lambda: "new") == "new"


def test_a_cached_factory_creates_again_after_its_cache_is_cleared() -> None:
    @cached_per_process()
    def create() -> object:
        return object()

    first = create()
    assert create() is first
    create.cache_clear()
    assert create() is not first
