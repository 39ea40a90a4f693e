"""Adapts a lifter to an animal from its 2D alone.

The lifter is trained on its own results, seen by new cameras (`olift_fast.train.seen_anew`). Bones keep their lengths
in every frame, view and recording of an individual. These lengths follow from the 2D, because no bone looks longer than
it is. So the results get these lengths first, unless the views hide them.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from olift_fast.bodies.body import Body
from olift_fast.errors import InputError
from olift_fast.model import Lifter
from olift_fast.ops.native_module import why_not_products
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.train.body import (
    body_of,
    by_individual,
    length_over_frames,
    lengths_in_picture,
    logarithms,
    mixed_names,
    seen_in_full,
    share_along_view,
    shared_lengths,
    shown_share,
)
from olift_fast.train.evaluate import check_time_table
from olift_fast.train.label_free import SIGNS, LabelFree, Verdict, label_free, verdict
from olift_fast.train.loss import lifting_loss
from olift_fast.train.own_clips import OwnClips, copies_in, held_apart, own_clips
from olift_fast.train.schedule import warm_cosine
from olift_fast.train.seen_anew import Elevation, SeenAnew, elevation_of, pseudo_labels, seen_anew

Watch = Callable[[int, int], None]
"""Called with the number of steps done, and the number of all steps."""

Foresee = Callable[["Outlook"], None]
"""Called once before the training; it can raise an error to end the work."""

MOST_LEARNED, MOST_HELD_OUT = 400, 80
"""The most clips; of more, this many are taken, spread over the recordings."""
JUDGED, JUDGED_SEED = 2, 7
"""New cameras that see each clip held out, and the seed of these and their faults."""
SHOWN = 0.92
"""If the bones show less of their lengths (`shown_share`), the 2D does not tell them."""
ALONG = 0.36
"""If more of the bones lies along the view (`share_along_view`), the 2D does not tell their lengths."""


@dataclass(frozen=True, kw_only=True)
class AdaptPlan:
    """How a lifter is adapted.

    Args:
        rounds: in each the lifter lifts the clips anew, and learns from these results.
        steps: of the optimizer in a round.
        minutes: the most time for all rounds; after it the training stops early. None for no limit.
        views: new cameras that see each clip in a round.
        clips, frames: of a step.
        learning_rate: after `warmup` steps of a round; it falls to 0 along a cosine.
        velocity_weight: of `lifting_loss`.
        seed: of the new cameras, their faults, and the order of clips.
    """

    rounds: int = 3
    steps: int = 60
    minutes: float | None = None
    views: int = 4
    clips: int = 6
    frames: int = 24
    learning_rate: float = 3e-4
    warmup: int = 10
    velocity_weight: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rounds", "steps", "views", "clips", "frames", "warmup"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate must be above 0, got {self.learning_rate:g}")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InputError(f"minutes must be above 0, got {self.minutes:g}")
        if not 0 <= self.velocity_weight < math.inf:
            raise InputError(f"velocity_weight must be >= 0, got {self.velocity_weight:g}")


@dataclass(frozen=True, eq=False)
class Outlook:
    """Facts about the recordings before the training.

    Args:
        body: bone lengths from the 2D, shared and of individuals.
        apart: the distance of the lifter's bone lengths from those of the 2D, on the clips to learn from.
        views: the share of their lengths that bones show in the picture (`olift_fast.train.body.shown_share`).
        along: the share of the bones along the view (`olift_fast.train.body.share_along_view`).
        held: whether the results that are learned from get the body's lengths: if the views don't hide these.
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
    held: bool
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

    A fifth of the clips is held out. In each round, the copy lifts the others (`pseudo_labels`), these results are seen
    by new cameras with a detector's faults (`seen_anew`), and the copy is trained to give them back (`lifting_loss`).
    Where the views show the bones' lengths, the results get them first (`lengths_in_picture`). With the same number of
    threads, and if `minutes` don't end the training, the weights are the same each time.

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
    told, outlook = _foreseen(lifter, learned, len(held), copies)
    if foresee is not None:
        foresee(outlook)
    hidden = outlook.along > ALONG
    elevations = [elevation_of(tracks, pitch, min_confidence, hidden=hidden) for tracks in recordings]
    adapted, steps = _train(lifter, learned, outlook.body if outlook.held else None, elevations, plan, watch)
    judged = seen_anew(pseudo_labels(adapted, held), held, elevations, JUDGED, np.random.default_rng(JUDGED_SEED))
    before, after = (label_free(own, held, told, judged) for own in (lifter, adapted))
    return Adaptation(
        **vars(outlook),
        lifter=adapted,
        verdict=verdict(before, after),
        before=before,
        after=after,
        steps=steps,
        seconds=time.monotonic() - begun,
    )


@torch.no_grad()
def _foreseen(lifter: Lifter, clips: OwnClips, held_out: int, copies: Sequence[int]) -> tuple[Tensor, Outlook]:
    """What the clips tell before the training; first the logarithms ``(1 + I, E)`` of lengths in the picture."""
    first = pseudo_labels(lifter, clips)
    logs = logarithms(first, clips.visible, clips.skeleton)
    _, scales = shared_lengths(logs, clips.skeleton)
    sized = logs - scales[:, None, None]
    own = by_individual(clips, lambda rows: length_over_frames(sized[rows], clips.skeleton, 0.5))
    told = by_individual(clips, lambda rows: lengths_in_picture(clips.take(rows), scales[rows]))
    # A bone that always points at the camera looks short; the lifter's own length is then the better guess.
    well = torch.stack([seen_in_full(first[rows], clips.take(rows)) for rows in clips.rows()])
    off = torch.where(well, told, torch.maximum(told, own)) - own
    off = off - off.nanmedian(dim=1, keepdim=True).values
    names, edges = clips.skeleton.names, clips.skeleton.edges
    unshown = (own[0].isfinite() & ~well[0]).tolist()
    views, along = shown_share(first, clips), share_along_view(first, clips)
    return told, Outlook(
        body=body_of(clips, scales),
        apart=float(off[clips.individual.unique()].square().nanmean().sqrt().nan_to_num()),
        views=views,
        along=along,
        held=views >= SHOWN and along <= ALONG,
        mixed=tuple(mixed_names(clips, scales)),
        copies=tuple(copies),
        foreshortened=tuple((names[a], names[b]) for (a, b), bad in zip(edges, unshown, strict=True) if bad),
        learned=len(clips),
        held_out=held_out,
        frames=clips.visible.shape[1],
        tracks=len(clips.track.unique()),
    )


def _train(
    lifter: Lifter,
    clips: OwnClips,
    body: Body | None,
    elevations: Sequence[Elevation],
    plan: AdaptPlan,
    watch: Watch | None,
) -> tuple[Lifter, int]:
    """The trained copy, and the number of steps."""
    trained = copy.deepcopy(lifter).eval().requires_grad_(True)
    rng, order = np.random.default_rng(plan.seed), torch.Generator().manual_seed(plan.seed)
    started, done = time.monotonic(), 0
    for _ in range(plan.rounds):
        lessons = seen_anew(pseudo_labels(trained, clips, body), clips, elevations, plan.views, rng)
        for _ in _steps(trained, clips, lessons, plan, order):
            done += 1
            if watch is not None:
                watch(done, plan.rounds * plan.steps)
            if plan.minutes is not None and time.monotonic() - started > 60 * plan.minutes:
                return trained.eval(), done
    return trained, done


def _steps(
    lifter: Lifter, clips: OwnClips, lessons: SeenAnew, plan: AdaptPlan, order: torch.Generator
) -> Iterator[None]:
    """The steps of a round, each of which changes the lifter's weights; after the last it is in evaluation mode."""
    weights = list(lifter.train().parameters())
    optimizer = torch.optim.AdamW(weights, lr=plan.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    precision = torch.bfloat16 if why_not_products(torch.bfloat16) is None else torch.float32
    frames = min(plan.frames, clips.visible.shape[1])
    waiting: list[int] = []
    for step in range(plan.steps):
        while len(waiting) < plan.clips:
            waiting += torch.randperm(len(lessons), generator=order).tolist()
        rows, waiting = torch.tensor(sorted(waiting[: plan.clips])), waiting[plan.clips :]
        start = int(torch.randint(clips.visible.shape[1] - frames + 1, (1,), generator=order))
        part = slice(start, start + frames)
        told = lessons.told(clips, rows, lifter.config)
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            joints = lifter(lessons.keypoints[rows, part], lessons.visible[rows, part], **told)
        loss = lifting_loss(
            joints.float(),
            lessons.joints[rows, part],
            lessons.labelled[rows, part],
            velocity_weight=plan.velocity_weight,
        )
        optimizer.param_groups[0]["lr"] = warm_cosine(step, plan.steps, peak=plan.learning_rate, warmup=plan.warmup)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        yield
    lifter.eval()


def _thinned(clips: OwnClips, most: int) -> OwnClips:
    """At most `most` of the clips, evenly spread."""
    if len(clips) <= most:
        return clips
    return clips.take(torch.arange(most) * len(clips) // most)
