"""A model server to test against: Bedrock and OpenAI over HTTP, with quotas, latency and faults.

`ModelServer` runs it in a thread of a test, `raypipe simulate` as a command. It follows the
published API shapes of Amazon Bedrock's runtime and of OpenAI; its answers are extractive.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar

from raypipe.embedded import EmbeddedError
from raypipe.embedded.ports import LOOPBACK
from raypipe.simulator.engine import Engine
from raypipe.simulator.http import Connection
from raypipe.simulator.options import ServerOptions
from raypipe.simulator.service import Service

_BACKLOG = 2_048
_T = TypeVar("_T")


class ModelServer:
    """A model server on the loopback interface, in a thread of this process.

    Args:
        options: What it is like; None = no latency, no limits, no faults, any free port.

    Raises:
        ValueError: A step of the script sets what cannot be set.
        EmbeddedError: On entering: the port is taken, or the log cannot be written.
    """

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.options = options or ServerOptions()
        self.url = ""
        self._engine = Engine(self.options)
        self._connections: set[Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._closing = ExitStack()

    def __enter__(self) -> ModelServer:
        """Listen."""
        self._thread.start()
        try:
            self._run(self._listen)
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
        """Close every connection, answered or not, and end the thread."""
        self._run(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._closing.close()

    def stats(self) -> dict[str, Any]:
        """Return what GET /stats returns."""
        return self._call(self._engine.report)

    def control(self, **changes: Mapping[str, Any]) -> None:
        """Change options, as POST /control does: `control(quota={"tokens_per_minute": 1000})`.

        Raises:
            ValueError: There is no such option, or the value is out of its range.
        """
        self._call(lambda: self._engine.change(changes))

    def reset(self) -> None:
        """Forget every call, as POST /reset does."""
        self._call(self._engine.reset)

    async def _listen(self) -> None:
        service = Service(self._engine, self._log())
        try:
            server = await self._loop.create_server(
                lambda: Connection(service.handle, self._connections),
                LOOPBACK,
                self.options.port,
                backlog=_BACKLOG,
            )
        except OSError as error:
            raise EmbeddedError(
                f"port={self.options.port} cannot be had ({error.strerror or error});"
                " choose another, or port=0 for any free one"
            ) from None
        self._closing.callback(server.close)
        self.url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"

    def _log(self) -> TextIO | None:
        if self.options.log is None:
            return None
        try:
            # Line by line, so that a server that is killed leaves whole lines.
            opened = Path(self.options.log).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise EmbeddedError(
                f"log={self.options.log} cannot be written: {error.strerror}"
            ) from None
        return self._closing.enter_context(opened)

    async def _close(self) -> None:
        self._closing.close()
        for connection in list(self._connections):
            connection.close()
        others = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _run(self, work: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result()

    def _call(self, work: Callable[[], _T]) -> _T:
        async def inside() -> _T:
            return work()

        return asyncio.run_coroutine_threadsafe(inside(), self._loop).result()
