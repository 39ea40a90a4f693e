"""Takes damaged lines of a live stream in, and judges what happens: each gives a result or one error line, soon.

Nothing here opens a socket. Lines of "stream" go through `LineSplitter`, `parse_line` and `Session`; messages of
"websocket" as bytes through the transport's server, whose connection lies in memory, and a `Router` behind it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from judging import Judgment, Outcome, judged
from mutations import Input
from mutations_of_text import BYTES
from seeds import Content
from seeds_of_lines import JOINTS
from websocket_in_memory import converse, frames_of, unfit_frame

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter
from olift_fast.errors import InputError
from olift_fast.streaming.messages import (
    MAX_COORDINATE,
    MAX_LINE,
    MAX_NAME,
    End,
    FrameMessage,
    LineSplitter,
    ResultLines,
    StatsRequest,
    parse_line,
)
from olift_fast.streaming.router import Router
from olift_fast.streaming.session import Ended, Event, Lifted, Notice, Session

READ_SECONDS, LINE_SECONDS = 0.5, 0.01
"""The CPU time that what is read at once may take, and each of its lines more, with what is lifted because of it."""
LONGEST = 400
"""The most characters of an error line."""
TRACKS = 4
HANGS = 60.0
_ANSWERS = {"joints", "error", "warning", "end", "stats"}


class UnfitError(Exception):
    """Something came out that must not."""


def take(format: str, made: Input, base: int = 0) -> Outcome:
    """Takes an input of "stream" or "websocket" in, cut anywhere, and judges what comes out."""

    def taking() -> Judgment:
        _, refused = taken(format, made.content)
        return "refused" if refused else "read", f"{refused} lines", None

    return judged(taking, base=base)


def taken(format: str, content: Content) -> tuple[int, int]:
    """How many lines were taken and refused, or how many answers were none and errors.

    Raises:
        UnfitError: what came out must not.
        MissingExtraError: the transport's package is not installed.
    """
    assert isinstance(content, bytes)
    return _session(content) if format == "stream" else _websocket(content)


@cache
def stream() -> StreamingLifter:
    """A small untrained model, shared by all inputs."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, window=(3, 0), frequencies=5)
        lifter = Lifter(config).eval()
    joints = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))
    lifting = StreamingLifter(lifter, joints, tracks=TRACKS)
    lifting.warmup()
    return lifting


def _cut(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Pieces as they may come; where they are cut follows from the bytes."""
    draw = random.Random(zlib.crc32(data))
    size, place = draw.choice(sizes), 0
    while place < len(data):
        length = draw.randint(1, max(1, 2 * size))
        yield data[place : place + length]
        place += length


def _session(data: bytes) -> tuple[int, int]:
    """How many lines were taken and refused."""
    splitter, session, results = LineSplitter(), Session(stream()), ResultLines(JOINTS)
    counts = [0, 0]

    def lines() -> Iterator[list[bytes | None]]:
        for piece in _cut(data, (1, 7, 300, 1 << 16) if len(data) < 10_000 else (300, 1 << 16)):
            splitter.feed(piece)
            yield list(splitter.lines())
        splitter.feed(b"\n")
        yield list(splitter.lines())

    for together in lines():
        began, messages = time.process_time(), []
        for line in together:
            message = _message(line)
            counts[message is None] += 1
            if isinstance(message, FrameMessage | End):
                messages.append(("client", message))
        events = session.feed(messages, now=time.monotonic())
        _check_events(events, results)
        _check_seconds(time.process_time() - began, len(together))
    _check_events(session.close(), results)
    _check(not session.tracks, f"tracks that don't end: {session.tracks}")
    _check(session.frames == session.results, f"{session.frames} frames in, {session.results} out")
    return counts[0], counts[1]


def _message(line: bytes | None) -> FrameMessage | End | StatsRequest | str | None:
    """The message of a line; "" of a blank one, None of one that is refused."""
    if line is None:
        return None
    _check(len(line) <= MAX_LINE, f"a line of {len(line)} bytes")
    try:
        message = parse_line(line, JOINTS)
    except InputError as error:
        _check_text(str(error))
        return None
    if isinstance(message, FrameMessage):
        _check_frame(message)
    if isinstance(message, FrameMessage | End):
        _check(0 < len(message.track) <= MAX_NAME and message.track.isprintable(), f"a name {message.track!r}")
    return message or ""


def _check_frame(frame: FrameMessage) -> None:
    points, confidence = frame.keypoints, frame.confidence
    missing = np.isnan(points).all(axis=-1)
    there = ~missing
    _check(points.shape == (JOINTS, 2) and points.dtype == np.float32, "keypoints are no (J, 2) float32")
    _check(confidence.shape == (JOINTS,) and confidence.dtype == np.float32, "confidence is no (J) float32")
    _check(bool((np.abs(points[there]) <= MAX_COORDINATE).all()), "keypoints beyond the limit, or half missing")
    _check(bool((np.abs(confidence) <= 2).all()) and not confidence[missing].any(), "unfit confidence")
    _check(frame.t is None or np.isfinite(frame.t), f"a time {frame.t}")


def _check_events(events: Iterable[Event], results: ResultLines) -> None:
    for event in events:
        if isinstance(event, Lifted):
            line = results.line(event.track, event.frame, event.t, event.joints, event.uncertainty)
            answer = _answer(line.decode())
            _check(answer["track"] == event.track, "another track")
            if answer["joints"] is not None:
                np.testing.assert_array_equal(np.float32(answer["joints"]), event.joints)
            else:
                _check(not np.isfinite(event.joints).all(), "joints left out")
        elif isinstance(event, Notice):
            _check_text(event.message)
        else:
            _check(isinstance(event, Ended) and event.frames > 0, f"an end of nothing: {event}")


def _answer(line: str) -> dict[str, Any]:
    """An answer, which is one line of strict JSON."""
    text = line.removesuffix("\n")
    _check(text.isprintable(), f"an answer with control characters: {text[:100]!r}")
    answer = json.loads(text, parse_constant=lambda name: _check(False, f"{name} in an answer"))
    _check(isinstance(answer, dict) and len(_ANSWERS & set(answer)) == 1, f"an answer of no kind: {text[:100]}")
    for kind in ("error", "warning"):
        if kind in answer:
            _check_text(answer[kind])
    return answer


def _check_text(text: str) -> None:
    _check(text.isprintable() and bool(text.strip()), f"an error with control characters: {text!r:.100}")
    _check(len(text) <= LONGEST, f"an error of {len(text)} characters: {text:.100}")


def _check_seconds(seconds: float, lines: int) -> None:
    _check(seconds <= READ_SECONDS + LINE_SECONDS * lines, f"{lines} lines took {seconds:.2f} s")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise UnfitError(otherwise)


def _websocket(data: bytes) -> tuple[int, int]:
    """How many answers were no errors; and how many were, or closed the connection."""
    sent, code, told = asyncio.run(_converse(data))
    for line in told:
        _check(line.isprintable(), f"a notice with control characters: {line!r:.100}")
    answers = [_answer(line) for line in sent]
    errors = sum("error" in answer for answer in answers) + (code not in (None, 1000))
    return len(answers), errors


async def _converse(data: bytes) -> tuple[list[str], int | None, list[str]]:
    """The answers to a client that sends these lines and leaves, why the server closed, and its notices."""
    told: list[str] = []
    router = Router(Session(stream()), notice=told.append)
    running, talking = (asyncio.ensure_future(work) for work in (router.run(), converse(router, _frames(data), HANGS)))
    try:
        done, _ = await asyncio.wait((running, talking), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
        end = time.monotonic() + HANGS
        while (len(router) or router.session.tracks) and time.monotonic() < end:
            await asyncio.sleep(0)
        _check(not len(router) and not router.session.tracks, "a channel or a track stays open")
        return *talking.result(), told
    finally:
        running.cancel()
        talking.cancel()


def _frames(data: bytes) -> Iterator[bytes]:
    """The bytes that such a client sends; of some they are damaged, or end with an unfit frame."""
    draw = random.Random(zlib.crc32(data))
    sent = b"".join(frames_of(_messages(data), draw))
    if b"\0" in data or draw.random() < 0.12:
        sent = draw.choice((lambda: sent + unfit_frame(draw), lambda: draw.choice(BYTES)(draw, sent or b"x")))()
    yield from _cut(sent, (1, 50) if len(sent) < 3000 else (1000, 1 << 16))


def _messages(data: bytes) -> Iterator[bytes]:
    """One or more lines each, with or without the last newline; how many follows from the bytes."""
    draw, lines, place = random.Random(zlib.crc32(data)), data.split(b"\n"), 0
    most = draw.choice((1, 3, 100))
    while place < len(lines):
        count = draw.randint(1, most)
        message = b"\n".join(lines[place : place + count]) + draw.choice((b"", b"\n"))
        place += count
        if len(message) <= 4 * MAX_LINE:  # The server takes no longer ones.
            yield message
