"""A live server, and what starts hostile clients beside a good one."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from live_server import Server, start_attack


@pytest.fixture(scope="module", params=["queue", "drop"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    running = Server("--on-lag", request.param)
    try:
        yield running
        assert running.stop() == 128 + signal.SIGTERM, running.told
        assert not any("Traceback" in line or "socket.send" in line for line in running.told), running.told
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(30)


@pytest.fixture
def attack() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts hostile clients, each in a process of its own: attack("ends", server, seconds)."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, server: Server, seconds: float) -> subprocess.Popen[bytes]:
        processes.append(start_attack(name, server, seconds))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait(30)
