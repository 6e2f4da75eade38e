"""A real browser without a window, driven through the DevTools protocol over a pipe."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu-sandbox", "--no-first-run", "--disable-extensions"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars", "--remote-debugging-pipe"),
    *("--disable-background-networking", "--disable-component-update", "--no-default-browser-check"),
)


class Tab:
    """One page.

    Attributes:
        problems: Errors and warnings of its console, and what its scripts raised.
        requests: Addresses that it asked for.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._commands, self._answers, self._buffer, self._count = commands, answers, b"", 0
        self._session: str | None = None
        self._seen: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        wanted = self._count
        while True:
            found = self._read()
            if found.get("id") == wanted:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                result: dict[str, Any] = found["result"]
                return result

    def open(self, page: Path | str, fragment: str = "") -> None:
        """Loads a file and waits until the page says that it is drawn, or that it cannot be."""
        address = page.resolve().as_uri() if isinstance(page, Path) else page
        self.ask("Page.navigate", url=address + fragment)
        self.wait("document.documentElement.dataset.drawn === 'yes' || !document.getElementById('failure').hidden")

    def wait(self, condition: str) -> None:
        """Waits until an expression is true, at most a minute."""
        deadline = time.monotonic() + 60
        while not self._holds(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not true within 60 s: {condition}")
            time.sleep(0.05)

    def _holds(self, condition: str) -> bool:
        try:
            return bool(self.run(condition))
        except RuntimeError:  # the page that was asked is gone, or the next one has no such element yet
            return False

    def run(self, script: str) -> Any:
        """The value of an expression."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def resize(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Sets the size of the window and the theme."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drags the mouse."""
        (x0, y0), (x1, y1) = start, end
        steps = [(x0 + (x1 - x0) * i / 8, y0 + (y1 - y0) * i / 8) for i in range(9)]
        self._mouse("mouseMoved", start)
        self._mouse("mousePressed", start)
        for at in steps:
            self._mouse("mouseMoved", at, 1)
        self._mouse("mouseReleased", end)

    def screenshot(self, path: Path) -> None:
        """Writes the whole page as PNG."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _mouse(self, kind: str, at: tuple[float, float], buttons: int = 0) -> None:
        button = "none" if kind == "mouseMoved" else "left"
        self.ask("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button=button, buttons=buttons, clickCount=1)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise RuntimeError("the browser has ended")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        self._note(found.get("method", ""), found.get("params", {}))
        return found

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(told["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            if "GL Driver Message" not in told["entry"]["text"]:  # how fast the emulated graphics are
                self.problems.append(told["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.problems.append(json.dumps(told["args"])[:500])


@contextmanager
def browser() -> Iterator[Tab]:
    """A browser of its own with one page."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        theirs, ours = os.pipe()
        answers, told = os.pipe()
        # It reads commands from 3 and writes answers to 4; bash puts them there, through places above both.
        shell = 'exec 8<&"$0" 9>&"$1"; exec 3<&8 4>&9; shift; exec "$@"'
        process = subprocess.Popen(
            ["bash", "-c", shell, str(theirs), str(told), CHROMIUM, *_ARGUMENTS, f"--user-data-dir={profile}"],
            pass_fds=(theirs, told), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(told)
        try:
            yield Tab(ours, answers)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
            os.close(answers)
