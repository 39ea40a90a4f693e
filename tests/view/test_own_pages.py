"""Who gets the live page and its data from a browser: pages of this machine, and programs."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from olift_fast.errors import InputError
from olift_fast.tracks import Skeleton
from olift_fast.view import live
from olift_fast.view.own_pages import refusal

SKELETON = Skeleton(("head", "tail"), ((0, 1),))
NAMES = ("192.168.1.5", "Lab.example")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "192.168.1.5:8080"])
@pytest.mark.parametrize("origin", [None, "http://localhost:3000", "https://127.0.0.1", "http://[::1]:80"])
def test_own_pages_and_programs_are_served(host: str, origin: str | None) -> None:
    assert refusal([host], [] if origin is None else [origin], NAMES) is None


def test_name_that_the_port_listens_at_is_its_own() -> None:
    assert refusal(["lab.example:8080"], ["http://LAB.EXAMPLE:8080"], NAMES) is None
    assert refusal(["lab.example.:8080"], [], NAMES) is None
    assert refusal(["lab.example:8080"], [], ()) is not None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8080", "localhost.evil.example", "evil.example#localhost", "a@localhost",
        "localhost@evil.example", "localhost:8080@evil.example", "127.0.0.1.evil.example", "127.0.0.2", "[::2]", "::1",
        "localhost:", "", " ", "localhost:8080, localhost", "192.168.1.50", "a" * 500,
    ],
)  # fmt: skip
def test_other_hosts_are_refused(host: str) -> None:
    told = refusal([host], [], NAMES)
    assert told is not None and "the header Host must name 127.0.0.1, " in told and len(told) < 250


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "https://localhost.evil.example", "http://127.0.0.1.evil.example", "null", "", "file://",
        "chrome-extension://localhost", "http://localhost@evil.example", "http://localhost/\x1b[2J", "localhost",
    ],
)  # fmt: skip
def test_pages_of_other_sites_are_refused(origin: str) -> None:
    told = refusal(["localhost:8080"], [origin], NAMES)
    assert told is not None and told.startswith("a page must be of") and told.isprintable()


def test_header_that_comes_twice_or_not_at_all_is_refused() -> None:
    assert refusal([], [], NAMES) is not None
    assert refusal(["localhost", "localhost"], [], NAMES) is not None
    assert refusal(["localhost"], ["http://localhost", "http://evil.example"], NAMES) is not None


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    pytest.importorskip("viser", reason="the live page needs the extra `stream`")
    view = live.LiveView(SKELETON, port=18410)
    try:
        yield int(view.url.rpartition(":")[2])
    finally:
        view.close()


def page(port: int, **headers: str) -> tuple[int, bytes]:
    """Status and body of the page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("GET", "/", skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    return response.status, response.read()


def data(port: int, host: str, origin: str | None) -> Any:
    """The first message of the page's WebSocket, opened under a name."""
    import viser
    from websockets.sync.client import connect

    reached = socket.create_connection(("127.0.0.1", port), timeout=20)
    with connect(
        f"ws://{host}:{port}", sock=reached, origin=origin, subprotocols=[f"viser-v{viser.__version__}"], proxy=None
    ) as client:  # type: ignore[arg-type]
        return client.recv(20)


def test_the_page_comes_under_its_own_names_only(port: int) -> None:
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost:9"):
        status, body = page(port, Host=host)
        assert status == 200 and b"<html" in body
    status, body = page(port, Host=f"evil.example:{port}")
    assert status == 403 and b"the header Host must name" in body and b"<html" not in body
    assert page(port, Host=f"localhost:{port}", Origin="http://evil.example")[0] == 403
    assert page(port)[0] != 200


def test_the_data_behind_it_comes_to_its_own_pages_and_programs_only(port: int) -> None:
    from websockets.exceptions import InvalidStatus

    for host, origin in (("127.0.0.1", None), ("localhost", f"http://localhost:{port}"), ("localhost", None)):
        assert data(port, host, origin)
    for host, origin in (("127.0.0.1", "http://evil.example"), ("evil.example", "http://evil.example"),
                         ("evil.example", None), ("localhost", "null")):  # fmt: skip
        with pytest.raises(InvalidStatus, match="403"):
            data(port, host, origin)


def test_a_viser_that_opens_its_port_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would serve everybody."""
    pytest.importorskip("viser", reason="the live page needs the extra `stream`")
    from viser.infra import WebsockServer
    from websockets.asyncio import server

    plain, start, stopped = server.serve, WebsockServer.start, []

    def start_in_another_way(self: Any) -> None:
        with monkeypatch.context() as context:
            context.setattr(server, "serve", plain)
            start(self)

    monkeypatch.setattr(WebsockServer, "start", start_in_another_way)
    stop = WebsockServer.stop
    monkeypatch.setattr(WebsockServer, "stop", lambda self: (stopped.append(self), stop(self)))
    with pytest.raises(InputError, match=r"can't check who connects to viser \d"):
        live.LiveView(SKELETON, port=18430)
    assert len(stopped) == 1
    assert server.serve is plain


def test_servers_of_others_are_left_alone() -> None:
    pytest.importorskip("viser", reason="the live page needs the extra `stream`")
    from websockets.asyncio import server

    plain = server.serve

    async def checks_of_another() -> object:
        async with server.serve(lambda connection: None, "127.0.0.1", 0) as opened:  # type: ignore[arg-type, return-value]
            return opened.process_request

    with live._requests_checked("127.0.0.1") as checked:
        assert server.serve is not plain
        assert asyncio.run(checks_of_another()) is None and not checked()
    assert server.serve is plain
