"""Learn a body from its own 2D: a lifter's weights are trained on keypoints whose 3D nobody knows.

Bones keep their lengths in every frame, view and recording of an individual. The 2D tells these lengths: no bone looks
longer than it is. Where the lifter's own lengths are others, its depth is wrong in a way that training can put right.
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
from olift_fast.ops.native_module import why_not_bfloat16
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
"""Called with the steps done and those in all."""

Foresee = Callable[["Outlook"], None]
"""Called once, before the training; what it raises ends the work."""

MOST_LEARNED, MOST_HELD_OUT = 400, 80
"""Clips, at most; of more, some all over the recordings are taken."""


@dataclass(frozen=True, kw_only=True)
class AdaptPlan:
    """How a lifter learns a body.

    Args:
        steps: of the optimizer.
        minutes: that the steps may take; then it stops early. None for no limit.
        clips, frames: of a step.
        learning_rate: after `warmup` steps; it falls to 0 along a cosine.
        looseness: how much of its own change over time a bone's length keeps, 0 … 1: 0 asks for one length, 1 corrects
            the mean alone.
        tolerance: (least, most) of a bone's length, in mean bones: what is off by much more counts little. It is the
            least more than the lifter's lengths are off from those of the 2D.
        share: of the way from the old weights to the trained ones, 0 … 1, at which the new weights are.
        own_depth: weight of the lifter's own depth, where its bones have the right lengths already.
        doubt: how far its lengths are off where that weight is halved, and where half of the difference is believed.
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
    """What is known of the recordings before the training.

    Args:
        body: bone lengths that the 2D tells, and those of individuals.
        apart: how far the lifter's bone lengths are from those that the 2D tells, on the clips to learn from.
        views: how much of their lengths the bones show (`olift_fast.train.body.shown_share`).
        along: how much of the bones lies along the view (`olift_fast.train.body.share_along_view`).
        mixed: names of individuals whose recordings differ in proportions, and by how much (`mixed_names`).
        copies: numbers of recordings that are left out, since others show the same (`copies_in`).
        foreshortened: names of the ends of bones that no camera sees at their full length: these are guesses.
        learned, held_out: clips.
        frames: of a clip.
        tracks: that the clips are of.
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
    """What came of it, beside what was known before.

    Args:
        lifter: with the new weights, in evaluation mode, whether they are better or not.
        verdict: whether they are, as far as can be told without the truth.
        before, after: signs on the clips held out.
        steps: that were taken.
        seconds: that all of it took.
    """

    lifter: Lifter
    verdict: Verdict
    before: LabelFree
    after: LabelFree
    steps: int
    seconds: float

    def changes(self) -> Iterator[tuple[str, float, float]]:
        """What each sign of `LabelFree` is, in words, with its values before and after."""
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
    """Train a copy of a lifter on keypoints alone, and tell whether that helped.

    A fifth of the clips is held out. The copy's bones are drawn towards the lengths that the 2D tells
    (`lengths_in_picture`), x and y and, by `AdaptPlan.own_depth`, z towards what the lifter gave at first, averaged
    with its mirror image. With the same threads, and where `minutes` don't end it, the weights are the same each time.

    Each individual has lengths of its own (`olift_fast.train.body.by_individual`), each clip a size. A recording's
    tracks are of individuals with their names, or, where these say nothing, of one with the recording's name.

    Args:
        lifter: what to start from, on the CPU; it is not changed.
        recordings: of one skeleton with bones; a copy of another counts once (`copies_in`).
        plan: how to learn.
        min_confidence: keypoints below it count as hidden.
        pitch: degrees by which the camera of all recordings looks down, for lifters that can be told.
        foresee: called before the training, with what is known by then; what it raises ends the work.
        watch: called after every step.

    Raises:
        InputError: recordings that nothing can be learned from (`own_clips`), or a lifter that counts fewer frames
            than a clip has.
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
    # A bone that always points at the camera looks short: there the lifter's own length is the better guess.
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
    """The copy that was trained, and the number of steps."""
    trained = copy.deepcopy(lifter).train().requires_grad_(True)
    weights = list(trained.parameters())
    optimizer = torch.optim.AdamW(weights, lr=plan.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    order = torch.Generator().manual_seed(plan.seed)
    precision = torch.bfloat16 if why_not_bfloat16() is None else torch.float32
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
    """At most so many of the clips, evenly spread."""
    if len(clips) <= most:
        return clips
    return clips.take(torch.arange(most) * len(clips) // most)
