"""Run the model server: the APIs of Bedrock and OpenAI with quotas, latency and faults.

Tests run `ModelServer` in a thread; `raypipe simulate` runs it as a command. It follows the
published API shapes of Amazon Bedrock's runtime and of OpenAI; its answers are extractive.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, TextIO, TypeVar

from raypipe.core.errors import SetupError
from raypipe.core.paths import expand_home
from raypipe.core.private_files import open_private
from raypipe.simulator.engine import Engine
from raypipe.simulator.http_connection import HttpConnection
from raypipe.simulator.options import ServerOptions
from raypipe.simulator.router import Router

LOOPBACK = "127.0.0.1"
_BACKLOG = 2_048
T = TypeVar("T")


class ModelServer:
    """A model server on the loopback interface, in a thread of this process.

    Use it as a context manager; `url` is set inside the context.

    Args:
        options: Options of the server; None for no latency, no limits, no faults, any free port.

    Raises:
        ValueError: A step of the fault script sets an option that cannot change.
        SetupError: On entering the context: the port is in use, or the log is not writable.
    """

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.options = options or ServerOptions()
        self.url = ""
        self._engine = Engine(self.options)
        self._connections: set[HttpConnection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._resources = ExitStack()

    def __enter__(self) -> ModelServer:
        """Start to listen."""
        self._thread.start()
        try:
            self._run(self._listen())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections, answered or not, and end the thread."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._resources.close()

    def stats(self) -> dict[str, Any]:
        """Return the counters, as GET /stats does."""
        return self._call(self._engine.report)

    def control(self, **changes: Mapping[str, Any]) -> None:
        """Change options, as POST /control does: `control(quota={"tokens_per_minute": 1000})`.

        Raises:
            ValueError: An option does not exist, or a value is out of its range.
        """
        self._call(lambda: self._engine.change(changes))

    def reset(self) -> None:
        """Reset counters, quotas and the fault script, as POST /reset does."""
        self._call(self._engine.reset)

    async def _listen(self) -> None:
        router = Router(self._engine, self._open_log())
        try:
            server = await self._loop.create_server(
                lambda: HttpConnection(router.handle, self._connections),
                LOOPBACK,
                self.options.port,
                backlog=_BACKLOG,
            )
        except OSError as error:
            raise SetupError(
                f"port={self.options.port} is not available: {error.strerror or error}. "
                "Choose another port, or port=0 for any free one."
            ) from None
        self._resources.callback(server.close)
        self.url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"

    def _open_log(self) -> TextIO | None:
        if self.options.log is None:
            return None
        try:
            # Line buffering, so that a server that is killed leaves complete lines.
            file = open(  # noqa: SIM115
                expand_home(self.options.log, "log"),
                "a",
                buffering=1,
                encoding="utf-8",
                opener=open_private,
            )
        except OSError as error:
            raise SetupError(
                f"log={self.options.log} is not writable: {error.strerror}. Choose another file."
            ) from None
        return self._resources.enter_context(file)

    async def _close(self) -> None:
        self._resources.close()
        for connection in list(self._connections):
            connection.close()
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's event loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _call(self, function: Callable[[], T]) -> T:
        """Call a function on the server's event loop and wait for its result."""

        async def call() -> T:
            return function()

        return self._run(call())
