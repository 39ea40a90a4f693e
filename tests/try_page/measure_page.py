"""Frames that the built page lifts in a second, in a headless Chromium: `python tests/try_page/measure_page.py`.

A generated track of 26 joints, on the threads that the page has with isolation (as many as there are cores) and on one.
Time it where nothing else runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from asking import BUILT
from browsing import browser, evaluate
from test_try_page import give, server, wait_ready

JOINTS = 26


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=1536)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        file = Path(temporary) / "generated.npz"
        steps = np.random.default_rng(0).normal(0, 2, (given.frames, JOINTS, 2))
        np.savez_compressed(file, keypoints=(300 + np.cumsum(steps, axis=0)).astype(np.float32))
        for options in ((), ("--plain",)):
            folder = Path(temporary) / f"profile{len(options)}"
            folder.mkdir()
            with server(BUILT, *options) as (url, _), browser(f"{url}#engine=wasm", folder) as devtools:
                wait_ready(devtools)
                rates = []
                # The first two rounds are left out: V8 compiles the code once more while it runs.
                for _ in range(given.rounds + 2):
                    give(devtools, [file])
                    rates.append(given.frames / evaluate(devtools, "page.result.seconds"))
                engine = evaluate(devtools, "document.getElementById('engine').textContent")
                print(
                    f"{engine}: {statistics.median(rates[2:]):.0f} frames/s, {JOINTS} joints, {given.frames} frames",
                    flush=True,
                )


if __name__ == "__main__":
    main()
