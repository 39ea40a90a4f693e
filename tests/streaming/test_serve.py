"""The live server as a Python user starts it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from offline import lifted_offline

from olift_fast import InputError, Lifter, LifterConfig, MissingExtraError, Skeleton, StreamingLifter
from olift_fast.model import Normalization
from olift_fast.streaming import Recording, serve_stream
from olift_fast.streaming.session import Event
from olift_fast.streaming.transports import TRANSPORTS, check_sources
from olift_fast.tracks.containers import KeypointTracks

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))
SCALE = Normalization(40.0)
DOCS = Path(__file__).resolve().parents[2] / "docs" / "streaming.md"


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(3)
    return Lifter(LifterConfig(width=16, heads=2, motion_layers=2, space_layers=1, window=(3, 2), frequencies=5)).eval()


def stream_of(lifter: Lifter) -> StreamingLifter:
    return StreamingLifter(lifter, SKELETON, frame="object", normalization=SCALE)


def keypoints(count: int) -> np.ndarray:
    return (300 + 40 * np.random.default_rng(0).standard_normal((count, 4, 2))).astype(np.float32)


def offline(lifter: Lifter, points: np.ndarray) -> np.ndarray:
    return lifted_offline(lifter, points, np.isfinite(points).all(axis=-1), SKELETON, SCALE)


@pytest.mark.parametrize("where", ["main thread", "another thread"])
def test_lines_from_a_pipe_are_answered_until_it_ends(lifter: Lifter, where: str) -> None:
    points, told, served = keypoints(20), [], []
    (source, write), (read, sink) = os.pipe(), os.pipe()
    os.write(write, b"".join(json.dumps({"keypoints": frame.tolist()}).encode() + b"\n" for frame in points))
    os.close(write)

    def serve() -> None:
        served.append(serve_stream(stream_of(lifter), {"stdin": source}, sink=sink, say=told.append))
        os.close(sink)

    if where == "main thread":
        serve()
    else:
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join(60)
    with open(read, "rb") as answers:
        lines = [json.loads(line) for line in answers]
    os.close(source)
    joints = np.float32([line["joints"] for line in lines[:-1]])
    np.testing.assert_allclose(joints, offline(lifter, points), rtol=1e-4, atol=1e-5)
    assert lines[-1] == {"end": "track_0", "frames": 20, "why": "gone"}
    assert served[0].signal is None and served[0].stats["results"] == 20
    assert len(told) == 1 and told[0].startswith("20 frames in, 20 out, 0 dropped, 0 bad lines in ")


@pytest.mark.parametrize("read", [False, True])
def test_stderr_that_nobody_reads_holds_nothing_up(lifter: Lifter, read: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    (source, write), (reading, errors) = os.pipe(), os.pipe()
    os.set_blocking(errors, False)
    if not read:
        with pytest.raises(BlockingIOError):
            while True:
                os.write(errors, b"x" * 4096)
    os.write(write, b"garbage\n" * 3)
    os.close(write)
    with open(errors, "w") as full:
        monkeypatch.setattr("sys.stderr", full)
        served = serve_stream(stream_of(lifter), {"stdin": source}, sink=None, say=lambda line: None, warn=told.append)
        monkeypatch.undo()
    os.close(source)
    os.close(reading)
    assert served.stats["bad_lines"] == 3 and len(told) == (3 if read else 0)


@pytest.mark.parametrize("interrupted", [False, True])
def test_signals_do_afterwards_what_they_did_before(lifter: Lifter, interrupted: bool) -> None:
    own, points = (lambda number, frame: None), keypoints(20)
    tracks = KeypointTracks(points[None], np.ones((1, 20, 4), np.float32), SKELETON, ("dog",), fps=25.0)
    handled = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, own) for number in handled}
    during: list[Any] = []

    def watch(event: Event) -> None:
        if interrupted and not during:
            signal.raise_signal(signal.SIGTERM)
        during.append(signal.getsignal(signal.SIGTERM))

    try:
        served = serve_stream(
            stream_of(lifter), {"replay": tracks}, fps=200, sink=None, watch=[watch], say=lambda line: None
        )
        after = [signal.getsignal(number) for number in handled]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert after == [own, own] and during[0] is not own
    assert served.signal == (signal.SIGTERM if interrupted else None)
    assert (during[-1] is own) == interrupted, "a second signal is the program's own"


def test_only_asyncios_lines_of_gone_clients_are_left_out(lifter: Lifter, caplog: pytest.LogCaptureFixture) -> None:
    logger, gone, news = logging.getLogger("asyncio"), "socket.send() raised exception.", "something else"
    tracks = KeypointTracks(keypoints(3)[None], np.ones((1, 3, 4), np.float32), SKELETON, ("dog",), fps=25.0)

    def watch(event: Event) -> None:
        logger.warning(gone)
        logger.warning(news)

    serve_stream(stream_of(lifter), {"replay": tracks}, fps=0, sink=None, watch=[watch], say=lambda line: None)
    assert set(caplog.messages) == {news}
    logger.warning(gone)
    assert caplog.messages[-1] == gone


def test_replay_is_watched_and_needs_no_sink(lifter: Lifter) -> None:
    points, recording = keypoints(20), Recording(SKELETON, frame="object")
    tracks = KeypointTracks(points[None], np.ones((1, 20, 4), np.float32), SKELETON, ("dog",), fps=25.0)
    served = serve_stream(
        stream_of(lifter), {"replay": tracks}, fps=0, sink=None, watch=[recording.add], say=lambda line: None
    )
    (result,) = recording.parts()
    np.testing.assert_allclose(result.joints[0], offline(lifter, points), rtol=1e-4, atol=1e-5)
    assert (result.tracks, result.fps, served.stats["frames"]) == (("dog",), 25.0, 20)


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        ({"pigeon": 1}, {}, "a source must be among replay, stdin, tcp, udp, websocket, got 'pigeon'"),
        ({}, {}, "sources must name at least one transport, got none"),
        ({"tcp": 1 << 16}, {}, "tcp must be a port, 0 … 65535, got 65536"),
        ({"stdin": 0, "udp": 0}, {}, "stdin is a source of its own"),
        ({"tcp": 0}, {"fps": -1}, "fps must be a number, 0 or more, got -1"),
        ({"tcp": 0}, {"queue": 0}, "queue must be >= 1, got 0"),
        ({"tcp": 0}, {"on_lag": "wait"}, "on_lag must be 'queue' or 'drop', got 'wait'"),
        ({"tcp": 0}, {"patience": 0}, "patience must be a positive number of seconds, got 0"),
        ({"tcp": 0}, {"host": "nowhere.invalid"}, "host must be an address .*, got 'nowhere.invalid': Name or service"),
        ({"udp": 0}, {"host": "nowhere.invalid"}, "host must be an address .*, got 'nowhere.invalid': Name or service"),
        ({"tcp": 0}, {"idle": 0}, "idle must be a positive number of seconds, got 0"),
    ],
)
def test_unusable_arguments(lifter: Lifter, sources: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        serve_stream(stream_of(lifter), sources, **options)


def test_option_is_named_where_the_command_line_asks() -> None:
    with pytest.raises(InputError, match="--udp must be a port, 0 … 65535, got -1"):
        check_sources({"udp": -1}, by_option=True)


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_sources({"tcp": 0})
    with pytest.raises(MissingExtraError, match=r"pip install 'olift-fast\[stream\]'"):
        check_sources({"websocket": 0})


@pytest.mark.slow
def test_sources_are_checked_without_torch() -> None:
    code = "import olift_fast.streaming.transports, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport.name)
def test_every_transport_is_documented(transport: Any) -> None:
    option = f"`{transport.option}`" if transport.option else "no option"
    extra = f" (extra `{transport.extra}`)" if transport.extra else ""
    row = f'| `"{transport.name}"` | {option} | {transport.takes} | {transport.description}{extra} |'
    assert row in DOCS.read_text(encoding="utf-8")
