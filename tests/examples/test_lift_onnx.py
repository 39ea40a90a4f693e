"""The example in C++ lifts as the exported file does from Python, where ONNX Runtime's headers are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from olift_fast.model import Lifter, LifterConfig
from olift_fast.model.export import export
from olift_fast.tracks import Skeleton

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SOURCE = Path(__file__).resolve().parents[2] / "examples" / "lift_onnx.cpp"
JOINTS = ("left_ear", "nose", "right_ear", "neck", "tail")
BONES = ((0, 1), (1, 2), (1, 3), (3, 4))


def flags() -> list[str]:
    """Where the headers are: as pkg-config or CPATH says."""
    told = subprocess.run(["pkg-config", "--cflags", "libonnxruntime"], capture_output=True, text=True, check=False)
    return told.stdout.split()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, linked with the library that Python's package brings."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    found = list((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
    where = flags() if shutil.which("pkg-config") else []
    include = [compiler, "-x", "c++", "-std=c++17", "-fsyntax-only", "-include", "onnxruntime_cxx_api.h", *where]
    if not found or subprocess.run([*include, os.devnull], capture_output=True, check=False).returncode:
        pytest.skip("no headers or no library of ONNX Runtime (on Debian 13: apt-get install libonnxruntime-dev)")
    made = tmp_path_factory.mktemp("example") / "lift_onnx"
    # The package has it under its full version, and a program looks for the name without.
    library = made.with_name("libonnxruntime.so.1")
    library.symlink_to(found[0])
    linked = [str(library), f"-Wl,-rpath,{library.parent}", "-o", str(made)]
    done = subprocess.run(
        [compiler, "-std=c++17", "-Wall", "-Wextra", *where, str(SOURCE), *linked], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "lift_onnx.cpp" not in done.stderr, done.stderr
    return made


def lifted(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True, check=False)


def table(keypoints: np.ndarray, path: Path) -> Path:
    """With empty cells where a coordinate is not known."""
    rows = [",".join("" if np.isnan(x) else f"{x:.9g}" for x in frame.ravel()) for frame in keypoints]
    path.write_text("\n".join([",".join(f"{name}_{axis}" for name in JOINTS for axis in "xy"), *rows]) + "\n")
    return path


@pytest.mark.slow
def test_a_program_in_cpp_lifts_what_python_lifts(program: Path, tmp_path: Path) -> None:
    """More frames than it lifts at once, of a model with all inputs, and frames in which nothing is seen."""
    torch.manual_seed(0)
    config = LifterConfig(
        width=32, heads=2, frequencies=8, motion_layers=2, space_layers=1, window=(4, 3), hops=2, pitch=True, kinds=9
    )
    model = export(Lifter(config, name="tiny").eval(), tmp_path / "tiny.onnx")
    rng = np.random.default_rng(3)
    keypoints = (300 + 90 * rng.normal(size=(1100, 5, 2))).astype(np.float32)
    keypoints[rng.random((1100, 5)) < 0.2, rng.integers(2)] = np.nan
    keypoints[510:514] = np.nan

    visible = np.isfinite(keypoints).all(axis=-1)
    seen = np.where(visible[..., None], keypoints, 0).astype(np.float64)
    centered = seen - seen.sum(axis=1, keepdims=True) / np.maximum(visible.sum(axis=1), 1)[:, None, None]
    scale = np.sqrt((centered[visible] ** 2).sum(axis=-1).mean())
    for bones, told in ((BONES, ",".join(f"{JOINTS[a]}:{JOINTS[b]}" for a, b in BONES)), ((), "")):
        given = {
            "keypoints": np.where(visible[..., None], centered / scale, 0)[None].astype(np.float32),
            "visible": visible[None],
            "graph": Skeleton(JOINTS, bones).graph(hops=2)[None],
            "sides": np.array([[1, 0, -1, 0, 0]], np.float32),
            "pitch": np.array([np.nan], np.float32),
            "kinds": np.zeros((1, 5), np.int64),
        }
        (wanted,) = onnxruntime.InferenceSession(model).run(["joints"], given)
        done = lifted(program, model, table(keypoints, tmp_path / "mouse.csv"), told)
        assert done.returncode == 0, done.stderr
        head, *rows = done.stdout.splitlines()
        assert head.startswith("left_ear_x,left_ear_y,left_ear_z,nose_x,")
        found = np.array([row.split(",") for row in rows], np.float64).reshape(1100, 5, 3)
        np.testing.assert_allclose(found, wanted[0], atol=1e-4 * wanted.std())


@pytest.mark.slow
def test_what_it_cant_lift_is_told_in_one_line(program: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("nose_x,nose_y\n1,one\n")
    (tmp_path / "odd.csv").write_text("nose_x,tail_y\n1,1\n")
    (tmp_path / "no.onnx").write_text("no model")
    good = table(np.ones((2, 5, 2)), tmp_path / "good.csv")
    for arguments, told in (
        (("no.onnx", tmp_path / "absent.csv", ""), "can't read"),
        (("no.onnx", tmp_path / "bad.csv", ""), "not a number: one"),
        (("no.onnx", tmp_path / "odd.csv", ""), "got nose_x,tail_y"),
        (("no.onnx", good, "nose:paw"), "not in the table: paw"),
        ((tmp_path / "no.onnx", good, "nose:tail"), "no.onnx"),
    ):
        done = lifted(program, *arguments)
        assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1
