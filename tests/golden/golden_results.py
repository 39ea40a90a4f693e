"""Results of the public API on fixed inputs, and the file that holds them.

``python tests/golden/golden_results.py`` writes the file again. That is right only where results are meant to change:
say so in the commit.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter, lift_tracks, ops, read_keypoints, write_lifted
from olift_fast.data.generator import AnimalGenerator
from olift_fast.streaming import lift_long
from olift_fast.train import acceleration_error, fa_mpjpe, lifting_loss, n_mpjpe, pck, sa_mpjpe, sa_mpve

FILE = Path(__file__).with_name("results.npz")
FRAMES, JOINTS = 60, 17
EDGES = ((0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13))
Results = dict[str, np.ndarray]


def machine() -> str:
    """What decides the last bits of a result: processor, instruction set, version of torch, native module or none."""
    from olift_fast.cli.doctor import examine

    native = examine()["native"]
    simd = native["simd"] if native["available"] else "no native module"
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    told = dict(map(str.strip, line.split(":", 1)) for line in lines.partition("\n\n")[0].splitlines() if ":" in line)
    # A virtual machine may call many processors by one name, and libraries choose their code by family and model.
    processor = [told.get(key, "") for key in ("model name", "cpu family", "model")]
    variables = [os.environ.get(name, "") for name in ("OLIFT_BACKEND", "ATEN_CPU_CAPABILITY")]
    return json.dumps([*processor, platform.machine(), simd, torch.__version__, np.__version__, *variables])


def results() -> Results:
    """All results by name, on one thread and on inputs that hold the same bits on every machine."""
    found: Results = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for part in (_lifted, _streamed, _operations, _trained):
                found |= part(Path(folder))
    finally:
        torch.set_num_threads(threads)
    return found


def _keypoints(seed: int, frames: int = FRAMES, joints: int = JOINTS) -> np.ndarray:
    """``(T, J, 2)`` pixels of joints that wander, rounded to a quarter of a pixel; a tenth is hidden."""
    rng = np.random.default_rng(seed)
    place = rng.integers(-400, 400, (1, joints, 2))
    steps = rng.integers(-8, 9, (frames, joints, 2)).cumsum(axis=0)
    keypoints = (2000 + place + steps) / 4
    keypoints[rng.random((frames, joints)) < 0.1] = np.nan
    return keypoints.astype(np.float32)


def _floats(seed: int, *shape: int) -> torch.Tensor:
    """Multiples of 1/64 from -2 to 2."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-128, 129, shape).astype(np.float32) / 64)


def _files(folder: Path) -> dict[str, Path]:
    """One file of each of several formats."""
    two = np.stack([_keypoints(1), _keypoints(2)])
    confidence = np.where(np.isfinite(two[..., 0]), 0.75, 0.0).astype(np.float32)
    two[1, 20:58] = np.nan
    np.savez(folder / "two.npz", keypoints=two, confidence=confidence, edges=np.array(EDGES))
    names = ["nose", "left_ear", "right_ear", "left_paw", "right_paw", "tail_base"]
    few = _keypoints(3, 40, len(names))
    with (folder / "few_DLC.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["scorer", *["net"] * 3 * len(names)])
        rows.writerow(["bodyparts", *(name for name in names for _ in range(3))])
        rows.writerow(["coords", *["x", "y", "likelihood"] * len(names)])
        for number, frame in enumerate(few):
            values = [v for x, y in frame for v in (("", "", 0.0) if np.isnan(x) else (x, y, 0.9))]
            rows.writerow([number, *values])
    people = folder / "openpose"
    people.mkdir()
    for number, frame in enumerate(_keypoints(4, 30, 25)):
        flat = [float(v) for x, y in frame for v in ((0, 0, 0) if np.isnan(x) else (x, y, 0.8))]
        content = {"people": [{"person_id": [-1], "pose_keypoints_2d": flat}]}
        (people / f"clip_{number:012d}_keypoints.json").write_text(json.dumps(content), encoding="utf-8")
    return {"npz": folder / "two.npz", "csv": folder / "few_DLC.csv", "openpose": people}


def _lifted(folder: Path) -> Results:
    """Every file by every option of `lift_tracks`, and what is written."""
    found: Results = {}
    ways: dict[str, Callable[[Any], Any]] = {
        "camera": lambda tracks: lift_tracks(Lifter.from_pretrained("small"), tracks),
        "object": lambda tracks: lift_tracks(Lifter.from_pretrained("small"), tracks, frame="object"),
        "mirror": lambda tracks: lift_tracks(Lifter.from_pretrained("small"), tracks, mirror=True),
        "causal": lambda tracks: lift_tracks(Lifter.from_pretrained("small-causal"), tracks, min_confidence=0.7),
    }
    for kind, path in _files(folder).items():
        tracks = read_keypoints(path)
        found[f"{kind}/read"] = tracks.keypoints
        for way, lift in ways.items():
            lifted = lift(tracks)
            for field in ("joints", "scale", "centers", "rotation"):
                found[f"{kind}/{way}/{field}"] = getattr(lifted, field)
        written = folder / f"{kind}.lifted.npz"
        write_lifted(lifted, written)
        with np.load(written, allow_pickle=False) as arrays:
            found[f"{kind}/written"] = arrays["joints"]
    long = _keypoints(5, 300)
    lift_long(Lifter.from_pretrained("small"), long, folder / "long.npy", skeleton=_skeleton(), chunk=64)
    found["long"] = np.load(folder / "long.npy")[::7]
    return found


def _skeleton() -> Skeleton:
    return Skeleton(tuple(f"joint {number}" for number in range(JOINTS)), EDGES)


def _streamed(_: Path) -> Results:
    """Frames one by one, without and with look-ahead."""
    found: Results = {}
    for name, delay in (("causal", 0), ("delayed", 4)):
        model = Lifter.from_pretrained("small-causal").with_latency(delay)
        stream = StreamingLifter(model, _skeleton())
        out = [item.joints for keypoints in _keypoints(6) for item in stream.push(keypoints)]
        out += [item.joints for item in stream.flush()]
        found[f"stream/{name}"] = np.stack(out)
    return found


def _operations(_: Path) -> Results:
    """Each operation, forward and backward."""
    found: Results = {}

    def run(name: str, op: Callable[..., Any], *inputs: torch.Tensor) -> None:
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = op(*leaves)
        parts = out if isinstance(out, tuple) else (out,)
        sum((x * _floats(9, *x.shape)).sum() for x in parts if x.requires_grad).backward()
        found.update({f"ops/{name}/{i}": x.detach().numpy() for i, x in enumerate(parts)})
        found.update({f"ops/{name}/grad{i}": x.grad.numpy() for i, x in enumerate(leaves)})

    shape = (2, 11, 5, 2, 8)
    q, k, v = (_floats(seed, *shape) for seed in (11, 12, 13))
    visible = torch.from_numpy(np.random.default_rng(14).random((2, 11, 5)) < 0.8)
    graph = torch.from_numpy(np.random.default_rng(15).random((2, 5, 5)) < 0.6)
    run("banded", lambda q, k, v, b: ops.banded_attention(q, k, v, (3, 2), bias=b, visible=visible), q, k, v,
        _floats(16, 2, 6))  # fmt: skip
    run("joint", lambda q, k, v: ops.joint_attention(q, k, v, graph=graph, visible=visible), q, k, v)
    run("rff_encode", ops.rff_encode, _floats(17, 3, 7, 2), _floats(18, 2, 6))
    run("rff_linear", ops.rff_linear, _floats(17, 3, 7, 2), _floats(18, 2, 6), _floats(19, 16, 12), _floats(20, 16))
    x, norm, shift = _floats(21, 3, 9, 16), _floats(22, 16), _floats(23, 16)
    run("norm_linear", ops.norm_linear, x, norm, shift, _floats(24, 48, 16), _floats(25, 48))
    run("linear_residual", ops.linear_residual, x, _floats(27, 16, 16), _floats(28, 16), _floats(26, 3, 9, 16))
    run("norm_mlp", ops.norm_mlp, x, norm, shift, _floats(29, 32, 16), _floats(30, 32), _floats(31, 16, 32),
        _floats(32, 16))  # fmt: skip
    source, target = _floats(33, 4, 9, 3), _floats(34, 4, 9, 3)
    run("procrustes", lambda s, t: tuple(ops.procrustes(s, t, kind="similarity"))[:3], source, target)
    run("procrustes_mse", ops.procrustes_mse, source, target)
    lengths = torch.tensor([7, 11])
    packed = torch.stack([q, k, v], dim=3)
    run("banded_packed", lambda qkv: ops.banded_attention_packed(qkv, 4, lengths=lengths), packed)
    run("joint_packed", lambda qkv: ops.joint_attention_packed(qkv, graph=graph), packed)
    frames = torch.tensor([5, 9])
    found["ops/step"] = ops.banded_attention_step(q, k, v, frames, lengths + 3, (3, 2), visible=visible).numpy()
    # By its old name, which the releases before "eager" know, too.
    for name, op in (("banded", partial(ops.banded_attention, window=2)), ("joint", ops.joint_attention)):
        run(f"{name}_eager", partial(op, visible=visible, backend="reference"), q, k, v)
    run("procrustes_eager", lambda s, t: tuple(ops.procrustes(s, t, backend="reference"))[:3], source, target)
    return found


def _lifter(**changes: Any) -> Lifter:
    """A small lifter, whose weights are no random numbers of torch's."""
    model = Lifter(LifterConfig(width=16, heads=2, motion_layers=1, space_layers=2, frequencies=8, **changes))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(_floats(100 + number, *parameter.shape) / 8)
        for number, buffer in enumerate(model.buffers()):
            if buffer.is_floating_point():
                buffer.copy_(_floats(200 + number, *buffer.shape))
    return model


def _trained(_: Path) -> Results:
    """Loss, gradients and three steps of a small lifter, the other encodings, and the metrics."""
    model = _lifter()
    keypoints, joints = _floats(41, 2, 12, 7, 2), _floats(42, 2, 12, 7, 3)
    visible = torch.ones(2, 12, 7, dtype=torch.bool)
    labelled = torch.from_numpy(np.random.default_rng(43).random((2, 12, 7)) < 0.9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _step in range(3):
        out = model(keypoints, visible)
        options = {"keypoints": keypoints, "visible": visible, "reprojection_weight": 0.5}
        loss = lifting_loss(out, joints, labelled, **options)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    found = {"train/losses": np.array(losses), "train/joints": out.detach().numpy()}
    metrics: dict[str, Callable[..., torch.Tensor]] = {
        "fa_mpjpe": fa_mpjpe,
        "sa_mpjpe": sa_mpjpe,
        "n_mpjpe": n_mpjpe,
        "sa_mpve": sa_mpve,
        "acceleration_error": acceleration_error,
        "pck": partial(pck, threshold=1.0),
    }
    for name, metric in metrics.items():
        found[f"metrics/{name}"] = metric(out.detach(), joints, labelled).numpy()
    torch.manual_seed(0)
    drawn = Lifter(LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1))
    found["model/drawn"] = torch.cat([x.detach().flatten() for x in drawn.parameters()]).numpy()
    others = [{"encoding": name} for name in ("learnable_rff", "sinusoidal", "linear")]
    others += [{"time_encoding": name} for name in ("absolute", "table", "none")]
    for changes in others:
        found[f"model/{'/'.join(changes.values())}"] = _lifter(**changes)(keypoints, visible).detach().numpy()
    clips = AnimalGenerator(7).batch(2, 12)
    found["generator/joints"], found["generator/keypoints"] = clips.joints, clips.keypoints
    return found


if __name__ == "__main__":
    np.savez_compressed(FILE, machine=np.array(machine()), **results())
    print(f"written: {FILE}")
