"""WebSockets of a live stream: whatever is sent is taken apart in small pieces, and connections end as they should."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("websockets", reason="WebSockets need the extra `stream`")

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter
from olift_fast.model import Normalization
from olift_fast.streaming.channel import PIECE
from olift_fast.streaming.router import Router
from olift_fast.streaming.session import Session
from olift_fast.streaming.transports import CLIENTS, Settings, websocket_connection
from olift_fast.streaming.transports.websocket import open_websocket
from olift_fast.streaming.transports.websocket_connection import FRAGMENTS, PacedConnection

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(3)
    return Lifter(LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, window=(3, 0), frequencies=5)).eval()


def line(number: int) -> bytes:
    points = (300 + 40 * np.random.default_rng(number).standard_normal((4, 2))).tolist()
    return json.dumps({"keypoints": points, "t": number}).encode() + b"\n"


@asynccontextmanager
async def serving(lifter: Lifter, **settings: Any) -> AsyncIterator[tuple[Router, str]]:
    stream = StreamingLifter(lifter, SKELETON, tracks=4, frame="object", normalization=Normalization(40.0))
    router = Router(Session(stream))
    lifting = asyncio.create_task(router.run())
    opened = await open_websocket(router, 0, Settings(**settings))
    assert opened.address is not None
    try:
        yield router, f"ws://{opened.address.split()[1]}"
    finally:
        await asyncio.wait_for(opened.close(), 10)
        lifting.cancel()


def in_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await asyncio.wait_for(work(), 60)

    asyncio.run(run())


async def answers(client: ClientConnection, count: int) -> list[dict]:
    return [json.loads(await client.recv()) for _ in range(count)]


def frames_of(message: bytes, fragments: int) -> bytes:
    """A masked text message in so many fragments."""
    cuts = np.linspace(0, len(message), fragments + 1).astype(int)
    parts = [message[a:b] for a, b in itertools.pairwise(cuts)]
    return b"".join(
        Frame(Opcode.CONT if i else Opcode.TEXT, part, fin=i == fragments - 1).serialize(mask=True)
        for i, part in enumerate(parts)
    )


@pytest.mark.parametrize("fragments", [1, 2, 100, FRAGMENTS])
def test_messages_are_read_however_they_are_cut(lifter: Lifter, fragments: int) -> None:
    async def run() -> None:
        async with serving(lifter) as (_, url), connect(url) as client:
            # Many messages in one write: more than is decoded at once.
            client.transport.write(frames_of(b"".join(map(line, range(10))), fragments))
            client.transport.write(b"".join(frames_of(line(number).rstrip(b"\n"), 1) for number in range(10, 40)))
            got = await answers(client, 40)
            assert [answer["t"] for answer in got] == list(range(40))

    in_loop(run)


def test_only_a_piece_is_decoded_at_once(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    decode = PacedConnection.decode

    def counted(self: PacedConnection, data: bytes) -> tuple[bytes, int]:
        sizes.append(len(data))
        lines, units = decode(self, data)
        assert units <= PIECE // 6 + 1
        return lines, units

    monkeypatch.setattr(PacedConnection, "decode", counted)

    async def run() -> None:
        async with serving(lifter) as (router, url), connect(url) as client:
            client.transport.write(Frame(Opcode.TEXT, b"").serialize(mask=True) * 20_000 + frames_of(line(7), 1))
            assert (await answers(client, 1))[0]["t"] == 7
            (channel,) = router._channels
            # Each counts as a line, and once more as a unit of the encoding.
            assert channel.lines == 20_001 and channel.work > 2 * 256 * 20_000

    in_loop(run)
    assert max(sizes) == PIECE and sum(sizes) > 6 * 20_000


def test_message_of_too_many_fragments_ends_the_connection(lifter: Lifter) -> None:
    async def run() -> None:
        async with serving(lifter) as (router, url), connect(url) as client:
            client.transport.write(frames_of(line(1), FRAGMENTS + 1))
            with pytest.raises(ConnectionClosed, match=f"more than {FRAGMENTS:,} fragments"):
                await client.recv()
            while len(router):
                await asyncio.sleep(0.01)

    in_loop(run)


def test_pings_of_a_client_that_reads_nothing_hold_little(lifter: Lifter) -> None:
    async def run() -> None:
        async with serving(lifter) as (router, url), connect(url, ping_interval=None) as client:
            client.transport.pause_reading()
            pings = Frame(Opcode.PING, b"x" * 125).serialize(mask=True) * 1000
            stuck = 0
            while stuck < 20:
                if client.transport.get_write_buffer_size() < 1 << 16:
                    client.transport.write(pings)
                    stuck = 0
                else:
                    stuck += 1
                await asyncio.sleep(0.005)
            (channel,) = router._channels
            unread, work = -1, -1
            for _ in range(300):  # until what it has read is answered
                if (unread, work) == (channel.unread, channel.work) and unread == 0:
                    break
                unread, work = channel.unread, channel.work
                await asyncio.sleep(0.1)
            again = channel.unread, channel.work
            client.transport.abort()
            # It is not read any further, and what was read was answered.
            assert again == (unread, work) and unread == 0

    in_loop(run)


def test_server_that_closes_reads_the_goodbye_behind_what_it_did_not_take(
    lifter: Lifter, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[PacedConnection] = []
    connection_made = PacedConnection.connection_made

    def noted(self: PacedConnection, transport: asyncio.Transport) -> None:
        made.append(self)
        connection_made(self, transport)

    monkeypatch.setattr(PacedConnection, "connection_made", noted)

    async def run() -> None:
        async with serving(lifter) as (_, url):
            client = await connect(url)
            await client.send(line(1))
            await answers(client, 1)
            client.transport.write(frames_of(b"\n", 1) * 1000)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1001
        (connection,) = made
        # Otherwise it waits for a second, and breaks the connection off.
        assert connection.protocol.close_rcvd is not None

    in_loop(run)


def test_client_too_many_is_told_why(lifter: Lifter) -> None:
    async def run() -> None:
        async with serving(lifter) as (router, url):
            others = [router.connect(str(i)) for i in range(CLIENTS)]
            async with connect(url) as client:
                with pytest.raises(ConnectionClosed, match=f"{CLIENTS} clients are connected"):
                    await client.recv()
            for channel in others:
                channel.vanish()

    in_loop(run)


def test_client_that_reads_nothing_is_closed_and_the_server_can_end(lifter: Lifter) -> None:
    async def run() -> None:
        async with serving(lifter, patience=0.3) as (router, url), connect(url, ping_interval=None) as client:
            client.transport.pause_reading()
            while not len(router):
                await asyncio.sleep(0.01)
            while len(router):
                if client.transport.get_write_buffer_size() < 1 << 16:
                    client.transport.write(frames_of(b'{"stats": true}\n' * 1000, 1))
                await asyncio.sleep(0.005)
            client.transport.abort()

    in_loop(run)


def test_client_whose_pong_waits_unread_stays_and_one_that_is_silent_goes(
    lifter: Lifter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_connection, "PINGS", 0.4)

    async def run() -> None:
        async with serving(lifter) as (router, url), connect(url, ping_interval=None) as client:
            with monkeypatch.context() as busy:
                busy.setattr(router, "turn", lambda: False)
                await client.send(line(0))
                await asyncio.sleep(2)
                assert len(router) == 1
            router.wake()
            assert (await answers(client, 1))[0]["frame"] == 0
            # It answers pings, and sends nothing else.
            await asyncio.sleep(2)
            assert len(router) == 1
            # It is gone without a word.
            client.transport.pause_reading()
            while len(router):
                await asyncio.sleep(0.01)
            client.transport.abort()

    in_loop(run)


def test_client_that_reads_late_is_silent_meanwhile_and_stays(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_connection, "PINGS", 0.4)

    async def run() -> None:
        async with serving(lifter) as (router, url), connect(url, ping_interval=None, max_queue=None) as client:
            while not len(router):
                await asyncio.sleep(0.01)
            (channel,) = router._channels
            client.transport.pause_reading()
            while not channel.unwritten():
                channel.send(b'{"long": "%s"}\n' % (b"x" * 10_000))
                channel.flush()
            await asyncio.sleep(2)
            assert len(router) == 1
            client.transport.resume_reading()
            await client.send(line(0))
            while "frame" not in (await answers(client, 1))[0]:
                pass
            assert len(router) == 1

    in_loop(run)
