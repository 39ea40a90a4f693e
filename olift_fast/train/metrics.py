"""Scores of lifted clips against the truth: one number a clip, over what is labelled.

Every metric takes joints and target ``(B, T, J, 3)`` in one unit of length (model units, pixels, millimetres) and
labelled, bool ``(B, T, J)``, where the target is known; what is not labelled is never read into arithmetic. B clips, T
frames, J joints, all but B at least 1. Every metric returns one value a clip ``(B,)``, float32 or, where an argument is
float64, float64:

- NaN where there is nothing to score: a clip without a label, a velocity in a clip of one frame;
- infinity (for `pck`, a miss) where a labelled joint is not finite, so that a lifter gone wrong never looks good.

Both point sets are first centred, frame by frame, on the mean of the labelled joints: ŷ are the joints and y the target
after that, M the labelled (frame, joint) pairs. ``kind`` is the alignment's: "similarity" (R, s and translation) or
"rigid" (s = 1). Values are differentiable, through the fit as well.

All raise ValueError where a shape, ``kind`` or an option is wrong, and TypeError where labelled is not bool.

`Mean` and `Scores` gather the values of many batches, in one process or several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
import torch.distributed
from torch import Tensor

from olift_fast.nn.loss import Alignment
from olift_fast.nn.masked import centre
from olift_fast.ops import procrustes_align

Kind = Literal["similarity", "rigid"]


def fa_mpjpe(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: Kind = "similarity") -> Tensor:
    """Frame-aligned joint error: ``mean over (t, j) in M of |s_t R_t ŷ_tj + d_t - y_tj|``, each frame fitted by itself.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        kind: of the fit.

    Returns:
        ``(B,)`` in that unit, of the target. A frame of one labelled joint adds 0, and so does one of two under
        "similarity": they fit whatever was predicted.

    Source: arXiv 2412.01166; known as PA-MPJPE or protocol 2 (Martinez et al. 2017). Equivalent to
    `olift_fast.reference.fa_mpjpe`, but for NaN where nothing is labelled.
    """
    return _mean(_difference(joints, target, labelled, "frame", kind).norm(dim=-1), labelled)


def sa_mpjpe(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: Kind = "similarity") -> Tensor:
    """Sequence-aligned joint error: ``mean over (t, j) in M of |s R ŷ_tj + d - y_tj|``, one fit for all frames.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        kind: of the fit.

    Returns:
        ``(B,)`` in that unit, of the target.

    Source: arXiv 2412.01166. Equivalent to `olift_fast.reference.sa_mpjpe`, but for NaN where nothing is labelled.
    """
    return _mean(_difference(joints, target, labelled, "sequence", kind).norm(dim=-1), labelled)


def sa_mpve(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: Kind = "similarity") -> Tensor:
    """Sequence-aligned velocity error: ``mean of |e_t+1,j - e_t,j|``, ``e = s R ŷ + d - y``, one fit for all frames.

    The mean is over joints labelled in both frames.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        kind: of the fit.

    Returns:
        ``(B,)`` in that unit a frame; NaN where no joint is labelled in two frames running.

    Source: arXiv 2412.01166; MPJVE (Pavllo et al. 2019) after alignment. Equivalent to `olift_fast.reference.sa_mpve`,
    but for NaN where that gives 0 for want of a pair.
    """
    step = _difference(joints, target, labelled, "sequence", kind).diff(dim=1)
    return _mean(step.norm(dim=-1), labelled[:, 1:] & labelled[:, :-1])


def acceleration_error(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: Kind = "similarity") -> Tensor:
    """Acceleration error: ``mean of |e_t+1,j - 2 e_t,j + e_t-1,j|``, ``e = s R ŷ + d - y``, one fit for all frames.

    The mean is over joints labelled in all three frames.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        kind: of the fit.

    Returns:
        ``(B,)`` in that unit a frame², times the frame rate squared for seconds; NaN where no joint is labelled in
        three frames running.

    Source: Kanazawa et al. 2019, who do not align.
    """
    change = _difference(joints, target, labelled, "sequence", kind).diff(n=2, dim=1)
    return _mean(change.norm(dim=-1), labelled[:, 2:] & labelled[:, 1:-1] & labelled[:, :-2])


def n_mpjpe(joints: Tensor, target: Tensor, labelled: Tensor, *, root: int | None = None) -> Tensor:
    """Scale-normalised joint error: ``mean over M of |s_t ŷ_tj - y_tj|``, ``s_t = Σ_j ŷ_tj · y_tj / Σ_j |ŷ_tj|²``.

    No rotation is fitted: the joints must be in the target's camera frame.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        root: index of the joint on which each frame is centred, as published; frames without it are left out. None
            centres on the mean of the labelled joints.

    Returns:
        ``(B,)`` in that unit, of the target. NaN where no frame has a labelled root, too.

    Source: Rhodin et al. 2018.
    """
    joints, target = _checked(joints, target, labelled)
    if root is not None and not 0 <= root < joints.shape[2]:
        raise ValueError(f"root must be in 0 … {joints.shape[2] - 1}, got {root}")
    if root is not None:
        labelled = labelled & labelled[:, :, root, None]
    known = labelled & _finite(joints, target)
    source, aim = centre(joints, known), centre(target, known)
    if root is not None:
        source, aim = (torch.where(known[..., None], x - x[:, :, root, None], 0.0) for x in (source, aim))
    spread = source.square().sum(dim=(2, 3), keepdim=True)
    scale = (source * aim).sum(dim=(2, 3), keepdim=True) / torch.where(spread > 0, spread, 1.0)
    return _mean(_lost(scale * source - aim, known, labelled).norm(dim=-1), labelled)


def pck(
    joints: Tensor,
    target: Tensor,
    labelled: Tensor,
    threshold: float,
    *,
    alignment: Alignment = "sequence",
    kind: Kind = "similarity",
) -> Tensor:
    """Share of correct keypoints: ``mean over (t, j) in M of [|s R ŷ_tj + d - y_tj| < threshold]``.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        threshold: > 0, in that unit.
        alignment: one fit a "sequence" or a "frame".
        kind: of the fit.

    Returns:
        ``(B,)`` from 0 to 1, more is better. A joint that is not finite is a miss. It has no useful gradient.

    Source: 3DPCK, Mehta et al. 2017, at 150 mm and relative to the root, without a fit.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be > 0, got {threshold}")
    if alignment not in get_args(Alignment):
        raise ValueError(f"alignment must be one of {', '.join(get_args(Alignment))}, got {alignment!r}")
    difference = _difference(joints, target, labelled, alignment, kind)
    return _mean((difference.norm(dim=-1) < threshold).to(difference.dtype), labelled)


def bone_length_drift(joints: Tensor, labelled: Tensor, edges: Sequence[tuple[int, int]]) -> Tensor:
    """How much bones stretch: ``mean over bones of std_t(ℓ) / mean_t(ℓ)``, ``ℓ_t = |joint a - joint b|``.

    The coefficient of variation of each bone's length (its standard deviation, with divisor n, over its mean) in the
    frames that have both ends labelled. Bones with fewer than two such frames are left out; one of length 0 throughout
    does not drift. No target is needed; one measured without fixed bones drifts as well.

    Args:
        joints: ``(B, T, J, 3)``, any unit of length.
        labelled: bool ``(B, T, J)``.
        edges: (E) pairs of joint indices, as `olift_fast.tracks.Skeleton.edges` holds them.

    Returns:
        ``(B,)`` without a unit, 0 for rigid bones; NaN where no bone is seen twice.
    """
    joints, _ = _checked(joints, joints, labelled)
    pairs, last = [tuple(int(joint) for joint in edge) for edge in edges], joints.shape[2] - 1
    if any(len(pair) != 2 or not 0 <= min(pair) <= max(pair) <= last for pair in pairs):
        raise ValueError(f"edges must be pairs of joints 0 … {last}, got {pairs}")
    start, end = torch.tensor(pairs, dtype=torch.int64, device=joints.device).reshape(-1, 2).unbind(dim=1)
    kept = torch.where(labelled[..., None], joints, 0.0)
    both = labelled[:, :, start] & labelled[:, :, end]
    length = torch.where(both, (kept[:, :, start] - kept[:, :, end]).norm(dim=-1), 0.0)
    frames = both.sum(dim=1).to(length.dtype)
    mean = length.sum(dim=1) / frames.clamp(min=1)
    deviation = torch.where(both, length - mean[:, None], 0.0).norm(dim=1) / frames.clamp(min=1).sqrt()
    return _mean(deviation / torch.where(mean == 0, 1.0, mean), frames > 1)


class Mean:
    """The mean of a metric over the clips of many batches; a clip with nothing to score, NaN, does not count.

    Args:
        metric: what gives one value a clip ``(B,)``; `functools.partial` sets its options.
        device: where the state is kept. That of the data spares a synchronisation an update, and NCCL needs a GPU's.

    Fields:
        state: float64 ``(2,)``, the sum of the values and their count, which an ``all_reduce`` may sum over processes.
    """

    def __init__(self, metric: Callable[..., Tensor], device: torch.device | str = "cpu") -> None:
        self.metric = metric
        self.state = torch.zeros(2, dtype=torch.float64, device=device)

    def update(self, *arguments: Any, **options: Any) -> None:
        """Score a batch: the arguments are the metric's, ``(joints, target, labelled)`` for most."""
        with torch.no_grad():
            self.add(self.metric(*arguments, **options))

    def add(self, values: Tensor) -> None:
        """Count values ``(B,)`` that are scored already."""
        values = values.detach().to(self.state)
        scored = ~values.isnan()
        # Not in place: a state made under `inference_mode` could not be updated outside it.
        self.state = self.state + torch.stack([torch.where(scored, values, 0.0).sum(), scored.sum().to(values)])

    def merge(self, other: Mean) -> None:
        """Count what another one has counted, too."""
        self.state = self.state + other.state.to(self.state)

    def over_processes(self, group: torch.distributed.ProcessGroup | None = None) -> Mean:
        """The mean over all processes of a group, on each of them, which all must call; this one stays as it is."""
        whole = Mean(self.metric, self.state.device)
        whole.state = _summed(self.state, group)
        return whole

    def compute(self) -> Tensor:
        """The mean, a float64 scalar; NaN when nothing was counted."""
        return self.state[0] / self.state[1]

    def reset(self) -> None:
        """Forget everything counted."""
        self.state = torch.zeros_like(self.state)


class Scores:
    """Means of several metrics by category: of species, actions, data sets, whatever the clips are told apart by.

    Args:
        metrics: by name, each a function of ``(joints, target, labelled)``; `functools.partial` sets options.
        device: where the states are kept, as in `Mean`.

    Fields:
        means: `Mean` by category and name; a category is there once a clip of it has been scored.
    """

    def __init__(self, metrics: Mapping[str, Callable[..., Tensor]], device: torch.device | str = "cpu") -> None:
        self.metrics = dict(metrics)
        self.device = device
        self.means: dict[str, dict[str, Mean]] = {}

    def update(
        self,
        joints: Tensor,
        target: Tensor,
        labelled: Tensor,
        categories: str | Sequence[str],
        edges: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Score a batch.

        Args:
            joints, target: ``(B, T, J, 3)``, one unit of length.
            labelled: bool ``(B, T, J)``.
            categories: of all clips, or one a clip.
            edges: the bones of all clips; given, "bone_length_drift" is scored as well.

        Raises:
            ValueError: not one category a clip, or as the metrics raise.
        """
        names = [categories] * len(joints) if isinstance(categories, str) else list(categories)
        if len(names) != len(joints):
            raise ValueError(f"categories must be one a clip, {len(joints)}, got {len(names)}")
        with torch.no_grad():
            values = {name: metric(joints, target, labelled) for name, metric in self.metrics.items()}
            if edges is not None:
                values["bone_length_drift"] = bone_length_drift(joints, labelled, edges)
        for category in dict.fromkeys(names):
            rows = [row for row, name in enumerate(names) if name == category]
            for name, value in values.items():
                self._mean(category, name).add(value[rows])

    def merge(self, other: Scores) -> None:
        """Count what another one, of the same metrics, has counted, too."""
        if other.metrics.keys() != self.metrics.keys():
            raise ValueError(f"metrics to merge must be {', '.join(self.metrics)}, got {', '.join(other.metrics)}")
        for category, means in other.means.items():
            for name, mean in means.items():
                self._mean(category, name).merge(mean)

    def over_processes(self, group: torch.distributed.ProcessGroup | None = None) -> Scores:
        """The scores over all processes of a group, on each of them, which all must call; these stay as they are.

        The processes need not have seen the same categories.
        """
        keys = [(category, name) for category, means in self.means.items() for name in means]
        if _several_processes():
            gathered: list[Any] = [None] * torch.distributed.get_world_size(group)
            torch.distributed.all_gather_object(gathered, keys, group=group)
            keys = list(dict.fromkeys(key for process in gathered for key in process))
        whole = Scores(self.metrics, self.device)
        means = [whole._mean(*key) for key in keys]
        whole.merge(self)
        if means:
            states = _summed(torch.stack([mean.state for mean in means]), group)
            for mean, state in zip(means, states, strict=True):
                mean.state = state
        return whole

    def compute(self) -> dict[str, dict[str, float]]:
        """The mean by category and metric; NaN where nothing could be scored."""
        return {
            category: dict(zip(means, torch.stack([mean.compute() for mean in means.values()]).tolist(), strict=True))
            for category, means in self.means.items()
        }

    def reset(self) -> None:
        """Forget everything counted, categories too."""
        self.means = {}

    def _mean(self, category: str, name: str) -> Mean:
        means = self.means.setdefault(category, {})
        if name not in means:
            means[name] = Mean(self.metrics.get(name, bone_length_drift), self.device)
        return means[name]


def _summed(state: Tensor, group: torch.distributed.ProcessGroup | None) -> Tensor:
    """A copy of the state, summed over the processes where there are several."""
    total = state.clone()
    if _several_processes():
        torch.distributed.all_reduce(total, group=group)
    return total


def _several_processes() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _difference(joints: Tensor, target: Tensor, labelled: Tensor, alignment: Alignment, kind: Kind) -> Tensor:
    """``s R ŷ + d - y``, ``(B, T, J, 3)``; NaN where a labelled joint is not finite."""
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    joints, target = _checked(joints, target, labelled)
    known = labelled & _finite(joints, target)
    source, aim, weights = centre(joints, known), centre(target, known), known.to(joints.dtype)
    if alignment == "frame":
        aligned = procrustes_align(source, aim, weights=weights, kind=kind)
    else:
        flat = (source.flatten(1, 2), aim.flatten(1, 2))
        aligned = procrustes_align(*flat, weights=weights.flatten(1, 2), kind=kind).view_as(source)
    return _lost(aligned - aim, known, labelled)


def _finite(joints: Tensor, target: Tensor) -> Tensor:
    return joints.isfinite().all(dim=-1) & target.isfinite().all(dim=-1)


def _lost(difference: Tensor, known: Tensor, labelled: Tensor) -> Tensor:
    """The difference, NaN at labelled joints that the fit had to leave out."""
    return torch.where((known == labelled)[..., None], difference, torch.nan)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each clip's values under the mask ``(B,)``: NaN for none, infinity where one of them is NaN."""
    values = torch.where(mask, torch.where(values.isnan(), torch.inf, values), 0.0)
    return values.flatten(1).sum(dim=1) / mask.flatten(1).sum(dim=1)


def _checked(joints: Tensor, target: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
    """joints and target in one dtype, at least float32, in which sums are exact enough."""
    if joints.dim() != 4 or joints.shape[-1] != 3 or 0 in joints.shape[1:]:
        raise ValueError(f"joints must be (B, T, J, 3) with T, J >= 1, got {tuple(joints.shape)}")
    if target.shape != joints.shape:
        raise ValueError(f"target must be {tuple(joints.shape)}, as joints are, got {tuple(target.shape)}")
    if labelled.dtype != torch.bool:
        raise TypeError(f"labelled must be bool, got {labelled.dtype}")
    if labelled.shape != joints.shape[:3]:
        raise ValueError(f"labelled must be {tuple(joints.shape[:3])}, got {tuple(labelled.shape)}")
    dtype = torch.promote_types(torch.promote_types(joints.dtype, target.dtype), torch.float32)
    return joints.to(dtype), target.to(dtype)
