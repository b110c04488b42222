"""Create clients and models once per process, on first use, and leave them out of pickles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class CachedFactory(Generic[P, T]):
    """A factory whose results are cached by its arguments; see `cached_per_process`."""

    def __init__(self, create: Callable[P, T], max_size: int) -> None:
        update_wrapper(self, create)
        self._lock = threading.Lock()
        self._create = create
        self._max_size = max_size
        self._results: dict[Hashable, T] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the cached result for these arguments; call the factory if there is none."""
        key = (args, *sorted(kwargs.items())) if kwargs else args
        try:
            return self._results[key]  # without the lock, on which hundreds of threads would wait
        except KeyError:
            pass
        with self._lock:
            if key not in self._results:
                result = self._create(*args, **kwargs)
                if len(self._results) >= self._max_size:
                    del self._results[next(iter(self._results))]
                self._results[key] = result
            return self._results[key]

    def cache_clear(self) -> None:
        """Forget all results, as tests do that change the environment."""
        with self._lock:
            self._results.clear()


def cached_per_process(max_size: int = 8) -> Callable[[Callable[P, T]], CachedFactory[P, T]]:
    """Cache a factory's results by its arguments, one result per process.

    Unlike `functools.lru_cache`, two threads that ask at the same time get the same object.
    Use it for clients and models that depend on settings alone, such as boto3 clients.

    Args:
        max_size: Number of results to keep; the oldest is dropped.
    """

    def decorate(create: Callable[P, T]) -> CachedFactory[P, T]:
        return CachedFactory(create, max_size)

    return decorate


class PerProcess(Generic[T]):
    """Hold an object that belongs to one instance and one process, created on first use.

    A pickled holder arrives empty. Use it as a dataclass field with `default_factory=PerProcess`
    for objects with threads or sockets, such as the caller of a model.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: list[T] = []

    def get(self, create: Callable[[], T]) -> T:
        """Return the object; call `create` if there is none yet."""
        with self._lock:
            if not self._value:
                self._value.append(create())
            return self._value[0]

    def clear(self) -> None:
        """Forget the object; the next `get` creates a new one."""
        with self._lock:
            self._value.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle an empty holder."""
        return PerProcess, ()
