"""Steady bodies: each bone gets one length for the whole track, and joints move as little as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from olift_fast.bodies.body import Body
from olift_fast.bodies.bones import body_radius, bone_lengths, steady_lengths
from olift_fast.bodies.elimination import meetings, solve
from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

Array = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]

CHUNK = 1024
TOLERANCE = 1e-5
"""The remaining relative error of a length; float32 joints are hardly more exact."""
NEAR, EXACT, DAMPED = 3, 8, 30
"""Steps that look for the nearest body (three come within 2 % of the least moves); then, for the frames that need them,
at most so many that only finish the lengths; and damped ones, where lengths around a loop contradict each other."""
SIZE_FRAMES, GROWTH = 24, 1.25
"""The number of frames that share one size, and the change of size from which on there is a warning."""
DEPTH = 2.0
"""How much less sure depth is than x and y, if the model gives no deviations: a lifter sees x and y."""
SOFT = 12
"""Steps of the search for the nearest body if bones may keep a part of their change."""
CALM = 9
"""Moves to a body's lengths are averaged over this many frames (Hann's window); otherwise depth would jitter."""
UNSURE = 0.1
"""The standard error of a length, as a share of it, if the body has none."""


def steady_bones(result: LiftedTracks, body: Body | None = None, *, sized: bool = False) -> LiftedTracks:
    """Give each bone one length for a whole track, and move the joints as little as possible.

    This is `steady_joints` for each track. σ are the standard deviations of x, y and z if the result has them; else
    depth counts as half as sure as x and y (`DEPTH`). They are along the camera's axes, in the world frame, too; if the
    directions of these axes are not known there (`LiftedTracks.world` is None), all directions count equally.

    With a body (`olift_fast.bodies.read_body`), bones get its lengths (`body_joints`): those of the track's individual
    if the body knows it (`Body.whose`), else the shared ones. The lengths are relative, and each track has its own
    size. With `sized`, and a result in meters, the size comes from the body's millimeters instead; but not for tracks
    of a known individual, whose size the body does not know.

    Lengths are in the unit of the joints. In pixels an animal that comes nearer grows, and steady bones pull it off its
    keypoints; there is a warning if the body's size changes by a quarter or more. A note says how far joints moved.
    `world.to_world` finds depth from the bones' apparent size, so call it before this function.

    Raises:
        InputError: no edges are known, or the bones are not the body's.
    """
    check_bones(result, body)
    edges, joints = result.skeleton.edges, np.empty_like(result.joints)
    moves, growth = [], 1.0
    for track, own in enumerate(result.joints):
        joints[track] = _steady_track(result, track, body, sized)
        moved, radius = np.linalg.norm(joints[track].astype(np.float64) - own, axis=-1), body_radius(own)
        moves += [np.sqrt(np.nanmean(moved**2)) / radius] if radius else []
        growth = max(growth, size_change(own, edges))
    note = f"{_held(result, body)}; joints moved by {np.mean(moves or [0.0]):.1%} of the body's radius (RMS)"
    warnings = result.warnings
    if growth >= GROWTH:
        warnings += (
            f"the body's size changes by {growth - 1:.0%} during the recording, as if the animal came nearer or went "
            "away: bones of one length pull joints off the keypoints there",
        )
    return replace(result, joints=joints, notes=(*result.notes, note), warnings=warnings)


def steady_joints(
    joints: Array, skeleton: Skeleton, visible: npt.NDArray[np.bool_] | None = None, deviations: Array | None = None
) -> npt.NDArray[np.float32]:
    """The nearest joints y to those of one track x with bones of one length each: least ``Σ |(y - x) / σ|²``.

    A bone's length is the median over the frames that show both of its ends, the same for a left bone and its right
    twin unless they clearly differ (`steady_lengths`). Joints that are NaN stay NaN; one without bones stays in place.

    Args:
        joints: (T, J, 3).
        skeleton: the bones and sides.
        visible: (T, J) True for joints that were seen; by default all.
        deviations: σ, (T, J, 3) or (3,) for all joints; by default all equal.

    Returns:
        (T, J, 3)
    """
    return with_lengths(joints, skeleton.edges, steady_lengths(joints, skeleton, visible), deviations)


def body_joints(
    joints: Array,
    skeleton: Skeleton,
    lengths: Array,
    errors: Array,
    visible: npt.NDArray[np.bool_] | None = None,
    deviations: Array | None = None,
    size: float | None = None,
) -> npt.NDArray[np.float32]:
    """The joints y nearest to those of one track, x, whose bones have a body's lengths, times the size of the track.

    They minimize ``Σ |(y - x) / σ|² + Σ ((|y_a - y_b| - size · length) / (size · error))²``: a bone with an unsure
    length may deviate from it, a bone without an error has exactly its length. The size is the median, over frames and
    bones, of the bone's length in x divided by its length in the body. The unit of σ follows from the distance of x
    from the lengths. The moves y - x are then averaged over time (`CALM`), and y is computed again from x so moved.

    Args:
        joints: (T, J, 3).
        skeleton: the bones and sides.
        lengths: (E); a bone with NaN gets its own median, as in `steady_joints`.
        errors: (E) standard errors of the lengths, in their unit; NaN for a tenth of the length (`UNSURE`).
        visible, deviations: as for `steady_joints`.
        size: of the track, in units of the joints; by default the median above.

    Returns:
        (T, J, 3)
    """
    lengths = np.asarray(lengths, dtype=np.float64)
    seen = bone_lengths(joints, skeleton.edges)
    if visible is not None:
        a, b = np.array(skeleton.edges, dtype=np.intp).T
        both = visible[:, a] & visible[:, b] & np.isfinite(seen)
        seen = np.where(both | ~both.any(), seen, np.nan)
    shares = np.log(np.where(seen > 0, seen, np.nan)) - np.log(lengths)
    if not np.isfinite(shares).any():
        return steady_joints(joints, skeleton, visible, deviations)
    size = float(np.exp(np.nanmedian(shares))) if size is None else size
    wanted = np.where(np.isfinite(lengths), size * lengths, steady_lengths(joints, skeleton, visible))
    off = (seen - wanted)[:, np.isfinite(seen - wanted).any(axis=0)] ** 2
    # Two ends of a variance of 1 each make a length of a variance of 2.
    variance = 0.5 * float(np.median(np.nanmean(off, axis=0)))
    unsure = size * np.where(np.isfinite(errors), errors, UNSURE * lengths)
    softness = np.nan_to_num(unsure) ** 2 / variance if variance > 0 else np.zeros(len(lengths))
    moved = with_lengths(joints, skeleton.edges, wanted, deviations, softness)
    start = np.asarray(joints, dtype=np.float64)
    calm = start + _averaged(moved.astype(np.float64) - start)
    return with_lengths(calm, skeleton.edges, wanted, deviations, softness)


def _averaged(moves: Floats) -> Floats:
    """(T, J, 3) the mean of the known moves over the frames around each one, weighted by Hann's window."""
    known = np.isfinite(moves)
    found, weight = np.zeros_like(moves), np.zeros_like(moves)
    half, frames = CALM // 2, len(moves)
    for shift, share in enumerate(np.hanning(CALM + 2)[1:-1], -half):
        to, own = slice(max(0, -shift), min(frames, frames - shift)), slice(max(0, shift), min(frames, frames + shift))
        if abs(shift) < frames:
            found[to] += share * np.where(known[own], moves[own], 0.0)
            weight[to] += share * known[own]
    return np.where(known, found / np.where(weight > 0, weight, 1.0), moves)


def check_bones(tracks: KeypointTracks | LiftedTracks, body: Body | None = None) -> None:
    """Raises InputError if no edges are known, or if they are not those of the body."""
    if not tracks.skeleton.edges:
        where = f"{tracks.source}: " if tracks.source else ""
        raise InputError(f"{where}steady bones need the skeleton's edges, and none are known: --skeleton gives them")
    if body is not None:
        body.along(tracks.skeleton, tracks.source)


def size_change(joints: Array, edges: Sequence[tuple[int, int]]) -> float:
    """The largest size of a body over time divided by the smallest; 1 if it stays the same or is unknown.

    A frame's size is the median over bones of the length divided by the bone's median length. It is the same within
    windows of `SIZE_FRAMES` frames. The largest and the smallest 5 % are left out.

    Args:
        joints: (T, J, 3) of one track.
        edges: (E).
    """
    lengths = bone_lengths(joints, edges)
    lengths = lengths[:, np.nan_to_num(lengths).any(axis=0)]
    lengths = lengths[np.isfinite(lengths).all(axis=1)]
    whole = len(lengths) // SIZE_FRAMES
    if whole < 2 or not lengths.size:
        return 1.0
    usual = np.median(lengths, axis=0)
    ratios = np.median(lengths / np.where(usual > 0, usual, 1.0), axis=1)
    sizes = ratios[: whole * SIZE_FRAMES].reshape(whole, SIZE_FRAMES).mean(axis=1)
    least, most = np.quantile(sizes, (0.05, 0.95))
    return float(most / least)


def _steady_track(result: LiftedTracks, track: int, body: Body | None, sized: bool) -> Array:
    """(T, J, 3) the joints of one track with steady bones; in the world frame they are turned to the camera's axes."""
    joints, deviations = result.joints[track], _deviations(result, track)
    if result.world is None:
        return _steadied(joints, result, track, body, deviations, sized)
    origin, turn = result.world.origin[track], result.world.rotation
    steady = _steadied((joints - origin) @ turn, result, track, body, deviations, sized)
    return np.asarray(steady @ turn.T + origin, dtype=np.float32)


def _steadied(
    joints: Array, result: LiftedTracks, track: int, body: Body | None, deviations: Array | None, sized: bool
) -> Array:
    skeleton, seen = result.skeleton, result.visible[track]
    if body is None:
        return steady_joints(joints, skeleton, seen, deviations)
    name = body.whose(result.tracks[track], result.source)
    lengths, errors = (body if name is None else body.individuals[name]).along(skeleton, result.source)
    known = body.millimeters if sized and name is None and result.units == "meters" else None
    size = None if known is None else known / 1000
    return body_joints(joints, skeleton, lengths, errors, seen, deviations, size)


def _held(result: LiftedTracks, body: Body | None) -> str:
    """The source of the bones' lengths, in words."""
    if body is None:
        return "bones: one length each"
    told = f"bones: lengths of {body.source or 'the body'}"
    if not body.individuals:
        return told
    found = [body.whose(track, result.source) for track in result.tracks]
    known = list(dict.fromkeys(name for name in found if name is not None))
    others = f"{found.count(None)} of {len(found)} tracks get what all share" if None in found else ""
    return f"{told}: {', '.join([*known[:3], *(['…'] if len(known) > 3 else []), *filter(None, [others])])}"


def _deviations(result: LiftedTracks, track: int) -> Array | None:
    """Standard deviations along the camera's axes, (T, J, 3) or one for each axis; None if all are equal."""
    if result.frame == "world" and result.world is None:
        return None
    if result.uncertainty is None or result.uncertainty_xy is None:
        return np.array([1.0, 1.0, DEPTH])
    across, depth = result.uncertainty_xy[track], result.uncertainty[track]
    return np.stack([across, across, depth], axis=-1)


def with_lengths(
    joints: Array,
    edges: Sequence[tuple[int, int]],
    lengths: Array,
    deviations: Array | None = None,
    softness: Array | None = None,
) -> npt.NDArray[np.float32]:
    """The nearest joints whose bones have these lengths, frame by frame.

    They minimize ``Σ |(y - x) / deviation|²`` with ``|y_a - y_b| = length`` for each bone. The solution is found by
    Newton's method on the lengths, along the tree (`elimination.solve`), for all frames at once. Around loops the
    lengths may contradict each other; then the bones share the remaining error. A soft bone need not have its length:
    it adds ``(|y_a - y_b| - length)² / softness`` to the sum. The deviations are then in units of their RMS in the
    frame.

    Args:
        joints: (T, J, 3); a bone with an end that is NaN is left out in that frame.
        edges: (E) pairs of joints, with or without loops.
        lengths: (E) > 0; NaN or 0 leaves a bone as it is.
        deviations: (T, J, 3) standard deviations along the axes, or (3,) for all joints; by default all equal.
        softness: (E) >= 0; 0, the default, for bones with exactly their length.

    Returns:
        (T, J, 3)
    """
    moved = np.asarray(joints, dtype=np.float32).copy()
    size = np.nanmax(lengths, initial=0.0) if len(lengths) else 0.0
    used = np.flatnonzero(np.isfinite(lengths) & (np.asarray(lengths) > 1e-6 * size))
    if not len(used):
        return moved
    bones, wanted = tuple(edges[bone] for bone in used.tolist()), np.asarray(lengths, dtype=np.float64)[used, None]
    soft = np.zeros_like(wanted) if softness is None else np.asarray(softness, dtype=np.float64)[used, None]
    for first in range(0, len(joints), CHUNK):
        part = slice(first, first + CHUNK)
        # Frames come last: each operation runs over all of them.
        own = np.ascontiguousarray(joints[part].transpose(1, 2, 0), dtype=np.float64)
        known = np.asarray(np.isfinite(own).all(axis=1))
        own = np.where(known[:, None], own, 0.0)
        frames = _Frames(own, known, bones, wanted, soft, _mobility(deviations, part, own.shape))
        moved[part] = np.where(known.T[..., None], frames.solved().transpose(2, 0, 1), moved[part])
    return moved


def _mobility(deviations: Array | None, part: slice, shape: tuple[int, ...]) -> Floats:
    """(J, 3, T or 1) the mobility of each coordinate: its variance, in units of the frame's mean variance."""
    if deviations is None or deviations.ndim == 1:
        variance = np.ones(3) if deviations is None else np.asarray(deviations, dtype=np.float64) ** 2
        return np.broadcast_to(variance[:, None] / variance.mean(), (shape[0], 3, 1))
    variance = np.ascontiguousarray(deviations[part].transpose(1, 2, 0), dtype=np.float64) ** 2
    variance = np.where(np.isfinite(variance) & (variance > 0), variance, np.nan)
    there = np.isfinite(variance).any(axis=(0, 1))
    mean = np.ones(shape[2])
    mean[there] = np.nanmean(variance[:, :, there], axis=(0, 1))
    return np.clip(np.nan_to_num(variance / mean, nan=1.0), 1e-4, 1e4)


class _Frames:
    """Some frames of a track.

    `start` (J, 3, T) joints, `known` (J, T), `bones` (E), `lengths` (E, T or 1), `softness` (E, 1), `mobility`
    (J, 3, T or 1).
    """

    def __init__(
        self,
        start: Floats,
        known: npt.NDArray[np.bool_],
        bones: tuple[tuple[int, int], ...],
        lengths: Floats,
        softness: Floats,
        mobility: Floats,
    ) -> None:
        self.start, self.known, self.bones, self.lengths = start, known, bones, lengths
        self.softness, self.mobility = softness, mobility
        self.a, self.b = (np.array(ends, dtype=np.intp) for ends in zip(*bones, strict=True))
        self.active = known[self.a] & known[self.b]
        self.pairs = meetings(bones)
        self.loose = mobility[self.a] + mobility[self.b]
        self.shared = self.pairs.sign[:, None, None] * mobility[self.pairs.joint]

    def solved(self) -> Floats:
        """(J, 3, T) the joints whose bones have the lengths."""
        joints, soft = self.start, bool(self.softness.any())
        for _ in range(SOFT if soft else NEAR):
            along, _ = self._directions(joints)
            # The nearest joints to the start whose bones reach their lengths along these directions.
            short = (along * (self.start[self.a] - self.start[self.b])).sum(axis=1) - self.lengths
            joints = self.start + self._moves(along, short, softness=self.softness)
        frames, left = self._settled(joints) if soft else self, np.arange(joints.shape[2])
        for _ in range(EXACT):
            along, length = frames._directions(joints[..., left])
            short = length - frames.lengths
            wrong = np.asarray(((np.abs(short) > TOLERANCE * frames.lengths) & frames.active).any(axis=0))
            if not wrong.any():
                return joints
            frames, left = frames._taken(wrong), left[wrong]
            joints[..., left] += frames._moves(along[..., wrong], short[:, wrong])
        joints[..., left] = frames._compromise()
        return joints

    def _compromise(self) -> Floats:
        """(J, 3, T) joints that share the remaining error, by damped steps, of which only improving ones are taken.

        Source: Levenberg 1944.
        """
        joints = trial = self.start
        least, damping = np.full(joints.shape[2], np.inf), np.full(joints.shape[2], 0.1)
        for _ in range(DAMPED):
            _, length = self._directions(trial)
            left_over = np.where(self.active, (length / self.lengths - 1) ** 2, 0.0).sum(axis=0)
            good = left_over < least
            joints = np.where(good, trial, joints)
            least, damping = np.where(good, left_over, least), np.where(good, 0.3 * damping, 10 * damping)
            along, length = self._directions(joints)
            trial = joints + self._moves(along, length - self.lengths, damping)
        return joints

    def _settled(self, joints: Floats) -> _Frames:
        """The same frames, in which soft bones keep the lengths that they have in these joints."""
        _, found = self._directions(joints)
        lengths = np.where((self.softness > 0) & (found > 0), found, self.lengths)
        return _Frames(self.start, self.known, self.bones, lengths, np.zeros_like(self.softness), self.mobility)

    def _taken(self, chosen: npt.NDArray[np.bool_]) -> _Frames:
        if chosen.all():
            return self
        mobility = self.mobility if self.mobility.shape[2] == 1 else self.mobility[..., chosen]
        lengths = self.lengths if self.lengths.shape[1] == 1 else self.lengths[:, chosen]
        return _Frames(self.start[..., chosen], self.known[:, chosen], self.bones, lengths, self.softness, mobility)

    def _directions(self, joints: Floats) -> tuple[Floats, Floats]:
        """(E, 3, T) the bones' directions, and (E, T) their lengths."""
        bone = joints[self.a] - joints[self.b]
        length = np.sqrt(np.einsum("ekt,ekt->et", bone, bone))
        # A bone of length 0 has no direction; it gets that of depth.
        none = length < 1e-9 * self.lengths
        bone[:, 2][none] = 1.0
        bone /= np.where(none, 1.0, length)[:, None]
        return bone, length

    def _moves(
        self, along: Floats, short: Floats, damping: Floats | float = 0.0, softness: Floats | float = 0.0
    ) -> Floats:
        """(J, 3, T) the smallest moves that change each bone's length by -`short` (E, T), to first order."""
        diagonal = np.where(self.active, np.einsum("ekt,ekt,ekt->et", along, along, _full(self.loose, along)), 1.0)
        diagonal *= 1 + damping
        diagonal += softness
        first, second = self.pairs.first, self.pairs.second
        couplings = np.einsum("pkt,pkt,pkt->pt", along[first], along[second], _full(self.shared, along))
        couplings *= self.active[first] & self.active[second]
        pulls = solve(self.bones, diagonal, couplings, np.where(self.active, short, 0.0))[:, None] * along
        moves = np.zeros((len(self.start), *along.shape[1:]))
        for bone, (a, b) in enumerate(self.bones):
            moves[a] -= pulls[bone]
            moves[b] += pulls[bone]
        moves *= self.mobility
        return moves


def _full(values: Floats, like: Floats) -> Floats:
    return np.broadcast_to(values, (len(values), *like.shape[1:]))
