"""How long a good client waits beside hostile ones: ``python tests/streaming/abuse/measure_attacks.py``.

It prints the 99th percentile of a good client's answers (17 joints at 30 frames a second over TCP) alone, beside each
hostile client, and beside all of them, for a server with each way of dealing with lag. The server has one thread. Run
it on a machine without other work.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from attackers import ATTACKERS
from live_server import GoodClient, Server, p99, start_attack


def beside(server: Server, good: GoodClient, names: Sequence[str], frames: int) -> float:
    """Milliseconds."""
    processes = [start_attack(name, server, 60) for name in names]
    try:
        time.sleep(0.4)  # they start
        return 1e3 * p99(good.seconds(frames))
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    for on_lag in ("drop", "queue"):
        server = Server("--on-lag", on_lag)
        good = GoodClient(server.ports["tcp"])
        good.seconds(30)
        for names in ([], *([name] for name in ATTACKERS), list(ATTACKERS)):
            called = "alone" if not names else names[0] if len(names) == 1 else f"all {len(names)}"
            print(f"{on_lag:5} {called:25} {beside(server, good, names, 90):6.1f} ms", flush=True)
        server.stop()


if __name__ == "__main__":
    main()
