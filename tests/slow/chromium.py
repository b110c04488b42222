"""Drive headless Chromium by its DevTools protocol over a pipe: no driver, port or download."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_S = 120.0
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}
_FLAGS = (
    *("--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
    # Nothing outside this machine is reached, whatever a page or the browser wants.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-sandbox",  # root has no sandbox; the tests open their own pages only
)


def find_chromium() -> str | None:
    """Return the path of the system's Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """A tab of headless Chromium.

    Attributes:
        requests: URLs that were requested.
        errors: Errors and warnings of the console, and exceptions of scripts.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._buffer = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self._session = ""
        self.requests: list[str] = []
        self.errors: list[str] = []

    def open_tab(self) -> None:
        """Open the tab that all other methods use."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def go(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self._events.clear()
        self.call("Page.navigate", url=url)
        self.wait_until_loaded()

    def wait_until_loaded(self) -> None:
        """Wait until the page that is being opened is loaded."""
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive()
        self._events.clear()

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key of the keyboard: Tab, Enter or Escape."""
        code = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def type(self, text: str) -> None:
        """Type a text into the field that has the focus."""
        self.call("Input.insertText", text=text)

    def look(
        self, *, width: int, height: int = 900, dark: bool = False, pixel_ratio: float = 1
    ) -> None:
        """Set the size of the window, the light or dark scheme, and the pixels of a unit of CSS."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=pixel_ratio, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path, *, is_whole: bool = True) -> None:
        """Write the page as a PNG, the whole page or what the window shows of it."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def forbid_scripts(self, *, forbidden: bool = True) -> None:
        """Let pages be opened without JavaScript."""
        self.call("Emulation.setScriptExecutionDisabled", value=forbidden)

    def find_violations(self) -> list[str]:
        """Return the violations of the rules of accessibility that axe finds on the page."""
        self.evaluate(read_axe())
        result = self.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {node['html']} {node['failureSummary']}"
            for each in result["violations"]
            for node in each["nodes"]
        ]

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self._note(message)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        method, params = event["method"], event["params"]
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"]))


def read_axe() -> str:
    """Return the script of axe-core, from the package that has it inside."""
    spec = find_spec("axe_core_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@contextlib.contextmanager
def browse(folder: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile, and end it.

    Args:
        folder: An empty folder for the profile.
    """
    program = find_chromium()
    assert program is not None
    # Chromium reads from the file descriptor 3 and writes to 4; bash moves the pipes there.
    pairs = (os.pipe(), os.pipe())
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for pair in pairs for end in pair]
    for end in (*pairs[0], *pairs[1]):
        os.close(end)
    theirs_read, write, read, theirs_write = ends
    moved = f'exec "$@" 3<&{theirs_read} 4>&{theirs_write}'
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    process = subprocess.Popen(
        ["bash", "-c", moved, "bash", program, *_FLAGS, f"--user-data-dir={folder}/profile"],
        pass_fds=(theirs_read, theirs_write),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "stderr").open("w"),
        start_new_session=True,
    )
    os.close(theirs_read)
    os.close(theirs_write)
    try:
        browser = Browser(read, write)
        browser.open_tab()
        yield browser
        browser._session = ""
        browser.call("Browser.close")
        process.wait(30)
    finally:
        os.close(read)
        os.close(write)
        process.kill()
        process.wait()
