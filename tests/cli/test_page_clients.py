"""The clients of docs/streaming.md, in Python, C++ and JavaScript, with a running `olift stream`."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
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
def test_python_client_stays_in_step_when_an_idle_track_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """The line that tells of the end is no answer to the next frame."""
    (client,) = (block.code for block in blocks(PAGE) if block.why_not == "needs the server")
    running = Stream("--skeleton", "coco_17", "--tcp", 0, "--threads", 1, "--idle", 0.2)

    def tracker() -> Iterator[list[list[float]]]:
        yield from FRAMES[:3]
        time.sleep(1)
        yield from FRAMES[3:6]

    exec(client.replace("5000", str(running.port("tcp"))), {"tracker": tracker})
    running.stop()
    assert [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()] == ["0", "1", "2", "0", "1", "2"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client in C++, compiled."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    made = tmp_path_factory.mktemp("client") / "stream_client"
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", ROOT / "examples/stream_client.cpp", "-o", made]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return made


def asked_of(program: Path, port: int, frames: np.ndarray) -> subprocess.CompletedProcess[str]:
    """What the client prints for frames (T, J, 3), NaN where a joint was not found."""
    lines = "".join(" ".join(map(str, frame.ravel().tolist())) + "\n" for frame in frames)
    command = [str(program), "127.0.0.1", str(port)]
    return subprocess.run(command, input=lines, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_cpp_client_prints_the_joints_of_the_answers(stream: Stream, program: Path) -> None:
    """From the first frame, in which nothing is seen, on."""
    points = np.concatenate([FRAMES, np.full((20, 17, 1), 0.9)], axis=-1)
    points[0] = np.nan
    points[5:9, 3] = np.nan
    done = asked_of(program, stream.port("tcp"), points)
    assert done.returncode == 0 and re.search(r"^20 frames; an answer took [\d.]+ ms", done.stderr), done.stderr
    with socket.create_connection(("127.0.0.1", stream.port("tcp"))) as connection:
        given = [[None if np.isnan(point).any() else point for point in frame] for frame in points.tolist()]
        connection.sendall("".join(json.dumps({"keypoints": frame}) + "\n" for frame in given).encode())
        lines = connection.makefile(encoding="utf-8")
        wanted = [json.loads(next(lines))["joints"] for _ in points]
    assert wanted[0] is None and all(wanted[1:])
    found = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert found == [[] if joints is None else np.ravel(joints).tolist() for joints in wanted]


@pytest.mark.slow
def test_what_the_cpp_client_cant_do_is_told_in_one_line(stream: Stream, program: Path) -> None:
    port = stream.port("tcp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = free.getsockname()[1]
    for wrong, frames, told in (
        (port, np.ones((1, 2, 3)), "must be 17 points"),
        (port, np.ones((1, 1, 2)), "wanted x, y and confidence of each joint, got 2 numbers"),
        (nobody, np.ones((1, 17, 3)), f"no stream at 127.0.0.1 {nobody}"),
    ):
        done = asked_of(program, wrong, frames)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr and done.stderr.startswith("stream_client: ") and done.stderr.count("\n") == 1


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
