"""Hostile clients of a live stream, each a function that is given a port, a function that tells when to stop, and the
number of joints. Run as a script, one of them attacks: ``attackers.py NAME PORT SECONDS JOINTS``. It needs no packages.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

Going = Callable[[], bool]


class Attacker(NamedTuple):
    """A hostile client and the transport that it uses."""

    transport: str
    run: Callable[[int, Going, int], None]


def frame(joints: int, **more: object) -> bytes:
    points = [[100.0 + 10 * joint, 200.0 - 7 * (joint % 5), 0.9] for joint in range(joints)]
    return json.dumps({"keypoints": points, **more}).encode() + b"\n"


def connected(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
    return client


def send_all(client: socket.socket, pieces: Iterable[bytes], going: Going, reads: bool = False) -> None:
    """Sends as fast as the server takes it; `reads` what it answers, or leaves it unread."""
    client.setblocking(False)
    for piece in pieces:
        data = memoryview(piece)
        while data and going():
            readable, writable, _ = select.select([client] if reads else [], [client], [], 0.1)
            if readable and not client.recv(1 << 16):
                raise ConnectionResetError("closed by the server")
            if writable:
                data = data[client.send(data) :]
        if not going():
            return


def flood(piece: Callable[[int], bytes], reads: bool = True) -> Callable[[int, Going, int], None]:
    """Sends the same bytes again and again."""

    def run(port: int, going: Going, joints: int) -> None:
        with connected(port) as client:
            send_all(client, itertools.repeat(piece(joints)), going, reads)

    return run


def many_tracks(end: bool) -> Callable[[int, Going, int], None]:
    """Sends frames of which each begins a track, and with `end` ends it."""

    def lines(joints: int) -> Iterator[bytes]:
        for number in itertools.count():
            yield frame(joints, track=f"track {number}", **({"end": True} if end else {}))

    def run(port: int, going: Going, joints: int) -> None:
        with connected(port) as client:
            send_all(client, lines(joints), going, reads=True)

    return run


def slow_reader(port: int, going: Going, joints: int) -> None:
    """Sends as fast as it can, and reads a little now and then."""
    data = frame(joints) * 100
    with connected(port) as client:
        client.setblocking(False)
        while going():
            if select.select([], [client], [], 0.02)[1]:
                # What is left of a line that does not fit is a bad line; that does no harm.
                client.send(data)
            if select.select([client], [], [], 0.02)[0]:
                client.recv(1000)


def half_lines(port: int, going: Going, joints: int) -> None:
    """Never ends its lines: one that is too long comes in pieces of a byte, others stop in the middle."""
    clients = [connected(port) for _ in range(8)]
    for client in clients[1:]:
        client.sendall(frame(joints)[:-20])
    clients[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    clients[0].sendall(b"[" * 200_000)
    send_all(clients[0], itertools.repeat(b"["), going)
    for client in clients:
        client.close()


def comes_and_goes(port: int, going: Going, joints: int) -> None:
    """Connects, sends a bad line and half of another, and breaks the connection off."""
    while going():
        with connected(port) as client:
            client.sendall(b"garbage\n" + frame(joints)[:-20])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def datagrams(port: int, going: Going, joints: int) -> None:
    """Datagrams of bad lines and of blank ones, whose answers nobody reads."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for data in itertools.cycle((b"garbage\n" * 100, b"\n" * 1400, frame(joints))):
            if not going():
                return
            client.sendto(data, ("127.0.0.1", port))


def websocket_frames(first: int, opcode: int, reads: bool = True) -> Callable[[int, Going, int], None]:
    """Empty frames of WebSockets: one begins a message with the first byte `first`, and then `opcode` follow."""

    def run(port: int, going: Going, joints: int) -> None:
        while going():
            try:
                with connected(port) as client:
                    shake_hands(client, port)
                    client.sendall(bytes([first, 0x80]) + bytes(4))
                    send_all(client, itertools.repeat(10_000 * (bytes([opcode, 0x80]) + bytes(4))), going, reads)
            except ConnectionError:
                # It was thrown out, and comes again.
                time.sleep(0.01)

    return run


def shake_hands(client: socket.socket, port: int) -> None:
    headers = [
        "GET / HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    client.sendall("\r\n".join([*headers, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        received = client.recv(1 << 12)
        if not received:
            raise ConnectionResetError
        answer += received
    assert b" 101 " in answer.split(b"\r\n")[0], answer


CONTINUES, BEGINS_TEXT, WHOLE_TEXT, PING = 0x00, 0x01, 0x81, 0x89

ATTACKERS = {
    "ends": Attacker("tcp", flood(lambda joints: b'{"end":true}\n' * 5000)),
    "bad lines": Attacker("tcp", flood(lambda joints: b"garbage\n" * 8000)),
    "blank lines": Attacker("tcp", flood(lambda joints: b"\n" * 65_536)),
    "long lines": Attacker("tcp", flood(lambda joints: b'{"keypoints": [' + b"[1,2]," * 43_000 + b"0]}\n")),
    "frames": Attacker("tcp", flood(lambda joints: frame(joints) * 100)),
    "stats, never read": Attacker("tcp", flood(lambda joints: b'{"stats":true}\n' * 4000, reads=False)),
    "frames, never read": Attacker("tcp", flood(lambda joints: frame(joints) * 100, reads=False)),
    "slow reader": Attacker("tcp", slow_reader),
    "half lines": Attacker("tcp", half_lines),
    "comes and goes": Attacker("tcp", comes_and_goes),
    "thousands of tracks": Attacker("tcp", many_tracks(end=False)),
    "tracks of a frame": Attacker("tcp", many_tracks(end=True)),
    "datagrams": Attacker("udp", datagrams),
    "empty fragments": Attacker("websocket", websocket_frames(BEGINS_TEXT, CONTINUES)),
    "empty messages": Attacker("websocket", websocket_frames(WHOLE_TEXT, WHOLE_TEXT)),
    "pings, never read": Attacker("websocket", websocket_frames(WHOLE_TEXT, PING, reads=False)),
}


def main() -> None:
    name, port, seconds, joints = sys.argv[1:]
    end = time.monotonic() + float(seconds)
    # It must not win by taking the processor from the server: others attack from machines of their own.
    os.nice(19)
    try:
        ATTACKERS[name].run(int(port), lambda: time.monotonic() < end, int(joints))
    except OSError as error:
        print(f"{name}: {error}", flush=True)


if __name__ == "__main__":
    main()
