"""The command line lifts, streams and tells what is in a file in a process in which torch can't be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import needs_native, save_random_lifter

from olift_fast import Lifter, lift_tracks, read_keypoints, read_lifted

pytestmark = [needs_native, pytest.mark.slow]

JOINTS, FRAMES = ("nose", "left_ear", "right_ear", "left_paw", "right_paw", "tail_base"), 40
EDGES = [["nose", "left_ear"], ["nose", "right_ear"], ["nose", "tail_base"], ["left_paw", "tail_base"]]


@pytest.fixture(scope="module", autouse=True)
def no_torch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """New processes, and theirs, find modules in place of torch that can't be imported."""
    folder = tmp_path_factory.mktemp("before_the_installed")
    for name in ("torch", "triton", "lightning_fabric"):
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} is not installed')\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))
        yield


def python(*arguments: object, input: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, input=input, capture_output=True, text=True, timeout=300)


def olift(*arguments: object, input: str | None = None) -> str:
    """What a command prints."""
    done = python("-m", "olift_fast", *arguments, input=input)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DeepLabCut table, its skeleton, and an untrained model."""
    folder = tmp_path_factory.mktemp("recording")
    rng = np.random.default_rng(0)
    points = 300 + rng.normal(0, 60, (1, len(JOINTS), 2)) + rng.normal(0, 2, (FRAMES, len(JOINTS), 2)).cumsum(axis=0)
    lines = [
        ",".join(["scorer", *["net"] * 3 * len(JOINTS)]),
        ",".join(["bodyparts", *(name for name in JOINTS for _ in range(3))]),
        ",".join(["coords", *["x", "y", "likelihood"] * len(JOINTS)]),
    ]
    for number, frame in enumerate(points):
        lines.append(",".join([str(number), *(f"{value:.3f}" for x, y in frame for value in (x, y, 0.9))]))
    (folder / "mouse.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rig = {"names": JOINTS, "edges": EDGES}
    (folder / "rig.json").write_text(json.dumps(rig), encoding="utf-8")
    save_random_lifter(folder / "model")
    return folder


@pytest.fixture(scope="module")
def wanted(folder: Path) -> Any:
    """What the lifter of torch's modules gives."""
    from olift_fast.io import read_skeleton

    tracks = read_keypoints(folder / "mouse.csv", skeleton=read_skeleton(str(folder / "rig.json")))
    return lift_tracks(Lifter.from_pretrained(folder / "model"), tracks)


def assert_same(joints: np.ndarray, wanted: Any) -> None:
    assert np.abs(joints - wanted.joints).max() <= 1e-6 * wanted.scale.max() * np.ptp(wanted.joints, axis=2).max()


def test_lift(folder: Path, wanted: Any) -> None:
    out = folder / "lifted.npz"
    given = ("--skeleton", folder / "rig.json", "--model", folder / "model", "-o", out)
    told = json.loads(olift("lift", folder / "mouse.csv", *given, "--json"))
    assert told["torch"] is None and told["frames"] == FRAMES
    assert_same(read_lifted(out).joints, wanted)


def test_lift_of_a_shipped_model_with_a_page(folder: Path) -> None:
    pytest.importorskip("plotly")
    page = folder / "page.html"
    olift("lift", folder / "mouse.csv", "-o", folder / "small.npz", "--html", page, "--mirror")
    assert page.stat().st_size > 10_000
    again = folder / "again.html"
    olift("view", folder / "small.npz", "-o", again)
    assert again.stat().st_size > 10_000


def test_info(folder: Path) -> None:
    assert json.loads(olift("info", folder / "mouse.csv", "--json"))["frames"] == FRAMES


def test_stream(folder: Path) -> None:
    points = read_keypoints(folder / "mouse.csv").keypoints[0]
    lines = "".join(json.dumps({"keypoints": frame.tolist()}) + "\n" for frame in points)
    given = ("--skeleton", folder / "rig.json", "--model", folder / "model", "--latency-frames", 0)
    answers = [json.loads(line) for line in olift("stream", *given, input=lines).splitlines()]
    joints = [answer["joints"] for answer in answers if "joints" in answer]
    assert len(joints) == FRAMES and np.isfinite(np.array(joints[-1], dtype=float)).all()


def test_demo(tmp_path: Path) -> None:
    told = json.loads(olift("demo", tmp_path / "demo", "--frames", 24, "--json"))
    assert 0 < told["sa_mpjpe_percent"] < told["flat_sa_mpjpe_percent"]


def test_doctor() -> None:
    told = json.loads(olift("doctor", "--json"))
    assert told["ok"] and told["problems"] == []
    assert told["torch"] == "torch cannot be imported: torch is not installed"
    assert told["backends"]["native"] is None and told["backends"]["eager"] == told["torch"]
    assert told["native"]["available"] and told["threads"] >= 1
    assert "threads of its own" in olift("doctor")


def test_archive(folder: Path, wanted: Any, tmp_path: Path) -> None:
    """Its workers are processes of their own."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "mouse.csv").write_bytes((folder / "mouse.csv").read_bytes())
    given = ("--skeleton", folder / "rig.json", "--model", folder / "model", "-o", tmp_path / "out", "--workers", 1)
    olift("archive", tmp_path / "in", *given)
    (result,) = (tmp_path / "out").rglob("*.npz")
    assert_same(read_lifted(result).joints, wanted)


def test_library(folder: Path, wanted: Any, tmp_path: Path) -> None:
    """Tracks, long recordings and a live loop, from Python."""
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "import olift_fast\n"
        "from olift_fast.io import read_skeleton\n"
        "from olift_fast.streaming import LiftingProcessor, lift_long\n"
        f"folder, out = Path({str(folder)!r}), Path({str(tmp_path)!r})\n"
        "model = olift_fast.load(folder / 'model')\n"
        "rig = read_skeleton(str(folder / 'rig.json'))\n"
        "tracks = olift_fast.read_keypoints(folder / 'mouse.csv', skeleton=rig)\n"
        "np.save(out / 'tracks.npy', olift_fast.lift_tracks(model, tracks).joints)\n"
        "lift_long(model, tracks.keypoints[0], out / 'long.npy', skeleton=rig, chunk=16)\n"
        "processor = LiftingProcessor(rig, model)\n"
        "for pose in tracks.keypoints[0]:\n"
        "    processor.process(np.concatenate([pose, np.ones((len(pose), 1))], axis=1))\n"
        "print(type(model).__name__, 'torch' in sys.modules)\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "NativeLifter False\n"
    assert_same(np.load(tmp_path / "tracks.npy"), wanted)
    assert_same(np.load(tmp_path / "long.npy")[None], wanted)


def test_what_needs_torch_says_so_in_one_line(folder: Path, tmp_path: Path) -> None:
    for asked, why in (
        (("--backend", "eager"), "the backend asked for is eager"),
        (("--device", "cuda"), "the device asked for is cuda"),
    ):
        done = python("-m", "olift_fast", "lift", folder / "mouse.csv", "-o", tmp_path / "x.npz", *asked)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert f"needs PyTorch ({why}), which can't be imported: torch is not installed" in done.stderr
        assert not (tmp_path / "x.npz").exists()
