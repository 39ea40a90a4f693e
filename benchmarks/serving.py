"""How many clients one core serves: ``python -m benchmarks.serving``, with the numbers of clients if others are wanted.

`olift stream` runs on one core with one thread, and clients in another process on the other cores, over TCP on this
machine. Each client is a camera of its own: a track of 17 joints at 30 frames a second, none in step with another. A
time is that from writing a frame's line into a socket to having read its answer. All numbers of clients are measured by
turns, and the medians of the turns are told.

Other programs spoil this: before and after each turn a loop on the server's core tells which share of it was free. Only
Linux lets a process choose its cores.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CLIENTS = (1, 8, 16, 24, 32, 48, 64)
FPS = 30.0
JOINTS = 17
WARMUP = 1.0
"""Seconds that are not counted: in the first, all tracks begin."""
ROOT = Path(__file__).resolve().parent.parent


class Row(NamedTuple):
    """One turn of so many clients; times in milliseconds."""

    clients: int
    frames: int
    unanswered: int
    p50: float
    p99: float
    longest: float
    cpu: float
    """Milliseconds of processor time that the server took for each frame."""
    free: float
    """Share of the server's core that was free for it."""


def measure(clients: int, seconds: float) -> Row:
    """A server of its own for so many clients."""
    own, *others = sorted(os.sched_getaffinity(0), reverse=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    options = ["--skeleton", "ap10k_17", "--scale", "50", "--tcp", "0", "--tracks", str(max(CLIENTS))]
    free = free_share(own)
    with subprocess.Popen(
        [sys.executable, "-m", "olift_fast", "stream", *options],
        stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {own}),
    ) as server:  # fmt: skip
        assert server.stderr
        found = (re.search(r"tcp 127\.0\.0\.1:(\d+)", line) for line in server.stderr)
        port = next(match[1] for match in found if match)
        before = processor_seconds(server.pid)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.serving", "--port", port, "--seconds", str(seconds), str(clients)],
            stdout=subprocess.PIPE, check=True, cwd=ROOT, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, set(others or [own])),
        )  # fmt: skip
        spent = processor_seconds(server.pid) - before
        server.send_signal(signal.SIGTERM)
        server.communicate()
    told = json.loads(done.stdout)
    free = min(free, free_share(own))
    return Row(clients, cpu=1e3 * spent / max(1, told["frames"] - told["unanswered"]), free=free, **told)


def serve_clients(port: int, clients: int, seconds: float) -> dict[str, Any]:
    """Sends the frames of all clients when they are due, and reads the answers when they come."""
    random = np.random.default_rng(0)
    points = 300 + 50 * random.standard_normal((64, JOINTS, 3))
    points[..., 2] = random.random((64, JOINTS))
    lines = [json.dumps({"keypoints": frame.round(2).tolist()}).encode() + b"\n" for frame in points]
    selector = selectors.DefaultSelector()
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(clients)]
    for number, client in enumerate(sockets):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ, number)
    start = time.perf_counter() + 0.1
    end = start + WARMUP + seconds
    due = [(start + shift / FPS, number) for number, shift in enumerate(random.random(clients))]
    heapq.heapify(due)
    sent: list[deque[float]] = [deque() for _ in sockets]
    taken: list[float] = []
    frames = 0
    while due or (any(sent) and time.perf_counter() < end + 5):
        while due and due[0][0] <= time.perf_counter():
            when, number = heapq.heappop(due)
            sockets[number].send(lines[frames % len(lines)])
            sent[number].append(time.perf_counter())
            frames += 1
            if when + 1 / FPS < end:
                heapq.heappush(due, (when + 1 / FPS, number))
        wait = max(0.0, due[0][0] - time.perf_counter()) if due else 0.1
        for key, _ in selector.select(wait):
            for _ in range(sockets[key.data].recv(1 << 18).count(b"\n")):
                begin = sent[key.data].popleft()
                if begin >= start + WARMUP:
                    taken.append(1e3 * (time.perf_counter() - begin))
    p50, p99, longest = np.percentile(taken, (50, 99, 100)).tolist()
    return {"frames": frames, "unanswered": sum(map(len, sent)), "p50": p50, "p99": p99, "longest": longest}


def processor_seconds(process: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_share(core: int) -> float:
    """The share of a core that a loop on it gets in a third of a second."""
    code = (
        f"import os, time; os.sched_setaffinity(0, [{core}]); t, c = time.perf_counter(), time.process_time()\n"
        "while time.perf_counter() < t + 0.33: pass\n"
        "print((time.process_time() - c) / (time.perf_counter() - t))"
    )
    return float(subprocess.run([sys.executable, "-Sc", code], stdout=subprocess.PIPE, check=True).stdout)


def machine() -> dict[str, str]:
    """The processor, and the instruction set of the kernels."""
    from olift_fast.ops.native_module import native_module

    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    native = native_module()
    simd = "no native module" if native is None else str(native.info()["simd"])
    return {"processor": model[1] if model else "unknown", "simd": simd}


def table(rows: list[Row]) -> list[str]:
    """Lines of the table: medians over the turns."""
    lines = ["| clients | frames/s | p50 ms | p99 ms | longest ms | processor ms a frame | unanswered | core free |"]
    lines.append("|" + "--:|" * 8)
    for clients in sorted({row.clients for row in rows}):
        own = np.array([row for row in rows if row.clients == clients])
        _, _, unanswered, *times, cpu, free = np.median(own, axis=0)
        shown = " | ".join(f"{time:.1f}" for time in times)
        lines.append(f"| {clients} | {clients * FPS:,.0f} | {shown} | {cpu:.2f} | {unanswered:.0f} | {free:.0%} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("clients", type=int, nargs="*", default=CLIENTS, help="numbers of clients")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, help="also write all turns here, as JSON")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.port is not None:
        print(json.dumps(serve_clients(given.port, given.clients[0], given.seconds)))
        return
    rows: list[Row] = []
    for turn in range(given.turns):
        for clients in given.clients:
            rows.append(measure(clients, given.seconds))
            print(f"turn {turn + 1}: {rows[-1]}", file=sys.stderr)
    told = machine()
    print("\n".join([f"{told['processor']}, {told['simd']}, one core", "", *table(rows)]))
    if given.out is not None:
        given.out.write_text(json.dumps(told | {"turns": [row._asdict() for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
