"""Metrics against the reference and against loops over clips in NumPy and SciPy, and their means over batches."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from olift_fast import reference
from olift_fast.train import (
    Mean,
    Scores,
    acceleration_error,
    bone_length_drift,
    bone_ratio_error,
    depth_ratio,
    fa_mpjpe,
    n_mpjpe,
    pck,
    sa_mpjpe,
    sa_mpve,
)

EDGES = [(0, 1), (1, 2), (2, 3), (1, 4), (4, 5)]
THRESHOLD = 0.6
ALIGNED = {"fa_mpjpe": fa_mpjpe, "sa_mpjpe": sa_mpjpe, "sa_mpve": sa_mpve, "acceleration_error": acceleration_error}
EVERY: dict[str, Callable[..., Tensor]] = {
    **ALIGNED,
    "n_mpjpe": n_mpjpe,
    "n_mpjpe of a root": functools.partial(n_mpjpe, root=2),
    "pck": functools.partial(pck, threshold=THRESHOLD),
    "pck of frames": functools.partial(pck, threshold=THRESHOLD, alignment="frame"),
    "bone_length_drift": lambda joints, target, labelled: bone_length_drift(joints, labelled, EDGES),
    "bone_ratio_error": functools.partial(bone_ratio_error, edges=EDGES),
    "depth_ratio": depth_ratio,
}


def clips(count: int = 6, frames: int = 9, joints: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """joints, target (float64) and labelled: the first clip has all labels, the last has none; NaN without a label."""
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(count, frames, joints, 3)) + rng.normal(size=(count, frames, 1, 3))
    turns = Rotation.random(count, rng=rng).as_matrix()[:, None]
    lifted = 1.4 * target @ turns.transpose(0, 1, 3, 2) + 0.4 * rng.normal(size=target.shape)
    labelled = rng.random((count, frames, joints)) < np.linspace(1.1, 0.4, count)[:, None, None]
    labelled[-1] = False
    lifted[~labelled], target[~labelled] = np.nan, np.nan
    return torch.from_numpy(lifted), torch.from_numpy(target), torch.from_numpy(labelled)


def fitted(source: np.ndarray, target: np.ndarray, kind: str) -> np.ndarray:
    """The source ``(P, 3)`` moved onto the target: the rotation by an SVD (Umeyama 1991)."""
    source, aim = source - source.mean(axis=0), target - target.mean(axis=0)
    u, values, vh = np.linalg.svd(aim.T @ source)
    sign = np.array([1, 1, np.linalg.det(u @ vh)])
    scale = (values * sign).sum() / max(np.square(source).sum(), 1e-300) if kind == "similarity" else 1.0
    return scale * source @ (u @ np.diag(sign) @ vh).T + target.mean(axis=0)


def by_loop(name: str, joints: np.ndarray, target: np.ndarray, labelled: np.ndarray, kind: str) -> float:
    """One clip's score, frame by frame and joint by joint."""
    frames, places = labelled.shape
    if name == "bone_length_drift":
        drifts = []
        for a, b in EDGES:
            seen = [t for t in range(frames) if labelled[t, a] and labelled[t, b]]
            lengths = [np.linalg.norm(joints[t, a] - joints[t, b]) for t in seen]
            if len(lengths) > 1:
                drifts.append(np.std(lengths) / np.mean(lengths))
        return float(np.mean(drifts)) if drifts else math.nan
    if name == "bone_ratio_error":
        lengths = []
        for a, b in EDGES:
            seen = [t for t in range(frames) if labelled[t, a] and labelled[t, b]]
            if seen:
                lengths.append([np.mean([np.linalg.norm(x[t, a] - x[t, b]) for t in seen]) for x in (joints, target)])
        shares = np.array(lengths) / np.mean(lengths, axis=0) if lengths else np.zeros((0, 2))
        return float(np.abs(shares[:, 0] - shares[:, 1]).mean()) if len(lengths) > 1 else math.nan
    error = np.full((frames, places, 3), np.nan)
    centered = {}
    for t in range(frames):
        seen = labelled[t]
        if name == "n_mpjpe of a root" and not seen[2]:
            continue
        if seen.any():
            root = 2 if name == "n_mpjpe of a root" else seen
            center = [np.atleast_2d(x[t, root]).mean(axis=0) for x in (joints, target)]
            centered[t] = joints[t, seen] - center[0], target[t, seen] - center[1]
    if not centered:
        return math.nan
    mine, true = (np.concatenate(x) for x in zip(*centered.values(), strict=True))
    if name == "depth_ratio":
        depths = [np.linalg.norm(x[:, 2]) / np.linalg.norm(x[:, :2]) for x in (mine, true)]
        return float(depths[0] / depths[1])
    whole = fitted(mine, true, kind)
    for t, (mine, true) in centered.items():
        if name.startswith("n_mpjpe"):
            moved = mine * (mine * true).sum() / max((mine * mine).sum(), 1e-300)
        elif name in ("fa_mpjpe", "pck of frames"):
            moved = fitted(mine, true, kind)
        else:
            moved, whole = whole[: len(mine)], whole[len(mine) :]
        error[t, labelled[t]] = moved - true
    order = {"sa_mpve": 1, "acceleration_error": 2}.get(name, 0)
    sizes = np.linalg.norm(np.diff(error, n=order, axis=0), axis=-1)
    sizes = sizes[~np.isnan(sizes)]
    if name.startswith("pck"):
        return float(np.mean(sizes < THRESHOLD))
    return float(sizes.mean()) if len(sizes) else math.nan


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("kind", ["similarity", "rigid"])
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("frames", "places"), [(9, 6), (2, 6), (1, 6)])
def test_matches_a_loop_over_clips(
    name: str, kind: str, dtype: torch.dtype, tolerance: float, frames: int, places: int
) -> None:
    joints, target, labelled = clips(frames=frames, joints=places, seed=frames)
    options = {} if name.startswith(("n_mpjpe", "bone", "depth")) else {"kind": kind}
    got = EVERY[name](joints.to(dtype), target.to(dtype), labelled, **options)
    arrays = zip(joints.numpy(), target.numpy(), labelled.numpy(), strict=True)
    wanted = [by_loop(name, mine, true, seen, kind) for mine, true, seen in arrays]
    assert got.dtype == dtype and got.shape == (len(joints),)
    assert math.isnan(wanted[-1])
    np.testing.assert_allclose(got.numpy(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["fa_mpjpe", "sa_mpjpe", "sa_mpve"])
@pytest.mark.parametrize("kind", ["similarity", "rigid"])
def test_matches_the_reference(name: str, kind: str) -> None:
    joints, target, labelled = clips(frames=11, joints=17, seed=3)
    wanted = getattr(reference, name)(joints, target, labelled, kind=kind)
    got = EVERY[name](joints, target, labelled, kind=kind)
    assert torch.allclose(got[:-1], wanted[:-1], rtol=1e-12)
    assert got[-1].isnan() and wanted[-1] == 0


def test_rotation_is_scipys() -> None:
    joints, target, labelled = clips(count=2, frames=5)
    joints, target = joints[0], target[0]
    flat = [(x - x.mean(dim=1, keepdim=True)).reshape(-1, 3).numpy() for x in (joints, target)]
    rotation, _ = Rotation.align_vectors(flat[1], flat[0])
    wanted = np.linalg.norm(rotation.apply(flat[0]) - flat[1], axis=-1).mean()
    assert float(sa_mpjpe(joints[None], target[None], labelled[:1], kind="rigid")) == pytest.approx(wanted, rel=1e-12)


def test_what_a_fit_takes_away_is_no_error() -> None:
    _, target, labelled = clips()
    turns = torch.from_numpy(Rotation.random(6, rng=np.random.default_rng(1)).as_matrix())[:, None]
    moved = 3 * target @ turns.mT + torch.randn(6, 9, 1, 3, dtype=torch.float64)
    for metric in ALIGNED.values():
        assert float(metric(moved, target, labelled)[:-1].max()) < 1e-12
        assert float(metric(moved, target, labelled, kind="rigid")[:-1].min()) > 0.1
    assert (pck(moved, target, labelled, 1e-6)[:-1] == 1).all()
    mirrored = target * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert float(sa_mpjpe(mirrored, target, labelled)[:-1].min()) > 0.1
    assert float(n_mpjpe(3 * target + 1, target, labelled)[:-1].max()) < 1e-12
    assert float(n_mpjpe(moved, target, labelled)[:-1].min()) > 0.1


def test_one_joint_is_its_own_center() -> None:
    joints, target, labelled = clips(joints=1)
    for name in ("fa_mpjpe", "sa_mpjpe", "sa_mpve", "acceleration_error", "n_mpjpe"):
        got = EVERY[name](joints, target, labelled)
        assert (got[:2] == 0).all() and got[-1].isnan()
    assert bone_length_drift(joints, labelled, []).isnan().all()


def test_drift_by_hand() -> None:
    joints = torch.zeros(1, 4, 4, 3)
    joints[0, :, 1, 0] = torch.tensor([1.0, 3.0, 1.0, 3.0])
    joints[0, :, 2, 1] = 2
    labelled = torch.ones(1, 4, 4, dtype=torch.bool)
    assert float(bone_length_drift(joints, labelled, [(0, 1)])) == pytest.approx(0.5)
    assert float(bone_length_drift(joints, labelled, [(0, 1), (2, 0)])) == pytest.approx(0.25)
    assert float(bone_length_drift(joints, labelled, [(0, 3)])) == 0
    labelled[0, 1:, 1] = False
    assert float(bone_length_drift(joints, labelled, [(0, 1), (0, 2)])) == 0
    assert bone_length_drift(joints, labelled, [(0, 1)]).isnan()


def test_proportions_by_hand() -> None:
    target = torch.zeros(1, 2, 3, 3)
    target[:, :, 1, 0], target[:, :, 2, 0] = 1, 2
    joints, labelled = target.clone(), torch.ones(1, 2, 3, dtype=torch.bool)
    joints[:, :, 2, 0] = 4  # bones of 1 and 3 in place of 1 and 1: 0.5 and 1.5 of their mean
    edges = [(0, 1), (1, 2)]
    assert float(bone_ratio_error(joints, target, labelled, edges)) == pytest.approx(0.5)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    assert float(bone_ratio_error(3 * joints @ turn + 7, target, labelled, edges)) == pytest.approx(0.5, abs=1e-5)
    assert bone_ratio_error(joints, target, labelled, edges[:1]).isnan()
    assert float(bone_ratio_error(0 * joints, target, labelled, edges)) == 1


def test_depth_by_hand() -> None:
    joints, target, labelled = clips(frames=5)
    half = target * torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64)
    assert torch.allclose(depth_ratio(3 * half + 2, target, labelled)[:-1], torch.tensor(0.5, dtype=torch.float64))
    flattened = target * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    assert (depth_ratio(flattened, target, labelled)[:-1] == 0).all()
    assert depth_ratio(joints, flattened, labelled).isnan().all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_a_lifter_gone_wrong_never_looks_good(
    name: str, value: float, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLIFT_BACKEND", backend)
    joints, target, labelled = clips()
    right = EVERY[name](joints, target, labelled)
    wrong = joints.clone()
    wrong[0, 3, 2] = value
    got = EVERY[name](wrong, target, labelled)
    if name.startswith("pck"):
        assert 0 < float(got[0]) < 1
        wrong[0] = value
        assert float(EVERY[name](wrong, target, labelled)[0]) == 0
    else:
        assert got[0] == torch.inf
    assert torch.equal(got[1:-1], right[1:-1]) and got[-1].isnan()


@pytest.mark.parametrize("name", EVERY)
def test_layout_and_dtype_do_not_matter(name: str) -> None:
    joints, target, labelled = (x.float() if x.is_floating_point() else x for x in clips())
    wanted = EVERY[name](joints, target, labelled)
    strided = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (joints, target, labelled)]
    assert torch.allclose(EVERY[name](*strided), wanted, rtol=1e-5, equal_nan=True)
    half = joints.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = EVERY[name](half, target, labelled)
    assert torch.allclose(got, EVERY[name](half.float(), target, labelled), rtol=1e-5, equal_nan=True)
    assert EVERY[name](joints, target.double(), labelled).dtype == (
        torch.float32 if name == "bone_length_drift" else torch.float64
    )
    assert EVERY[name](*(x[:0] for x in (joints, target, labelled))).shape == (0,)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in EVERY if not name.startswith("pck")])
def test_gradients_reach_what_is_labelled_and_nothing_else(name: str) -> None:
    joints, target, labelled = (x[:3] for x in clips(frames=4))
    joints = joints.requires_grad_()
    (gradient,) = torch.autograd.grad(EVERY[name](joints, target, labelled).sum(), joints)
    assert (gradient[~labelled] == 0).all() and gradient.isfinite().all() and (gradient != 0).any()
    seen = torch.ones_like(labelled[:1])
    score = functools.partial(EVERY[name], target=target[:1], labelled=seen)
    assert torch.autograd.gradcheck(lambda points: score(points), joints[:1].detach().requires_grad_())


def test_refuses_what_it_cannot_score() -> None:
    joints, target, labelled = clips()
    for wrong in (joints[0], joints[..., :2], joints[:, :0]):
        with pytest.raises(ValueError, match=r"joints must be \(B, T, J, 3\)"):
            sa_mpjpe(wrong, target, labelled)
    with pytest.raises(ValueError, match="target must be"):
        n_mpjpe(joints, target[:1], labelled)
    with pytest.raises(ValueError, match=r"labelled must be \(6, 9, 6\), got \(6, 9\)"):
        fa_mpjpe(joints, target, labelled[..., 0])
    with pytest.raises(TypeError, match="labelled must be bool, got"):
        fa_mpjpe(joints, target, labelled.float())
    with pytest.raises(ValueError, match="kind must be one of similarity, rigid, got 'rotation'"):
        EVERY["sa_mpve"](joints, target, labelled, kind="rotation")
    with pytest.raises(ValueError, match="threshold must be > 0, got 0"):
        pck(joints, target, labelled, 0)
    with pytest.raises(ValueError, match="alignment must be one of sequence, frame, got 'clip'"):
        EVERY["pck"](joints, target, labelled, alignment="clip")
    with pytest.raises(ValueError, match="root must be in 0 … 5, got -1"):
        n_mpjpe(joints, target, labelled, root=-1)
    unusable: list[Any] = [[(0, 6)], [(-1, 0)], [(0, 1, 2)]]
    for edges in unusable:
        with pytest.raises(ValueError, match="edges must be pairs of joints 0 … 5"):
            bone_length_drift(joints, labelled, edges)


def test_mean_is_over_clips_whatever_the_batches() -> None:
    batch = clips()
    wanted = float(sa_mpjpe(*batch)[:-1].mean())
    with torch.inference_mode():
        mean = Mean(sa_mpjpe)
        assert mean.compute().isnan()
        mean.update(*(x[:1] for x in batch))
    mean.update(*(x[1:4] for x in batch))
    other = Mean(sa_mpjpe)
    other.update(*(x[4:] for x in batch), kind="similarity")
    mean.merge(other)
    assert float(mean.compute()) == pytest.approx(wanted, rel=1e-12)
    assert mean.state.tolist() == pytest.approx([5 * wanted, 5])
    assert float(mean.over_processes().compute()) == float(mean.compute())
    broken = batch[0].clone()
    broken[0] = torch.nan
    mean.update(broken, *batch[1:])
    assert mean.compute() == torch.inf
    mean.reset()
    assert mean.state.tolist() == [0, 0]
    mean.update(*batch)
    assert float(mean.compute()) == pytest.approx(wanted, rel=1e-12)


def test_scores_tell_categories_apart() -> None:
    joints, target, labelled = clips()
    categories = ["dog", "cat", "dog", "cat", "dog", "ant"]
    scores = Scores({"sa": sa_mpjpe, "pck": functools.partial(pck, threshold=THRESHOLD)})
    scores.update(joints, target, labelled, categories, EDGES)
    got = scores.compute()
    values = {
        "sa": sa_mpjpe(joints, target, labelled),
        "pck": pck(joints, target, labelled, THRESHOLD),
        "bone_length_drift": bone_length_drift(joints, labelled, EDGES),
    }
    assert {category: list(means) for category, means in got.items()} == {
        name: [*values] for name in ("dog", "cat", "ant")
    }
    for name, value in values.items():
        assert got["dog"][name] == pytest.approx(float(value[[0, 2, 4]].mean()))
        assert got["cat"][name] == pytest.approx(float(value[[1, 3]].mean()))
        assert math.isnan(got["ant"][name])
    halves = [Scores(scores.metrics), Scores(scores.metrics)]
    halves[0].update(joints[:2], target[:2], labelled[:2], categories[:2], EDGES)
    halves[1].update(joints[2:], target[2:], labelled[2:], categories[2:], EDGES)
    halves[0].merge(halves[1])
    assert halves[0].compute() == {name: pytest.approx(means, nan_ok=True) for name, means in got.items()}
    with pytest.raises(ValueError, match="metrics to merge must be sa, pck, got sa"):
        scores.merge(Scores({"sa": sa_mpjpe}))
    with pytest.raises(ValueError, match="categories must be one a clip, 6, got 2"):
        scores.update(joints, target, labelled, ["dog", "cat"])
    scores.reset()
    assert scores.compute() == {}
    scores.update(joints[:5], target[:5], labelled[:5], "all")
    assert scores.compute() == {"all": pytest.approx({name: float(values[name][:5].mean()) for name in ("sa", "pck")})}


def scores_of_one_process(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    rows = (slice(0, 2), slice(2, 5))[rank]
    joints, target, labelled = (x[rows] for x in clips())
    scores, mean = Scores({"sa": sa_mpjpe, "fa": fa_mpjpe}), Mean(sa_mpjpe)
    scores.update(joints, target, labelled, ["dog", "cat", "dog", "bee", "bee"][rows])
    mean.update(joints, target, labelled)
    whole = [
        scores.over_processes().compute(),
        scores.over_processes().compute(),
        float(mean.over_processes().compute()),
    ]
    torch.distributed.all_reduce(mean.state)
    torch.save([*whole, float(mean.compute())], f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_agree_on_the_scores_of_all(tmp_path: Path) -> None:
    spawn(scores_of_one_process, args=(str(tmp_path),), nprocs=2)
    joints, target, labelled = (x[:5] for x in clips())
    scores = Scores({"sa": sa_mpjpe, "fa": fa_mpjpe})
    scores.update(joints, target, labelled, ["dog", "cat", "dog", "bee", "bee"])
    wanted = {category: pytest.approx(means) for category, means in scores.compute().items()}
    mean = pytest.approx(float(sa_mpjpe(joints, target, labelled).mean()))
    for rank in range(2):
        assert torch.load(tmp_path / str(rank)) == [wanted, wanted, mean, mean]
