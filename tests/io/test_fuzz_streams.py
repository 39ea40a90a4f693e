"""Damaged lines of live streams: seeds are taken, an input can be made again, the fuzzer sees what it looks for."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import judging_streams
import numpy as np
import pytest
from mutations import Input, make_input
from seeds import Seed
from seeds_of_lines import JOINTS, STREAMS, seeds_of_lines

from olift_fast.errors import InputError
from olift_fast.streaming.messages import End, FrameMessage, parse_line

FRAME = b'{"keypoints": [[1, 2], [3, 4], [5, 6], [7, 9]]}\n'


@pytest.fixture(scope="module")
def seeds() -> dict[str, list[Seed]]:
    pytest.importorskip("websockets", reason="WebSockets need the extra stream")
    return seeds_of_lines()


def outcome(content: bytes, format: str = "stream") -> Any:
    return judging_streams.take(format, Input("lines.jsonl", content, None, None, False, ""))


def test_seeds_are_taken_whole(seeds: dict[str, list[Seed]]) -> None:
    assert set(seeds) == set(STREAMS)
    for format, own in seeds.items():
        for seed in own:
            assert judging_streams.taken(format, seed.content)[1] == 0, (format, seed.name)


def test_inputs_are_the_same_each_time_and_differ(seeds: dict[str, list[Seed]]) -> None:
    for format in STREAMS:
        inputs = [make_input(3, format, number, seeds) for number in range(60)]
        assert inputs[::-1] == [make_input(3, format, number, seeds_of_lines()) for number in reversed(range(60))]
        assert len({made.content for made in inputs}) > 50


@pytest.mark.parametrize("format", STREAMS)
def test_bad_lines_are_refused_and_the_others_taken(seeds: dict[str, list[Seed]], format: str) -> None:
    found = outcome(FRAME + b"\xff\n{}\n\n" + FRAME + b"x" * 2**19 + b"\n" + FRAME[:-1], format)
    assert found.kind == "refused" and found.message == "3 lines", found


@pytest.mark.slow
def test_some_damaged_lines(tmp_path: Path) -> None:
    """A short run with a seed that stays; `make fuzz` runs longer, with another one each time."""
    pytest.importorskip("websockets", reason="WebSockets need the extra stream")
    formats = [word for format in STREAMS for word in ("--format", format)]
    command = [sys.executable, fuzz.__file__, "--seed", "1", "--inputs", "300", "--workers", "1", *formats]
    done = subprocess.run([*command, "--save", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "seed 1: " in done.stdout, done.stdout + done.stderr
    read, refused = (int(word) for word in re.findall(r"(\d+) (?:read|refused)", done.stdout)[-2:])
    assert read > 10 and refused > 100


def _raises(error: Exception) -> Callable[..., Any]:
    def parse(line: bytes, joints: int) -> Any:
        raise error

    return parse


def _slow(line: bytes, joints: int) -> Any:
    began = time.process_time()
    while time.process_time() - began < 0.7:
        pass
    return parse_line(line, joints)


def _infinite(line: bytes, joints: int) -> Any:
    return FrameMessage("dog", np.full((JOINTS, 2), np.inf, np.float32), np.ones(JOINTS, np.float32))


@pytest.mark.parametrize(
    ("parse", "message"),
    [
        (_raises(KeyError("t")), "KeyError: 't'"),
        (_raises(InputError("two\nlines")), "an error with control characters"),
        (_raises(InputError("\x1b[2J")), "an error with control characters"),
        (_raises(InputError("x" * 500)), "an error of 500 characters"),
        (_raises(InputError("")), "an error with control characters"),
        (_slow, r"\d lines took \d\.\d\d s"),
        (_infinite, "keypoints beyond the limit"),
        (lambda line, joints: End("\x1b"), r"a name '\\x1b'"),
    ],
)
def test_what_no_line_may_do_is_seen(monkeypatch: pytest.MonkeyPatch, parse: Callable[..., Any], message: str) -> None:
    monkeypatch.setattr(judging_streams, "parse_line", parse)
    found = outcome(FRAME)
    assert found.kind == "failed" and re.search(message, found.message), found


def test_what_the_handler_may_not_do_is_seen(seeds: dict[str, list[Seed]], monkeypatch: pytest.MonkeyPatch) -> None:
    from olift_fast.streaming.router import Router

    monkeypatch.setattr(judging_streams, "HANGS", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(Router, "stats", lambda self: {"seconds": "\x7f", "text": float("nan")})
        assert outcome(b'{"stats": true}\n', "websocket").kind == "failed"
    with monkeypatch.context() as patch:
        patch.setattr(Router, "wake", lambda self: None)
        assert re.search("the server hangs", outcome(FRAME, "websocket").message)
    assert outcome(FRAME, "websocket").kind == "read"


def test_failing_lines_are_saved_and_can_be_made_again(
    seeds: dict[str, list[Seed]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judging_streams, "parse_line", _raises(KeyError("t")))
    (tmp_path / "work").mkdir()
    fuzzer = fuzz.Fuzzer(5, {"stream": seeds["stream"]}, tmp_path / "work", tmp_path / "save")
    fuzzer.fuzz(1, 60, 20)
    (failure,) = fuzzer.failures.values()
    assert "KeyError" in failure["message"] and failure["count"] > 5
    for number in failure["numbers"]:
        saved = tmp_path / "save" / f"stream-5-{number}" / "lines.jsonl"
        assert saved.read_bytes() == make_input(5, "stream", number, fuzzer.seeds).content
    assert "FAILED --seed 5 --format stream --number" in capfd.readouterr().out
