"""Lines in UDP datagrams."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from olift_fast.streaming.messages import answer_line
from olift_fast.streaming.transports.transport import CHUNK, Opened, Settings, Transport, check_port, full, shown

if TYPE_CHECKING:
    from olift_fast.streaming.channel import Channel
    from olift_fast.streaming.router import Router

DATAGRAMS = 64
"""The most datagrams that are read in a row."""


async def open_udp(router: Router, port: int, settings: Settings) -> Opened:
    """Datagrams of one or more lines; answers go to their senders, one in each datagram.

    A sender can't be made to wait, so on lag frames are dropped. It counts as gone when nothing has come from it for
    `Settings.idle` seconds and one more.
    """
    loop = asyncio.get_running_loop()
    endpoint = _bound(await loop.getaddrinfo(settings.host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE))
    peers = _Peers(router, endpoint, settings.idle)
    loop.add_reader(endpoint, peers.read)
    leaving = asyncio.create_task(peers.leave())

    async def close() -> None:
        leaving.cancel()
        loop.remove_reader(endpoint)
        endpoint.close()

    return Opened(close, f"udp {shown(endpoint.getsockname())}")


def _bound(addresses: list[Any]) -> socket.socket:
    """A socket bound to the first usable address of a list from `socket.getaddrinfo`."""
    failed: list[OSError] = []
    for family, kind, protocol, _, address in addresses:
        endpoint = socket.socket(family, kind, protocol)
        try:
            endpoint.setblocking(False)
            endpoint.bind(address)
            return endpoint
        except OSError as error:
            endpoint.close()
            failed.append(OSError(error.errno, f"can't listen on udp {shown(address)}: {error.strerror}"))
    raise failed[0]


class _Peers:
    """A channel for each address that datagrams come from."""

    def __init__(self, router: Router, endpoint: socket.socket, idle: float) -> None:
        self._router, self._endpoint, self._idle = router, endpoint, idle
        self._peers: dict[Any, tuple[Channel, asyncio.Task[None]]] = {}
        self._heard: dict[Any, float] = {}

    def read(self) -> None:
        """Passes the datagrams that have come to their senders' channels; at most so many that others get a turn."""
        for _ in range(DATAGRAMS):
            try:
                data, address = self._endpoint.recvfrom(1 << 16)
            except OSError:
                # There are no more, or an answer could not be delivered: its receiver will count as gone.
                return
            self._receive(data, address)

    async def leave(self) -> None:
        """Ends the channels of senders that have been silent for too long."""
        while True:
            await asyncio.sleep(min(self._idle, 0.5))
            for address, heard in list(self._heard.items()):
                # One second after the router: so the tracks end as idle, and not as those of a lost sender.
                if time.monotonic() - heard > self._idle + 1:
                    self._peers[address][0].finish()

    def _receive(self, data: bytes, address: Any) -> None:
        if address not in self._peers or self._peers[address][0].finished:
            if refusal := full(self._router):
                self._send(answer_line({"error": refusal}), address)
                return
            channel = self._router.connect(f"udp {shown(address)}", on_lag="drop")
            self._peers[address] = channel, asyncio.create_task(self._answer(channel, address))
        self._heard[address] = time.monotonic()
        channel, _ = self._peers[address]
        channel.receive_datagram(data, CHUNK)

    async def _answer(self, channel: Channel, address: Any) -> None:
        while (lines := await channel.outgoing()) is not None:
            for line in lines:
                self._send(line, address)
        if self._peers[address][0] is channel:
            del self._peers[address], self._heard[address]

    def _send(self, line: bytes, address: Any) -> None:
        # Lines that the socket can't take are lost, as they could be in the network.
        with suppress(OSError):
            self._endpoint.sendto(line, address)


UDP = Transport(
    name="udp",
    option="--udp",
    takes="port",
    description="datagrams of one or more lines, an answer a datagram to their sender; on lag always drops",
    open=open_udp,
    check=check_port,
)
