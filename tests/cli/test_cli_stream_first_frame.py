"""`olift stream` answers a client's first frame, and says what that answer is worth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Run
from .stream_client import JOINTS, RIG, Stream, keypoints, line_of
from .test_cli_errors import assert_one_line

POINTS = np.nan_to_num(keypoints(1)[0], nan=300.0)
POINTS[:, 2] = 1
SLOW = [POINTS * (1 + 0.001 * t, 1, 1) for t in range(20)]
"""Frames that hardly change the scale."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rig") / "rig.json"
    path.write_text(json.dumps({"names": JOINTS, "edges": RIG.edges}))
    return path


@contextmanager
def talking(model: str, rig: Path, *options: object) -> Iterator[tuple[Stream, Callable[[bytes], dict[str, Any]]]]:
    """A stream, and what sends it a line and waits for the next answer."""
    stream = Stream("--skeleton", rig, "--model", model, "--latency-frames", 0, *options)
    stdin, stdout = stream.process.stdin, stream.process.stdout
    assert stdin and stdout

    def ask(line: bytes) -> dict[str, Any]:
        stdin.write(line)
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer

    try:
        yield stream, ask
    finally:
        stream.process.kill()
        stream.process.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--align", 30)])
def test_a_client_that_waits_for_each_answer_gets_one(
    random_model: str, rig: Path, options: tuple[object, ...]
) -> None:
    with talking(random_model, rig, *options) as (_, ask):
        answers = [ask(line_of(frame)) for frame in SLOW]
    assert [answer["frame"] for answer in answers] == list(range(20))
    assert [answer.get("provisional", False) for answer in answers] == [True] * 15 + [False] * 5
    assert all(np.isfinite(answer["joints"]).all() for answer in answers)


@pytest.mark.slow
def test_fit_frames_holds_results_back_and_stats_tell_so(random_model: str, rig: Path) -> None:
    asked = b'{"stats": true}\n'
    with talking(random_model, rig, "--fit-frames", 5) as (stream, ask):
        stats = ask(b"".join(map(line_of, SLOW[:4])) + asked)["stats"]
        for _ in range(50):  # they are read before they are lifted
            if stats["held"] == 4:
                break
            stats = ask(asked)["stats"]
        assert (stats["held"], stats["results"], stats["latency_ms"]) == (4, 0, None)
        answers = stream.communicate(line_of(SLOW[4]) + asked)
    assert [answer["frame"] for answer in answers if "joints" in answer] == list(range(5))
    assert not any(answer.get("provisional") for answer in answers)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--align", "0"], ["--align must be >= 1, got 0"]),
        (["--align", "30", "--frame", "object"], ["--align needs --frame camera, got object"]),
        (["--fit-frames", "0"], ["--fit-frames must be >= 1, got 0"]),
    ],
    ids=" ".join,
)
def test_bad_option_of_the_fit(run: Run, options: list[str], words: list[str]) -> None:
    assert_one_line(run("stream", "--skeleton", "coco_17", *options), *words)
