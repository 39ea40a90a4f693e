"""Learns a body from its own 2D: trains a lifter on keypoints whose 3D is not known.

Bones keep their lengths in every frame, view and recording of an individual. These lengths follow from the 2D, because
no bone looks longer than it is. If the lifter's own lengths differ from them, its depth is wrong, and training can
correct it.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from olift_fast.bodies.body import Body
from olift_fast.errors import InputError
from olift_fast.model import Lifter
from olift_fast.nn.masked import center, masked_mean
from olift_fast.ops.native_module import why_not_products
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.train.body import (
    body_of,
    bone_weights,
    by_individual,
    length_over_frames,
    lengths_in_picture,
    logarithms,
    mixed_names,
    scales_of,
    seen_in_full,
    share_along_view,
    shared_lengths,
    shown_share,
)
from olift_fast.train.evaluate import check_time_table
from olift_fast.train.fitting import go_part_way
from olift_fast.train.label_free import SIGNS, LabelFree, Verdict, label_free, lifted_clips, mirrored_back, verdict
from olift_fast.train.own_clips import OwnClips, copies_in, held_apart, own_clips
from olift_fast.train.schedule import warm_cosine

Watch = Callable[[int, int], None]
"""Called with the number of steps done, and the number of all steps."""

Foresee = Callable[["Outlook"], None]
"""Called once before the training; it can raise an error to end the work."""

MOST_LEARNED, MOST_HELD_OUT = 400, 80
"""The most clips; of more, this many are taken, spread over the recordings."""


@dataclass(frozen=True, kw_only=True)
class AdaptPlan:
    """How a lifter learns a body.

    Args:
        steps: of the optimizer.
        minutes: the most time for the steps; after it the training stops early. None for no limit.
        clips, frames: of a step.
        learning_rate: after `warmup` steps; it falls to 0 along a cosine.
        looseness: the share of its own change over time that a bone's length keeps, 0 … 1: 0 asks for one length, 1
            corrects only the mean.
        tolerance: (smallest, largest) tolerance of a bone's length, in mean bones: larger errors count little. The
            tolerance is the smallest one plus the error of the lifter's lengths against those of the 2D.
        share: the new weights are this share of the way from the old weights to the trained ones, 0 … 1.
        own_depth: weight of the lifter's own depth, if its bones have the right lengths already.
        doubt: the error of its lengths at which that weight is halved, and half of the difference is trusted.
        seed: of the order of clips.
    """

    steps: int = 45
    minutes: float | None = None
    clips: int = 6
    frames: int = 16
    learning_rate: float = 5e-4
    warmup: int = 10
    looseness: float = 0.4
    tolerance: tuple[float, float] = (0.1, 0.3)
    share: float = 0.7
    own_depth: float = 0.2
    doubt: float = 0.04
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "clips", "frames", "warmup"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be >= 1, got {getattr(self, name)}")
        for name in ("learning_rate", "doubt"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must be above 0, got {getattr(self, name):g}")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InputError(f"minutes must be above 0, got {self.minutes:g}")
        least, most = self.tolerance
        if not 0 < least <= most < math.inf:
            raise InputError(f"tolerance must be two numbers above 0, the smaller first, got {least:g} and {most:g}")
        for name in ("looseness", "share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be from 0 to 1, got {getattr(self, name):g}")
        if not 0 <= self.own_depth < math.inf:
            raise InputError(f"own_depth must be >= 0, got {self.own_depth:g}")


@dataclass(frozen=True, eq=False)
class Outlook:
    """Facts about the recordings before the training.

    Args:
        body: bone lengths from the 2D, shared and of individuals.
        apart: the distance of the lifter's bone lengths from those of the 2D, on the clips to learn from.
        views: the share of their lengths that bones show in the picture (`olift_fast.train.body.shown_share`).
        along: the share of the bones along the view (`olift_fast.train.body.share_along_view`).
        mixed: names of individuals whose recordings differ in proportions, and by how much (`mixed_names`).
        copies: numbers of recordings that are left out as copies of others (`copies_in`).
        foreshortened: the ends of bones that are never seen at full length; the lengths of these are guesses.
        learned, held_out: the numbers of clips.
        frames: of a clip.
        tracks: the number of tracks that the clips are from.
    """

    body: Body
    apart: float
    views: float
    along: float
    mixed: tuple[tuple[str, float], ...]
    copies: tuple[int, ...]
    foreshortened: tuple[tuple[str, str], ...]
    learned: int
    held_out: int
    frames: int
    tracks: int


@dataclass(frozen=True, eq=False)
class Adaptation(Outlook):
    """The outcome of `adapt`, and the facts from before the training.

    Args:
        lifter: with the new weights, in evaluation mode, whether they are better or not.
        verdict: whether they are better, judged without known 3D.
        before, after: signs on the held-out clips.
        steps: the number of steps taken.
        seconds: the time of all the work.
    """

    lifter: Lifter
    verdict: Verdict
    before: LabelFree
    after: LabelFree
    steps: int
    seconds: float

    def changes(self) -> Iterator[tuple[str, float, float]]:
        """Each sign of `LabelFree` in words, with its values before and after."""
        for name, words in SIGNS.items():
            yield words, getattr(self.before, name), getattr(self.after, name)


def adapt(
    lifter: Lifter,
    recordings: Sequence[KeypointTracks],
    *,
    plan: AdaptPlan | None = None,
    min_confidence: float = 0.3,
    pitch: float | None = None,
    foresee: Foresee | None = None,
    watch: Watch | None = None,
) -> Adaptation:
    """Train a copy of a lifter on keypoints alone, and judge whether it became better.

    A fifth of the clips is held out. The training draws the copy's bones towards their lengths in the 2D
    (`lengths_in_picture`). It draws x and y, and z with the weight `AdaptPlan.own_depth`, towards the lifter's first
    result, which is averaged with that of the mirror image. With the same number of threads, and if `minutes` don't end
    the training, the weights are the same each time.

    Each individual has its own lengths (`olift_fast.train.body.by_individual`), and each clip its own size. A track's
    individual has the track's name, or the recording's name if the track's name is like `track_0`.

    Args:
        lifter: the lifter to start from, on the CPU; it is not changed.
        recordings: all with the same skeleton, which must have bones; copies count once (`copies_in`).
        plan: the settings of the training.
        min_confidence: keypoints with a lower confidence count as hidden.
        pitch: degrees by which the camera of all recordings looks down, for lifters that take it.
        foresee: called before the training with the facts so far; it can raise an error to end the work.
        watch: called after every step.

    Raises:
        InputError: nothing can be learned from the recordings (`own_clips`), or the lifter counts fewer frames than a
            clip has.
    """
    begun = time.monotonic()
    check_time_table(lifter.name, lifter.config)
    plan = plan or AdaptPlan()
    copies = copies_in(recordings)
    recordings = [tracks for number, tracks in enumerate(recordings) if number not in copies]
    clips = own_clips(lifter, recordings, min_confidence=min_confidence, pitch=pitch)
    learned, held = (
        _thinned(part, most) for part, most in zip(held_apart(clips), (MOST_LEARNED, MOST_HELD_OUT), strict=True)
    )
    goal = _goal(lifter, learned, plan)
    outlook = Outlook(
        body=body_of(learned, goal.scales),
        apart=goal.apart,
        views=goal.views,
        along=goal.along,
        mixed=tuple(mixed_names(learned, goal.scales)),
        copies=tuple(copies),
        foreshortened=goal.foreshortened,
        learned=len(learned),
        held_out=len(held),
        frames=clips.visible.shape[1],
        tracks=len(clips.track.unique()),
    )
    if foresee is not None:
        foresee(outlook)
    adapted, steps = _train(lifter, learned, goal, plan, watch)
    before, after = (label_free(own, held, goal.told) for own in (lifter, adapted))
    return Adaptation(
        **vars(outlook),
        lifter=adapted,
        verdict=verdict(before, after, outlook.views),
        before=before,
        after=after,
        steps=steps,
        seconds=time.monotonic() - begun,
    )


@dataclass(frozen=True, eq=False)
class _Goal:
    """What the lifter shall give for the clips.

    Lengths and sizes are logarithms. first ``(B, T, J, 3)``: what it gave. lengths ``(1 + I, E)``: of the bones, of all
    clips and of each individual (`OwnClips.individual`), and change ``(B, T, E)``: what is added to them in each frame,
    NaN where unknown. told ``(1 + I, E)``: lengths that the 2D tells. scales ``(B,)``: the clips' sizes. apart: how far
    the lifter's own lengths are from those told, the root of the mean square. views: share of their lengths that bones
    show, and along: what of their squares lies along the view. held ``(E,)``: how much each bone counts. tolerance: of
    a length, in mean bones. weight: of its own depth.
    """

    first: Tensor
    lengths: Tensor
    change: Tensor
    told: Tensor
    scales: Tensor
    apart: float
    views: float
    along: float
    held: Tensor
    tolerance: float
    weight: float
    foreshortened: tuple[tuple[str, str], ...]


@torch.no_grad()
def _goal(lifter: Lifter, clips: OwnClips, plan: AdaptPlan) -> _Goal:
    first = 0.5 * (lifted_clips(lifter, clips) + mirrored_back(lifter, clips))
    logs = logarithms(first, clips.visible, clips.skeleton)
    _, scales = shared_lengths(logs, clips.skeleton)
    sized = logs - scales[:, None, None]
    own = by_individual(clips, lambda rows: length_over_frames(sized[rows], clips.skeleton, 0.5))
    told = by_individual(clips, lambda rows: lengths_in_picture(clips.take(rows), scales[rows]))
    # A bone that always points at the camera looks short; the lifter's own length is then the better guess.
    well = torch.stack([seen_in_full(first[rows], clips.take(rows)) for rows in clips.rows()])
    off = torch.where(well, told, torch.maximum(told, own)) - own
    off = off - off.nanmedian(dim=1, keepdim=True).values
    apart = float(off[clips.individual.unique()].square().nanmean().sqrt().nan_to_num())
    believed = apart**2 / (plan.doubt**2 + apart**2)
    lengths = own + believed * off
    names, edges = clips.skeleton.names, clips.skeleton.edges
    unshown = (own[0].isfinite() & ~well[0]).tolist()
    hidden = tuple((names[a], names[b]) for (a, b), bad in zip(edges, unshown, strict=True) if bad)
    change = plan.looseness * (sized - own[clips.individual][:, None])
    least, most = plan.tolerance
    return _Goal(
        first,
        lengths,
        change,
        told,
        scales,
        apart=apart,
        views=shown_share(first, clips),
        along=share_along_view(first, clips),
        held=bone_weights(clips, scales),
        tolerance=min(most, least + apart),
        weight=plan.own_depth * (1 - believed),
        foreshortened=hidden,
    )


def _train(lifter: Lifter, clips: OwnClips, goal: _Goal, plan: AdaptPlan, watch: Watch | None) -> tuple[Lifter, int]:
    """The trained copy, and the number of steps."""
    trained = copy.deepcopy(lifter).train().requires_grad_(True)
    weights = list(trained.parameters())
    optimizer = torch.optim.AdamW(weights, lr=plan.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    order = torch.Generator().manual_seed(plan.seed)
    precision = torch.bfloat16 if why_not_products(torch.bfloat16) is None else torch.float32
    frames = min(plan.frames, clips.visible.shape[1])
    waiting: list[int] = []
    started = time.monotonic()
    done = 0
    for step in range(plan.steps):
        while len(waiting) < plan.clips:
            waiting += torch.randperm(len(clips), generator=order).tolist()
        rows, waiting = torch.tensor(sorted(waiting[: plan.clips])), waiting[plan.clips :]
        start = int(torch.randint(clips.visible.shape[1] - frames + 1, (1,), generator=order))
        rate = warm_cosine(step, plan.steps, peak=plan.learning_rate, warmup=plan.warmup)
        optimizer.param_groups[0]["lr"] = rate
        loss = _loss(trained, clips, goal, rows, slice(start, start + frames), plan, precision, mirrored=step % 2 == 1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        done += 1
        if watch is not None:
            watch(done, plan.steps)
        if plan.minutes is not None and time.monotonic() - started > 60 * plan.minutes:
            break
    go_part_way(trained, lifter, plan.share)
    return trained.eval(), done


def _loss(
    lifter: Lifter,
    clips: OwnClips,
    goal: _Goal,
    rows: Tensor,
    part: slice,
    plan: AdaptPlan,
    precision: torch.dtype,
    *,
    mirrored: bool,
) -> Tensor:
    """The loss of some clips, or of their mirror images: bones, x and y, depth."""
    own = clips.take(rows).crop(part.start, part.stop - part.start)
    shown = own.mirror() if mirrored else own
    with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        joints = lifter(shown.keypoints, shown.visible, **shown.told(lifter.config))
    joints = joints.float()
    if mirrored:
        joints = joints * joints.new_tensor([-1.0, 1.0, 1.0])
    first = goal.first[rows][:, part]
    logs = logarithms(joints, own.visible, clips.skeleton)
    bodies = goal.lengths[own.individual][:, None]
    scales = scales_of(logs.detach(), bodies)[:, None, None]
    wanted = bodies + scales + goal.change[rows][:, part]
    known = logs.isfinite() & wanted.isfinite()
    lengths, targets = (torch.where(known, x, 0.0).exp() for x in (logs, wanted))
    squares = ((lengths - targets) / (scales.exp() * bodies.exp().nanmean(dim=-1, keepdim=True))).square()
    bones = masked_mean(goal.held * squares / (1 + squares / goal.tolerance**2), known)
    drift = center(joints, own.visible) - center(first, own.visible)
    picture = masked_mean(_rounded_off(drift[..., :2].square().sum(dim=-1)), own.visible)
    depth = masked_mean(_rounded_off(drift[..., 2].square()), own.visible)
    return bones + picture + goal.weight * depth


def _rounded_off(squares: Tensor, knee: float = 0.1) -> Tensor:
    """Squares that grow like distances from `knee` model units on."""
    return knee**2 * ((1 + 2 * squares / knee**2).sqrt() - 1)


def _thinned(clips: OwnClips, most: int) -> OwnClips:
    """At most `most` of the clips, evenly spread."""
    if len(clips) <= most:
        return clips
    return clips.take(torch.arange(most) * len(clips) // most)
