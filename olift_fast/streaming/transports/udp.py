"""Lines in UDP datagrams."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from olift_fast.streaming.messages import MAX_LINE, answer_line
from olift_fast.streaming.transports.transport import Opened, Settings, Transport, check_port, full, shown

if TYPE_CHECKING:
    from olift_fast.streaming.router import Channel, Router


async def open_udp(router: Router, port: int, settings: Settings) -> Opened:
    """Datagrams of one or more lines; answers go to where they came from, one a datagram.

    A sender can't be made to wait, so on lag frames are dropped. It counts as gone when nothing has come from it for
    `Settings.idle` seconds and one more.
    """
    peers = _Peers(router, settings.idle)
    loop = asyncio.get_running_loop()
    endpoint, _ = await loop.create_datagram_endpoint(lambda: peers, local_addr=(settings.host, port))
    leaving = asyncio.create_task(peers.leave())

    async def close() -> None:
        leaving.cancel()
        endpoint.close()

    return Opened(close, f"udp {shown(endpoint.get_extra_info('sockname'))}")


class _Peers(asyncio.DatagramProtocol):
    """A channel for each address that datagrams come from."""

    def __init__(self, router: Router, idle: float) -> None:
        self._router, self._idle = router, idle
        self._endpoint: Any = None
        self._peers: dict[Any, tuple[Channel, asyncio.Task[None]]] = {}
        self._heard: dict[Any, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers where answers are sent from."""
        self._endpoint = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Hands the lines to the sender's channel."""
        if address not in self._peers or self._peers[address][0].finished:
            if refusal := full(self._router):
                self._endpoint.sendto(answer_line({"error": refusal}), address)
                return
            channel = self._router.connect(f"udp {shown(address)}", on_lag="drop")
            self._peers[address] = channel, asyncio.create_task(self._answer(channel, address))
        self._heard[address] = time.monotonic()
        channel, _ = self._peers[address]
        for line in data.splitlines():
            channel.receive_line(line if len(line) <= MAX_LINE else None)

    def error_received(self, error: Exception) -> None:
        """Ignores it: a sender that is not there any more will count as gone."""

    async def leave(self) -> None:
        """Ends the channels of senders that have been silent for too long."""
        while True:
            await asyncio.sleep(min(self._idle, 0.5))
            for address, heard in list(self._heard.items()):
                # A second later than the router ends its tracks: they end as idle, and not as those of a lost sender.
                if time.monotonic() - heard > self._idle + 1:
                    self._peers[address][0].finish()

    async def _answer(self, channel: Channel, address: Any) -> None:
        while (lines := await channel.outgoing()) is not None:
            for line in lines:
                # What a datagram socket can't take is lost, as the network would lose it.
                if self._endpoint.get_write_buffer_size() < 1 << 20:
                    self._endpoint.sendto(line, address)
        if self._peers[address][0] is channel:
            del self._peers[address], self._heard[address]


UDP = Transport(
    name="udp",
    option="--udp",
    takes="port",
    description="datagrams of one or more lines, an answer a datagram to their sender; on lag always drops",
    open=open_udp,
    check=check_port,
)
