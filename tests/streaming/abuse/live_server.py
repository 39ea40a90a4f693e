"""A live server in a process of its own, and a good client of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from attackers import ATTACKERS, frame

ROOT = Path(__file__).resolve().parents[3]
JOINTS = 17
TRACKS = 8
PATIENCE = 2.0


class Server:
    """`olift stream` on all three ports."""

    def __init__(self, *options: object) -> None:
        command = [
            sys.executable,
            "-m",
            "olift_fast",
            "stream",
            "--skeleton",
            "ap10k_17",
            "--scale",
            "40",
            "--tcp",
            "0",
        ]
        command += ["--udp", "0", "--websocket", "0", "--tracks", str(TRACKS), "--patience", str(PATIENCE)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [*command, *map(str, options)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment
        )
        self.told: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.ports = {name: self._port(name) for name in ("tcp", "udp", "websocket")}

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def _listen(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.told.append(line.decode().rstrip())

    def _port(self, name: str) -> int:
        for _ in range(6000):
            for line in list(self.told):
                if match := re.search(rf"listening on {name} 127\.0\.0\.1:(\d+)", line):
                    return int(match[1])
            assert self.process.poll() is None, self.told
            time.sleep(0.02)
        raise AssertionError(self.told)


class GoodClient:
    """Sends a frame now and then, and reads each answer when it comes."""

    def __init__(self, port: int) -> None:
        # Hostile clients that have just left may still hold all connections, or all tracks.
        end = time.monotonic() + 60
        while not self._is_taken(port):
            assert time.monotonic() < end, "a good client was refused for a minute"
            time.sleep(0.3)
        self.sent = 1
        self.lifted = [0]

    def seconds(self, frames: int, fps: float = 30.0) -> list[float]:
        """How long the answers to so many frames took."""
        taken: list[float] = []
        start = time.perf_counter()
        for number in range(frames):
            time.sleep(max(0.0, start + number / fps - time.perf_counter()))
            begin = time.perf_counter()
            self._socket.sendall(frame(JOINTS, t=self.sent))
            answer = self._answer()
            taken.append(time.perf_counter() - begin)
            assert answer["t"] == self.sent
            self.lifted.append(answer["frame"])
            self.sent += 1
        return taken

    def close(self) -> dict[str, Any]:
        """The answer that its track has ended."""
        self._socket.shutdown(socket.SHUT_WR)
        answer = self._answer()
        self._socket.close()
        return answer

    def _is_taken(self, port: int) -> bool:
        """Connects and sends the first frame. Where it is refused, the connection is closed again."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        try:
            self._socket.sendall(frame(JOINTS, t=0))
            if "error" not in self._answer("error"):
                return True
        except (ConnectionError, json.JSONDecodeError):
            pass  # closed while the frame was on its way
        self._answers.close()
        self._socket.close()
        return False

    def _answer(self, *more: str) -> dict[str, Any]:
        while True:
            answer = json.loads(self._answers.readline())
            if not {"joints", "end", *more}.isdisjoint(answer):
                return answer


def start_attack(name: str, server: Server, seconds: float) -> subprocess.Popen[bytes]:
    """A hostile client in a process of its own."""
    port = server.ports[ATTACKERS[name].transport]
    script = Path(__file__).with_name("attackers.py")
    command = [sys.executable, "-S", script, name, port, seconds, JOINTS]
    return subprocess.Popen(list(map(str, command)))


def p99(seconds: list[float]) -> float:
    return float(np.percentile(seconds, 99))
