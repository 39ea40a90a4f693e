"""`olift stream` as a process of its own: what starts it, talks to it, and what its answers must be."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from offline import lifted_offline

from olift_fast import Lifter, Skeleton
from olift_fast.model import Normalization

JOINTS = ("nose", "left_paw", "right_paw", "tail")
RIG = Skeleton(JOINTS, ((0, 1), (0, 2), (0, 3)))
SCALE = 40.0
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "BROWSER": "true", "NO_COLOR": "1"}


class Stream:
    """A running `olift stream`; what it says on stderr is collected as it comes."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "olift_fast", "stream", *map(str, arguments)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT)
        self.told: list[str] = []
        self._reading = threading.Thread(target=self._read_errors, daemon=True)
        self._reading.start()

    def communicate(self, data: bytes, timeout: float = 120) -> list[dict[str, Any]]:
        """Sends all of it, and returns what comes until the end."""
        assert self.process.stdin and self.process.stdout
        sending = threading.Thread(target=self._send, args=(data,), daemon=True)
        sending.start()
        killer = threading.Timer(timeout, self.process.kill)
        killer.start()
        answers = [json.loads(line) for line in self.process.stdout]
        killer.cancel()
        self.process.wait(timeout)
        self._reading.join(10)
        return answers

    def port(self, kind: str) -> int:
        """Where it listens, once it does."""
        return int(self.wait_for(rf"listening on {kind} 127\.0\.0\.1:(\d+)")[1])

    def wait_for(self, pattern: str, timeout: float = 120) -> re.Match[str]:
        """A line on stderr."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for line in list(self.told):
                if match := re.search(pattern, line):
                    return match
            assert self.process.poll() is None or self._reading.is_alive(), f"it has ended: {self.told}"
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} was not told: {self.told}")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reading.join(10)
        return code

    def _send(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(data)
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def _read_errors(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.told.append(line.decode().rstrip("\n"))


@contextmanager
def streaming(model: str, rig: Path, *arguments: object) -> Iterator[Stream]:
    """`olift stream` in the object's frame at a known scale, so that it can be compared with lifting offline."""
    options = ("--skeleton", rig, "--model", model, "--frame", "object", "--scale", SCALE, "--threads", 1)
    stream = Stream(*options, *arguments)
    try:
        yield stream
    finally:
        if stream.process.poll() is None:
            stream.process.kill()
        stream.process.wait(30)


def keypoints(count: int, seed: int = 0) -> np.ndarray:
    """``(T, J, 3)`` x, y, confidence, as JSON gives them back; some are missing."""
    random = np.random.default_rng(seed)
    points = 300 + 40 * random.standard_normal((count, len(JOINTS), 3))
    points[..., 2] = random.random((count, len(JOINTS)))
    points[random.random((count, len(JOINTS))) < 0.1] = np.nan
    return points.round(3)


def line_of(points: np.ndarray, **more: object) -> bytes:
    """A frame ``(J, 3)`` as a line."""
    given = [None if np.isnan(point).any() else point for point in points.tolist()]
    return json.dumps({"keypoints": given, **more}).encode() + b"\n"


def offline(model: str, points: np.ndarray) -> np.ndarray:
    """What the whole recording ``(T, J, 3)`` gives at the same scale."""
    given = points.astype(np.float32)
    visible = np.isfinite(given).all(axis=-1) & (np.nan_to_num(given[..., 2]) >= np.float32(0.3))
    return lifted_offline(Lifter.from_pretrained(model), given[..., :2], visible, RIG, Normalization(SCALE))


def joints_of(answers: Iterable[dict[str, Any]], track: str = "track_0") -> np.ndarray:
    """``(T, J, 3)`` of a track, whose frames must all be there in order."""
    own = [answer for answer in answers if "joints" in answer and answer["track"] == track]
    assert [answer["frame"] for answer in own] == list(range(len(own)))
    nothing = np.full((len(JOINTS), 3), np.nan)
    return np.float32([nothing if answer["joints"] is None else answer["joints"] for answer in own])


def assert_lifted(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.shape == wanted.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    assert np.linalg.norm(np.nan_to_num(got - wanted)) <= 1e-5 * np.linalg.norm(np.nan_to_num(wanted))
