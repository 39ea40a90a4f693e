"""Data workers end with the training that they work for, even when it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

KILLS = 20 if os.environ.get("OLIFT_SOAK") else 2


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_data_workers_end_with_a_killed_training(tiny: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    changes = ["schedule.steps=1000000", "run.workers=2", "run.report_every=1", "run.save_every=5"]
    arguments = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "olift_fast", "train", str(tiny), "--resume", *arguments]
    draw = random.Random(2)
    for _ in range(KILLS):
        # The workers hold the training's stderr: it ends when the last of them does.
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, start_new_session=True) as training:
            assert training.stderr is not None
            try:
                first = training.stderr.readline()
                os.set_blocking(training.stderr.fileno(), False)
                time.sleep(draw.random() * 0.5)
            finally:
                training.kill()
            killed = time.monotonic()
            while (rest := training.stderr.read(2**16)) != b"" and time.monotonic() < killed + 20:
                time.sleep(0 if rest else 0.01)
            with suppress(ProcessLookupError):
                os.killpg(training.pid, signal.SIGKILL)
        assert first.startswith(b"step ")
        assert rest == b"", "data workers outlive the training"
