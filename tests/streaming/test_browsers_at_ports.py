"""No page of another site gets a frame into a stream, or data out of it, through `--tcp` and `--websocket`."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter
from olift_fast.model import Normalization
from olift_fast.streaming.router import Router
from olift_fast.streaming.session import Session
from olift_fast.streaming.transports import Settings
from olift_fast.streaming.transports.tcp import open_tcp
from olift_fast.streaming.transports.websocket import open_websocket

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))
FRAME = (
    json.dumps({"keypoints": (300 + 40 * np.random.default_rng(0).standard_normal((4, 2))).tolist()}).encode() + b"\n"
)
TLS_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(507)


def served(
    open_port: Callable[..., Any], talk: Callable[[int], Any], host: str = "127.0.0.1"
) -> tuple[Any, dict, list]:
    """What `talk` returns of a server's port, its statistics then, and what it told people."""
    torch.manual_seed(3)
    config = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, window=(3, 0), frequencies=5)
    stream = StreamingLifter(Lifter(config).eval(), SKELETON, normalization=Normalization(40.0), tracks=4)
    told: list[str] = []

    async def serve() -> tuple[Any, dict]:
        router = Router(Session(stream), notice=told.append)
        running = asyncio.create_task(router.run())
        opened = await open_port(router, 0, Settings(host=host))
        try:
            assert opened.address is not None
            result = await asyncio.wait_for(asyncio.to_thread(talk, int(opened.address.rpartition(":")[2])), 60)
            return result, router.stats()
        finally:
            await opened.close()
            running.cancel()

    result, stats = asyncio.run(serve())
    return result, stats, told


def sent(port: int, *pieces: bytes) -> bytes:
    """All that comes back after these bytes, each piece a packet of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.05 * (len(pieces) > 1))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def posted(port: int) -> str:
    """What a browser's fetch of text with a good frame in it ends with; it needs no leave of the server."""
    headers = {"Content-Type": "text/plain", "Origin": "http://evil.example"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=FRAME * 3, headers=headers)
    with pytest.raises((urllib.error.URLError, http.client.HTTPException)) as caught:
        urllib.request.urlopen(request, timeout=20)
    return str(caught.value)


def test_frames_in_the_body_of_a_post_are_not_taken() -> None:
    _, stats, told = served(open_tcp, posted)
    assert (stats["frames"], stats["bad_lines"], stats["clients"]) == (0, 1, 0)
    assert len(told) == 1 and "wanted lines of JSON, got HTTP (POST): closed" in told[0]


@pytest.mark.parametrize(
    ("begins", "protocol"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP (GET)"),
        (b"OPTIONS / HTTP/1.1\r\nAccess-Control-Request-Method: PUT\r\n\r\n", "HTTP (OPTIONS)"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP (PRI)"),
        (TLS_HELLO, "TLS"),
    ],
)
def test_other_protocols_get_one_error_and_nothing_after_them_is_taken(begins: bytes, protocol: str) -> None:
    answer, stats, told = served(open_tcp, lambda port: sent(port, begins + b"\n" + FRAME))
    error = f"wanted lines of JSON, got {protocol}: closed; pages connect with --websocket"
    assert [json.loads(line) for line in answer.splitlines()] == [{"error": error}]
    assert (stats["frames"], len(told)) == (0, 1)


@pytest.mark.parametrize("pieces", [(b"P", b"OS", b"T / HTTP/1.1\r\n\r\n" + FRAME), (b"\x16", b"\x03" + FRAME)])
def test_first_bytes_decide_however_they_are_cut(pieces: tuple[bytes, ...]) -> None:
    answer, stats, _ = served(open_tcp, lambda port: sent(port, *pieces))
    assert len(answer.splitlines()) == 1 and b"closed" in answer
    assert stats["frames"] == 0


@pytest.mark.parametrize("before", [b"", b"\n", b"GETTER\n", b"POS", b"get / \n", b"P\n", b"\x16\n"])
def test_lines_that_only_begin_alike_are_lines(before: bytes) -> None:
    answer, stats, _ = served(open_tcp, lambda port: sent(port, before + b"\n" * (before == b"POS") + FRAME))
    assert stats["frames"] == 1
    answers = [json.loads(line) for line in answer.splitlines()]
    assert [answer["frame"] for answer in answers if "joints" in answer] == [0]
    assert sum("error" in answer for answer in answers) == bool(before.strip())


def test_short_start_and_nothing_after_it_is_a_bad_line() -> None:
    answer, stats, _ = served(open_tcp, lambda port: sent(port, b"GET"))
    assert b"line 1: not JSON" in answer and stats["bad_lines"] == 1


def connected(port: int, host: str, origin: str | None) -> str:
    """ "served" or the status of the refusal, for a page of `origin` that reached the port under the name `host`."""
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    reached = socket.create_connection(("127.0.0.1", port), timeout=20)
    try:
        with connect(f"ws://{host}:{port}", sock=reached, origin=origin, proxy=None) as client:  # type: ignore[arg-type]
            client.send(FRAME)
            return "served" if "joints" in json.loads(client.recv(20)) else "no answer"
    except InvalidStatus as refused:
        return str(refused.response.status_code)


@pytest.mark.parametrize(
    ("host", "origin", "wanted"),
    [
        ("127.0.0.1", None, "served"),
        ("localhost", None, "served"),
        ("localhost", "http://localhost:3000", "served"),
        ("127.0.0.1", "http://evil.example", "403"),
        ("127.0.0.1", "null", "403"),
        ("evil.example", "http://evil.example", "403"),
        ("evil.example", None, "403"),
    ],
)
def test_websocket_serves_own_pages_and_programs(host: str, origin: str | None, wanted: str) -> None:
    pytest.importorskip("websockets", reason="WebSockets need the extra `stream`")
    result, stats, told = served(open_websocket, lambda port: connected(port, host, origin))
    assert result == wanted and stats["frames"] == (wanted == "served")
    assert [line.startswith("websocket: refused: ") for line in told] == [True] * (wanted != "served")


def test_port_at_all_addresses_is_reached_at_that_of_the_connection() -> None:
    pytest.importorskip("websockets", reason="WebSockets need the extra `stream`")
    result, _, _ = served(
        open_websocket, lambda port: connected(port, "127.0.0.1", f"http://127.0.0.1:{port}"), "0.0.0.0"
    )
    assert result == "served"
    result, _, _ = served(open_websocket, lambda port: connected(port, "evil.example", None), "0.0.0.0")
    assert result == "403"
