"""The clients of docs/streaming.md, in Python and JavaScript, as they stand there, with a running `olift stream`."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import browser, evaluate, wait_until
from page_blocks import ROOT, blocks

from .stream_client import Stream

PAGE = ROOT / "docs/streaming.md"
FRAMES = np.random.default_rng(0).uniform(100, 300, (20, 17, 2)).round(2).tolist()


@pytest.fixture(scope="module")
def stream() -> Iterator[Stream]:
    pytest.importorskip("websockets", reason="WebSockets need the extra `stream`")
    running = Stream("--skeleton", "coco_17", "--tcp", 0, "--websocket", 0, "--threads", 1)
    yield running
    running.stop()


@pytest.mark.slow
def test_python_client_gets_an_answer_for_each_frame(stream: Stream, capsys: pytest.CaptureFixture[str]) -> None:
    (client,) = (block.code for block in blocks(PAGE) if block.why_not == "needs the server")
    assert len([line for line in client.splitlines() if line.strip()]) <= 15
    frames = [*FRAMES, [[1.0, 2.0]]]
    exec(client.replace("5000", str(stream.port("tcp"))), {"tracker": lambda: frames})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in printed[:20]] == [str(number) for number in range(20)]
    assert all(len(json.loads(line.partition(" ")[2])) == 3 for line in printed[:20])
    assert printed[20].startswith("left out: ")


@pytest.mark.slow
@pytest.mark.browser
def test_javascript_client_gets_an_answer_for_each_frame(stream: Stream, tmp_path: Path) -> None:
    (client,) = re.findall(r"^```js\n([\s\S]*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    yours = f"""
        const frames = {json.dumps(FRAMES)};
        window.drawn = [];
        const onPose = (callback) => frames.forEach(callback);
        const draw = (joints) => window.drawn.push(joints);
    """
    script = yours + client.replace("8765", str(stream.port("websocket")))
    (tmp_path / "page.html").write_text(f"<!doctype html><script>{script}</script>", encoding="utf-8")
    with served(tmp_path) as address, browser(f"{address}/page.html", tmp_path) as devtools:
        wait_until(lambda: evaluate(devtools, "window.drawn ? window.drawn.length : 0") == 20, "20 answers")
        assert evaluate(devtools, "window.drawn.every((joints) => joints.length == 17 && joints[0].length == 3)")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on this machine."""
    handler: Any = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
