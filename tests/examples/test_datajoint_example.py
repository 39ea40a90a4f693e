"""The example of a DataJoint table, in a real database on loopback, where MariaDB and DataJoint are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from olift_fast.io import read_lifted

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "archives"
PROGRAM = """
import json, sys
from datajoint_table import KeypointFile, LiftedRecording

KeypointFile.insert(json.loads(sys.argv[1]), skip_duplicates=True)
LiftedRecording.populate(reserve_jobs=True, suppress_errors=True)
rows = [[str(one), str(result)] for one, result in zip(*LiftedRecording.fetch("recording_id", "result"))]
print(json.dumps([rows, len(LiftedRecording.key_source - LiftedRecording)]))
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A new MariaDB: what DataJoint reads of it in the environment."""
    programs = [shutil.which(name) for name in ("mariadbd", "mariadb-install-db")]
    if importlib.util.find_spec("datajoint") is None or None in programs:
        pytest.skip("could not import datajoint, or no MariaDB: they are not installed")
    server, install = map(str, programs)
    folder = tmp_path / "database"
    user = [f"--user={os.environ.get('USER') or 'root'}"] if os.geteuid() == 0 else []
    made = ["--no-defaults", f"--datadir={folder}", "--skip-test-db", "--auth-root-authentication-method=normal", *user]
    subprocess.run([install, *made], check=True, capture_output=True)
    (tmp_path / "users.sql").write_text(
        "CREATE USER lab@'127.0.0.1' IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO lab@'127.0.0.1';\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--datadir={folder}", f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--port={port}"]
    options += ["--bind-address=127.0.0.1", "--skip-name-resolve", f"--init-file={tmp_path}/users.sql", *user]
    running = subprocess.Popen(
        [server, "--no-defaults", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            assert running.poll() is None, "MariaDB did not start"
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        told = {"DJ_HOST": "127.0.0.1", "DJ_PORT": str(port), "DJ_USER": "lab", "DJ_PASS": "secret"}
        yield told | {"DJ_USE_TLS": "false"}
    finally:
        running.terminate()
        running.wait()


@pytest.mark.slow
def test_a_table_of_datajoint_lifts_what_is_not_lifted_yet(database: dict[str, str], tmp_path: Path) -> None:
    rows = ["nose_x,nose_y,tail_x,tail_y", *(f"{t}.5,{t},{2 * t},{t + 3}" for t in range(5))]
    for name in ("mouse", "rat"):
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    (tmp_path / "broken.csv").write_text("no,keypoints\n1,2\n")

    def populated(*recordings: tuple[str, float | None]) -> tuple[dict[str, str], int]:
        """The lifted ones, and how many are missing."""
        told = [{"recording_id": one, "path": str(tmp_path / f"{one}.csv"), "fps": fps} for one, fps in recordings]
        environment = os.environ | database | {"PYTHONPATH": str(EXAMPLES)}
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(told)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lifted, missing = json.loads(done.stdout.splitlines()[-1])
        return dict(lifted), missing

    lifted, missing = populated(("mouse", None), ("broken", None))
    assert lifted.keys() == {"mouse"} and missing == 1
    before = (tmp_path / lifted["mouse"]).stat().st_mtime_ns
    lifted, missing = populated(("rat", 60.0))
    assert lifted.keys() == {"mouse", "rat"} and missing == 1
    assert (tmp_path / lifted["mouse"]).stat().st_mtime_ns == before
    result = read_lifted(tmp_path / lifted["rat"])
    assert result.num_frames == 5 and result.fps == 60
    assert read_lifted(tmp_path / lifted["mouse"]).fps is None
