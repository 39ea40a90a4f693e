"""Turns of the connections of a live stream: a bounded amount of work for each, and the least served first."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import torch

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter
from olift_fast.model import Normalization
from olift_fast.streaming import outbox
from olift_fast.streaming.channel import LINE, Channel
from olift_fast.streaming.messages import MAX_LINE
from olift_fast.streaming.router import TURN, Router
from olift_fast.streaming.session import Event, Lifted, Session
from olift_fast.streaming.transports import Settings
from olift_fast.streaming.transports.tcp import open_tcp
from olift_fast.streaming.transports.transport import CHUNK, NotReadError, pump
from olift_fast.streaming.transports.udp import open_udp
from olift_fast.streaming.transports.websocket import open_websocket

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))
LINES_A_TURN = TURN // LINE


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(3)
    return Lifter(LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, window=(3, 0), frequencies=5)).eval()


def router_of(lifter: Lifter, tracks: int = 4, **options: object) -> Router:
    stream = StreamingLifter(lifter, SKELETON, tracks=tracks, frame="object", normalization=Normalization(40.0))
    return Router(Session(stream), **options)  # type: ignore[arg-type]


def line(track: str = "dog", number: int = 0, **more: object) -> bytes:
    points = (300 + 40 * np.random.default_rng(number).standard_normal((4, 2))).tolist()
    return json.dumps({"keypoints": points, "track": track, "t": number, **more}).encode() + b"\n"


def answers(channel: Channel) -> list[dict]:
    lines = []
    while channel.outbox:
        some = channel.outbox.peek(1 << 20)
        channel.outbox.remove(some)
        lines += [json.loads(line) for line in some]
    return lines


def in_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await asyncio.wait_for(work(), 60)

    asyncio.run(run())


FLOODS = {
    "ends": b'{"end":true}\n',
    "ends of many": None,
    "bad lines": b"garbage\n",
    "blank lines": b"\n",
    "stats": b'{"stats":true}\n',
}


@pytest.mark.parametrize("on_lag", ["queue", "drop"])
@pytest.mark.parametrize("flood", FLOODS)
def test_turn_reads_a_bounded_number_of_lines(lifter: Lifter, flood: str, on_lag: str) -> None:
    router = router_of(lifter, on_lag=on_lag)
    hostile, good = router.connect("hostile"), router.connect("good")
    given = FLOODS[flood]
    many = b"".join(b'{"end":true,"track":%d}\n' % i for i in range(40_000))
    hostile.receive(many if given is None else given * 40_000)
    assert hostile.lines == 0, "bytes are read by turns only"
    good.receive(line())
    assert router.turn()
    assert 0 < hostile.lines <= LINES_A_TURN and len(hostile.inbox) <= router.queue
    assert [answer["frame"] for answer in answers(good)] == [0], "it had its turn, too"
    for _ in range(40_000):
        before = hostile.lines
        if not router.turn():
            break
        assert hostile.lines - before <= LINES_A_TURN
        assert len(hostile.inbox) <= router.queue and len(hostile.outbox) <= outbox.LINES + LINES_A_TURN
        hostile.outbox.clear()
    assert hostile.lines == 40_000 and not hostile.unread and not hostile.inbox


def test_channel_that_has_had_the_least_is_next(lifter: Lifter) -> None:
    router = router_of(lifter)
    hostile = [router.connect(f"hostile {i}") for i in range(16)]
    for channel in hostile:
        channel.receive(20 * (b"[" + b" " * (MAX_LINE - 1) + b"\n"))
    for number in range(20):
        good = router.connect(f"good {number}")
        read = sum(channel.lines for channel in hostile)
        good.receive(line(number=number))
        turns = 0
        while not good.outbox:
            assert router.turn()
            turns += 1
        # A line of theirs is more than a turn; one of them may be as far back as a newcomer.
        assert turns <= 2 and sum(channel.lines for channel in hostile) - read <= 2
        good.vanish()
        router.turn()
    served = [channel.lines for channel in hostile]
    assert max(served) - min(served) <= 1


def test_blank_lines_are_work(lifter: Lifter) -> None:
    router = router_of(lifter)
    channel = router.connect("blank")
    channel.receive(b"\n" * 1000)
    router.turn()
    assert channel.lines == LINES_A_TURN and channel.work == TURN


def test_more_tracks_than_a_step_takes_have_their_turns(lifter: Lifter) -> None:
    torch.set_num_threads(1)
    router = router_of(lifter, tracks=80)
    together = router.session.together
    assert together == 32
    channels = [router.connect(str(i)) for i in range(80)]
    for number in range(3):
        for channel in channels:
            channel.receive(line(number=number))
    counts: Counter[Channel] = Counter()
    while router.turn():
        lifted = {channel: len(channel.outbox) - counts[channel] for channel in channels}
        assert sum(lifted.values()) <= together and set(lifted.values()) <= {0, 1}
        counts.update(lifted)
        assert max(counts.values()) - min(counts[channel] for channel in channels) <= 1
    assert set(counts.values()) == {3} and len(counts) == 80


@pytest.mark.parametrize("on_lag", ["queue", "drop"])
def test_every_answer_counts_and_a_full_outbox_stops_the_input(lifter: Lifter, on_lag: str) -> None:
    async def run() -> None:
        router = router_of(lifter, on_lag=on_lag)
        channel = router.connect("never reads")
        sent, kinds = 0, (b'{"stats":true}\n', b"garbage\n", line(), b'{"end":true}\n')
        while True:
            try:
                await asyncio.wait_for(channel.ready(), 0.01)
            except TimeoutError:
                break
            channel.receive(b"".join(kinds) * 40)
            sent += 40
            while router.turn():
                pass
            assert sent < 10_000, "it is never made to wait"
        held = len(channel.outbox), channel.outbox.bytes, channel.unread, channel.lines
        assert channel.outbox.full and channel.unread
        assert held[0] <= outbox.LINES + router.session.together and held[1] < 2 * outbox.BYTES
        while router.turn():
            pass
        assert (len(channel.outbox), channel.outbox.bytes, channel.unread, channel.lines) == held
        # Once it reads, all the rest is answered.
        got = answers(channel)
        channel.finish()
        while router.turn() or channel.unread:
            got += answers(channel)
        got += answers(channel)
        assert sum("stats" in answer for answer in got) == sent
        if on_lag == "queue":
            assert sum("joints" in answer for answer in got) == sent

    in_loop(run)


def test_source_that_goes_while_its_outbox_is_full_is_forgotten_at_once(lifter: Lifter) -> None:
    async def run() -> None:
        router = router_of(lifter)
        lifting = asyncio.create_task(router.run())
        channel = router.connect("gone")
        channel.receive(b'{"stats":true}\n' * 2 * outbox.LINES + line())
        channel.finish()
        while not channel.outbox.full:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(router) == 1 and channel.unread
        channel.vanish()
        while len(router):
            await asyncio.sleep(0)
        assert router.session.frames == 1 and not router.session.tracks
        lifting.cancel()

    in_loop(run)


def test_client_that_reads_nothing_is_closed_and_told_so(lifter: Lifter) -> None:
    async def run() -> None:
        router = router_of(lifter)
        lifting = asyncio.create_task(router.run())
        channel = router.connect("stuck")

        async def read() -> bytes:
            return line()

        async def write(lines: list[bytes]) -> None:
            await asyncio.sleep(3600)

        with pytest.raises(NotReadError, match=r"closed: it has read none of its answers for 0\.1 s"):
            await pump(channel, read, write, patience=0.1)
        assert channel.finished and not channel.outbox
        lifting.cancel()

    in_loop(run)


def test_slow_reader_is_not_closed(lifter: Lifter) -> None:
    async def run() -> None:
        router = router_of(lifter)
        lifting = asyncio.create_task(router.run())
        channel = router.connect("slow")
        coming, written = iter([b"".join(line(number=i) for i in range(300))]), []

        async def read() -> bytes:
            return next(coming, b"")

        async def write(lines: list[bytes]) -> None:
            await asyncio.sleep(0.05)
            written.extend(lines)

        await pump(channel, read, write, patience=5.0)
        numbers = [json.loads(answer)["frame"] for answer in written[:-1]]
        assert numbers == list(range(300)) and "end" in json.loads(written[-1])
        lifting.cancel()

    in_loop(run)


@pytest.mark.parametrize("open_port", [open_tcp, open_websocket])
def test_many_clients_that_connect_during_a_step_need_not_try_again(lifter: Lifter, open_port: Any) -> None:
    if open_port is open_websocket:
        pytest.importorskip("websockets", reason="WebSockets need the extra `stream`")

    async def run() -> None:
        opened = await open_port(router_of(lifter), 0, Settings())
        address = "127.0.0.1", int(opened.address.rsplit(":", 1)[1])
        # The server does nothing meanwhile. Who finds no room tries again after a second.
        clients = [socket.create_connection(address, timeout=0.9) for _ in range(200)]
        for client in clients:
            client.close()
        await opened.close()

    in_loop(run)


def test_client_that_has_ended_and_leaves_its_last_answers_unread_is_closed(lifter: Lifter) -> None:
    told: list[str] = []

    async def run() -> None:
        router = router_of(lifter, notice=told.append)
        lifting = asyncio.create_task(router.run())
        opened = await open_tcp(router, 0, Settings(patience=0.3))
        assert opened.address is not None
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
            client.connect(("127.0.0.1", int(opened.address.rsplit(":", 1)[1])))
            while not len(router):
                await asyncio.sleep(0.01)
            (channel,) = router._channels
            while not channel.unwritten():
                channel.send(b"[" * 10_000 + b"\n")
                channel.flush()
                assert not channel.outbox
            client.shutdown(socket.SHUT_WR)
            while not told:
                await asyncio.sleep(0.01)
        await opened.close()
        lifting.cancel()

    in_loop(run)
    assert "closed: it has read none of its answers for 0.3 s" in told[0]


def test_stop_waits_until_the_last_answers_are_written(lifter: Lifter) -> None:
    written: list[dict] = []

    async def run() -> None:
        router = router_of(lifter)
        lifting = asyncio.create_task(router.run())
        channel = router.connect("slow")
        lines = asyncio.Queue[bytes]()

        async def write(lines: list[bytes]) -> None:
            await asyncio.sleep(0.2)
            written.extend(map(json.loads, lines))

        moving = asyncio.create_task(pump(channel, lines.get, write))
        lines.put_nowait(line(number=1) + line(number=2))
        while not router.session.frames:
            await asyncio.sleep(0)
        await router.stop(10)
        moving.cancel()
        lifting.cancel()

    in_loop(run)
    assert [answer.get("frame") for answer in written] == [0, 1, None]
    assert written[-1] == {"end": "dog", "frames": 2, "why": "closed"}


def test_nothing_is_written_before_what_was_handed_over(lifter: Lifter) -> None:
    async def run() -> None:
        router = router_of(lifter)
        channel, written = router.connect("client"), []
        channel.send(b"1\n")
        channel.flush()
        handed = await channel.outgoing()
        channel.write_now = lambda lines: written.extend(lines) is None
        channel.send(b"2\n")
        channel.flush()
        assert handed == [b"1\n"] and written == []
        assert await channel.outgoing() == [b"2\n"]

    in_loop(run)


def test_frames_that_come_during_a_step_are_lifted_in_the_next(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets are read before a step, though a client has many frames that wait: no frame waits for two steps."""
    steps: list[list[str]] = []
    clients: list[socket.socket] = []
    push = StreamingLifter.push

    def counted(self: StreamingLifter, *given: Any, **named: Any) -> Any:
        steps.append([])
        return push(self, *given, **named)

    def watch(event: Event) -> None:
        if isinstance(event, Lifted):
            steps[-1].append(event.track)
            if (event.track, event.frame) in (("busy", 5), ("busy", 10)):
                # The step is not over: the others send meanwhile.
                for number, client in enumerate(clients):
                    client.sendall(line(f"other {number}", number=event.frame))

    async def run() -> None:
        router = router_of(lifter, tracks=8, watch=[watch])
        opened = await open_tcp(router, 0, Settings())
        assert opened.address is not None
        port = int(opened.address.rsplit(":", 1)[1])
        clients.extend(socket.create_connection(("127.0.0.1", port)) for _ in range(3))
        while len(router) < 3:
            await asyncio.sleep(0.01)
        busy = router.connect("busy")
        busy.receive(b"".join(line("busy", number) for number in range(20)))
        lifting = asyncio.create_task(router.run())
        while router.session.frames < 26:
            await asyncio.sleep(0)
        for client in clients:
            client.close()
        await opened.close()
        lifting.cancel()

    monkeypatch.setattr(StreamingLifter, "push", counted)
    in_loop(run)
    others = ["other 0", "other 1", "other 2"]
    wanted = [["busy", *(others if number in (6, 11) else [])] for number in range(20)]
    assert [sorted(step) for step in steps] == wanted


def test_udp_reads_many_datagrams_at_once_and_drops_the_oldest(lifter: Lifter) -> None:
    async def run() -> None:
        router = router_of(lifter)
        opened = await open_udp(router, 0, Settings())
        assert opened.address is not None
        port = int(opened.address.rsplit(":", 1)[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for number in range(24):
                client.sendto(line(number=number).rstrip() + b" " * 4000, ("127.0.0.1", port))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            (channel,) = router._channels
            assert channel.dropped >= 8 and CHUNK // 2 < channel.unread <= CHUNK
            # Like those that the network loses, these are not counted in the frames' numbers.
            number = 23 - channel.dropped
            while router.turn():
                pass
            lifted = [answer for answer in answers(channel) if "joints" in answer]
            assert [(answer["t"], answer["frame"]) for answer in lifted] == [(23, number)]
            await opened.close()

    in_loop(run)


def test_udp_port_that_is_taken_is_named(lifter: Lifter) -> None:
    async def run() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
            with pytest.raises(OSError, match=rf"can't listen on udp 127\.0\.0\.1:{port}: Address already in use"):
                await open_udp(router_of(lifter), port, Settings())

    in_loop(run)


def test_client_that_waits_for_each_answer_gets_one_though_errors_are_withheld(lifter: Lifter) -> None:
    async def run() -> None:
        router = router_of(lifter)
        lifting = asyncio.create_task(router.run())
        channel = router.connect("waits")
        for _ in range(11):
            channel.receive(b"garbage\n")
            got = await asyncio.wait_for(channel.outgoing(), 20)
            assert got is not None and [json.loads(answer).keys() for answer in got] == [{"error"}]
        assert channel.bad_lines == 11 and b"not told" not in got[0]
        for _ in range(3):
            channel.receive(b"garbage\n")
        got = await asyncio.wait_for(channel.outgoing(), 20)
        assert got is not None and b"line 14: not JSON" in got[0] and b"(2 more like it were left out)" in got[0]
        lifting.cancel()

    in_loop(run)


def test_a_client_that_is_closed_is_told_of_among_a_flood_of_notices(lifter: Lifter) -> None:
    told: list[str] = []
    router = router_of(lifter, notice=told.append)
    for number in range(1000):
        router.notice(f"bad line {number}")
    assert 100 <= len(told) < 200
    router.notice("tcp dog: closed", always=True)
    assert told[-1] == "tcp dog: closed"
