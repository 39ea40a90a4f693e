"""Pages in a headless Chromium that can reach nothing but this machine, driven by its DevTools protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DevTools = Callable[..., Any]
"""Calls a method of the protocol on the page, with the method's name and its parameters."""


@contextmanager
def browser(url: str, folder: Path, window: str = "1280,720", options: str = "") -> Iterator[DevTools]:
    """Calls of the DevTools protocol to a headless Chromium that has opened the page."""
    pytest.importorskip("websockets", reason="browsers are driven through WebSockets: the extra `stream`")
    from websockets.sync.client import connect

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium on PATH to open the page with")
        pytest.skip("no Chromium on PATH to open the page with")
    chosen = (
        "--headless --no-sandbox --enable-unsafe-swiftshader --use-angle=swiftshader --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage "
        "--proxy-server=127.0.0.1:9 --proxy-bypass-list=127.0.0.1 --remote-debugging-port=0 "
        f"--window-size={window} {options}"
    )
    profile = folder / "profile"
    process = subprocess.Popen(
        [program, *chosen.split(), f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port_file = profile / "DevToolsActivePort"
        wait_until(lambda: port_file.exists() and len(port_file.read_text().split()) == 2, "its port")
        port, path = port_file.read_text().split()
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as connection:
            count = 0

            def call(method: str, session: str | None = None, **parameters: Any) -> Any:
                nonlocal count
                count += 1
                message = {"id": count, "method": method, "params": parameters}
                connection.send(json.dumps(message | ({"sessionId": session} if session else {})))
                while True:
                    answer = json.loads(connection.recv(120))
                    if answer.get("id") == count:
                        return answer["result"]

            target = call("Target.createTarget", url=url)["targetId"]
            session = call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            yield lambda method, **parameters: call(method, session, **parameters)
    finally:
        process.kill()
        process.wait(30)


def evaluate(devtools: DevTools, expression: str) -> Any:
    """The value of an expression in the page, or what it promises."""
    answer = devtools("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return answer["result"].get("value")


def wait_until(met: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Returns once `met()` is true, or fails."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if met():
            return
        time.sleep(0.1)
    raise AssertionError(f"the page never showed {what}")


def run_page(page: Path, folder: Path, script: str, window: str = "1280,720", options: str = "") -> dict[str, Any]:
    """What a script, the body of an async function, puts into `report` in a viewer page that begins at frame 0."""
    with browser(f"{page.as_uri()}#frame=0", folder, window, options) as devtools:
        wait_until(lambda: bool(evaluate(devtools, "!!window.olift")), "itself")
        report = evaluate(devtools, f"(async () => {{ const report = {{}};\n{script}\nreturn report; }})()")
        assert isinstance(report, dict)
        return report
