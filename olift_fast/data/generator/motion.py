"""The motion of a generated body: joint angles from gaits, waves and idle motion, and the path of its root."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.generator.bodies import STRETCH, Body, Posture
from olift_fast.data.generator.curves import gate, idle, log_uniform, random_turns, smoothed
from olift_fast.data.generator.kinematics import Floats, Ints, compose, forward_kinematics, rotation_matrices
from olift_fast.data.generator.paths import carry
from olift_fast.data.generator.stages import Stages, choose_stages, shares_of


@dataclass(frozen=True)
class GeneratedMotion:
    """The motion of B clips.

    Args:
        positions: (N, 3, B, T), the joints in a world with Z up.
        angles: (D, B, T), of all turns, in radians.
        offsets: (N, 3, B), the bones at angle 0.
    """

    positions: Floats
    angles: Floats
    offsets: Floats


def animate(
    body: Body, rng: np.random.Generator, count: int, frames: int, fps: tuple[float, float], *, proportions: float = 1.0
) -> GeneratedMotion:
    """`count` clips of the body, each with its own proportions, posture, gait, rhythm and path.

    fps: range of the clips' frame rates. proportions: factor of how much bone lengths vary between clips.
    """
    rate = log_uniform(rng, fps, count)
    offsets = _offsets(body, rng, count, proportions * body.variety)
    stages = choose_stages(body, rng, rate, frames)
    beat = _Beat(body, rng, stages, rate, frames)
    angles = _angles(body, rng, stages, beat, rate, frames)
    turning, vectors = _rotation_vectors(body, angles)
    parents = np.array([node.parent for node in body.nodes])
    samples = count * frames
    spread = np.repeat(offsets.astype(np.float32), frames, axis=-1)
    _stretch(body, spread, angles)
    local = forward_kinematics(parents, spread, turning, vectors.reshape(len(turning), 3, samples))
    if body.carried:
        positions = carry(rng, local.reshape(-1, 3, count, frames), body.carried, rate)
        return GeneratedMotion(positions, angles, offsets.astype(np.float32))
    level = _level(body, stages, local[:, 0].reshape(-1, count, frames), local[:, 2].reshape(-1, count, frames))
    root, heading = _attitude(body, rng, stages, level, rate, frames)
    world = root[:, 0] * local[:, 0, None] + root[:, 1] * local[:, 1, None] + root[:, 2] * local[:, 2, None]
    positions = world.reshape(len(parents), 3, count, frames)
    _travel(body, rng, positions, heading, stages, beat, rate)
    return GeneratedMotion(positions, angles, offsets.astype(np.float32))


def limits(body: Body) -> NDArray[np.float32]:
    """Least and greatest angle (D, 2) of each of the body's turns, in radians; the order is that of the angles."""
    bounds = [[turn.low, turn.high] for node in body.nodes for turn in node.turns]
    return np.radians(np.reshape(bounds, (-1, 2)), dtype=np.float32)


class _Beat:
    """The rhythm of B clips with L legs.

    Fields:
        cycles: (B,) step cycles a frame.
        duty: (B,) share of a cycle in which a foot is on the ground.
        airborne: (B,) height of the hops.
        phase: (B, T) of the steps, in cycles.
        stride: (B,) strength of the steps; 0 for clips that do not walk.
        share: (B, T or 1) factor of the stride over time, as the posture changes.
        sweep, lift, press: (L, B, T), of the legs, see `Turn`; only if there are legs.
    """

    def __init__(self, body: Body, rng: np.random.Generator, stages: Stages, rate: NDArray[np.float64], frames: int):
        count = len(rate)
        gaits = [body.gaits[i] for i in rng.choice(len(body.gaits), count, p=shares_of(body.gaits))]
        hz = np.array([float(log_uniform(rng, gait.hz, 1)[0]) for gait in gaits])
        self.cycles = np.minimum(hz / rate, 1 / 7)
        self.duty = np.array([rng.uniform(*gait.duty) for gait in gaits])
        self.airborne = np.array([gait.airborne for gait in gaits])
        by_stage = np.array([[posture.gait for posture in postures] for postures in stages.postures])
        strength = by_stage.max(axis=0)
        self.share = stages.over_time((by_stage / np.maximum(strength, 1e-9)) ** 0.3)
        walking = rng.random(count) < 0.8 * np.sqrt(strength)
        self.stride = np.where(walking & ~stages.still, strength**0.3 * rng.uniform(0.35, 1.35, count), 0.0)
        time = np.arange(frames)[None]
        uneven = 0.08 * np.sin(2 * np.pi * (rng.random((count, 1)) + time * rng.uniform(0.2, 1, (count, 1)) / frames))
        self.phase = rng.random((count, 1)) + self.cycles[:, None] * time + uneven
        if not body.legs:
            return
        pairs = np.array([pair for pair, _ in body.legs])[:, None]
        right = np.array([side < 0 for _, side in body.legs])[:, None]
        lag = right * np.array([gait.side for gait in gaits]) + pairs * np.array([gait.pair for gait in gaits])
        lag = lag + rng.normal(0, 0.03, lag.shape)
        lag = np.where(rng.random(count) < 0.07, rng.random(lag.shape), lag)
        phase = (self.phase[None] - lag[:, :, None]).astype(np.float32)
        phase -= np.floor(phase)
        duty = self.duty[:, None].astype(np.float32)
        stance = np.minimum(phase / duty, 1)
        flight = np.maximum(phase - duty, 0) / (1 - duty)
        turn = np.cos(np.float32(np.pi) * flight)
        amount = (self.stride[:, None] * self.share * gate(rng, count, frames, 0.15)).astype(np.float32)
        uneven_legs = np.exp(rng.normal(0, 0.12, lag.shape)).astype(np.float32)[:, :, None]
        self.sweep = amount * uneven_legs * np.where(phase < duty, 1 - 2 * stance, -turn)
        height = np.sqrt(amount) * np.exp(rng.normal(0, 0.3, (count, 1))).astype(np.float32)
        self.lift = height * (1 - turn * turn)
        self.press = amount * (4 * stance * (1 - stance))


def _offsets(body: Body, rng: np.random.Generator, count: int, proportions: float) -> NDArray[np.float64]:
    """Bone vectors (N, 3, B): the body's, with random lengths and small tilts that are the same on left and right."""
    groups = sorted({node.group for node in body.nodes})
    by_group = dict(zip(groups, rng.normal(0, 0.14, (len(groups), count)), strict=True))
    labels = {node.label: rng.normal(0, 0.07, count) for node in body.nodes}
    girth = np.exp(proportions * rng.normal(0, 0.18, count))
    size = np.exp(proportions * rng.normal(0, 0.3, count))
    base = np.stack([node.offset for node in body.nodes])
    scale = np.stack([np.exp(proportions * (by_group[node.group] + labels[node.label])) for node in body.nodes])
    askew = {node.label: rng.normal(0, 0.05 * proportions, (3, count)) for node in body.nodes}
    lean = np.stack([askew[node.label] * np.array([1, node.side, 1])[:, None] for node in body.nodes])
    reach = np.linalg.norm(base, axis=1)[:, None, None]
    offsets = (base[:, :, None] + reach * lean) * scale[:, None] * size
    trunk = np.array([node.group in ("trunk", "head") for node in body.nodes])
    offsets[trunk, 1] *= girth
    return offsets


def _angles(
    body: Body, rng: np.random.Generator, stages: Stages, beat: _Beat, rate: NDArray[np.float64], frames: int
) -> Floats:
    """Angles (D, B, T) of all turns in radians, within their limits."""
    count = len(rate)
    turns = [(node, turn) for node in body.nodes for turn in node.turns]
    if not turns:
        return np.empty((0, count, frames), np.float32)
    groups = sorted({node.group for node, _ in turns})
    lively = dict(zip(groups, np.exp(rng.normal(-0.2, 0.7, (len(groups), count))), strict=True))
    # The order of the draws decides which clips a seed gives.
    draws = [(rng.normal(size=(len(body.nodes), 3, count)), rng.normal(size=(len(turns), count)))]
    loose = np.exp(rng.normal(0, 0.4, count))
    for _ in stages.progress:
        draws.append((rng.normal(size=(len(body.nodes), 3, count)), rng.normal(size=(len(turns), count))))
    rest = [_rest(body, postures, loose, *drawn) for postures, drawn in zip(stages.postures, draws, strict=True)]
    table = np.array([[t.idle, t.swing, t.lift, t.press, t.wave] for _, t in turns])
    angles = idle(rng, len(turns), rate, frames)
    if body.in_unison:
        _follow_twins(body, angles, np.flatnonzero(rng.random(count) < body.in_unison))
    vigour = np.stack([lively[node.group] for node, _ in turns]) * stages.energy * table[:, :1]
    angles *= vigour[:, :, None].astype(np.float32)
    angles += stages.over_time(rest).astype(np.float32)
    legs = np.array([node.leg for node, _ in turns])
    for column, curve in ((1, "sweep"), (2, "lift"), (3, "press")):
        rows = np.flatnonzero((legs >= 0) & (table[:, column] != 0))
        if rows.size:
            angles[rows] += table[rows, column, None, None].astype(np.float32) * getattr(beat, curve)[legs[rows]]
    waving = np.flatnonzero(table[:, 4] != 0)
    if waving.size:
        places = np.array([turns[row][0].place for row in waving])
        angles[waving] += _wave(body, rng, table[waving, 4], places, stages, beat, rate, frames)
    angles *= np.float32(np.pi / 180)
    return _within(angles, limits(body))


def _rest(
    body: Body,
    postures: list[Posture],
    loose: NDArray[np.float64],
    twin_draws: NDArray[np.float64],
    own_draws: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Rest angles (D, B) in degrees in B postures, with random deviations; `loose` (B,) is a factor of these."""
    rest = np.empty_like(own_draws)
    names: dict[str, NDArray[np.float64]] = {}
    turns = [(index, place) for index, node in enumerate(body.nodes) for place in range(len(node.turns))]
    for row, (index, place) in enumerate(turns):
        node = body.nodes[index]
        turn = node.turns[place]
        if turn.name not in names:
            names[turn.name] = np.array([posture.angles.get(turn.name, np.nan) for posture in postures])
        held = np.where(np.isnan(names[turn.name]), turn.rest, names[turn.name])
        shared = twin_draws[min(index, node.twin), place]
        rest[row] = held + loose * turn.spread * (0.8 * shared + 0.6 * own_draws[row])
    return rest


def _follow_twins(body: Body, idle: Floats, clips: Ints) -> None:
    """In these clips, make the idle motion (D, B, T) of each right joint mostly that of its left twin, in place."""
    turns = [(index, k) for index, node in enumerate(body.nodes) for k in range(len(node.turns))]
    pairs = [(turns.index((body.nodes[index].twin, k)), row) for row, (index, k) in enumerate(turns)]
    first, second = np.array([pair for pair in pairs if pair[0] < pair[1]]).T
    idle[np.ix_(second, clips)] *= 0.3
    idle[np.ix_(second, clips)] += np.float32(0.95) * idle[np.ix_(first, clips)]


def _within(angles: Floats, bounds: NDArray[np.float32]) -> Floats:
    """The angles, held within their limits, in place: nearly unchanged well inside, and saturating at the limits."""
    middle, half = bounds.mean(axis=1)[:, None, None], (0.5 * (bounds[:, 1] - bounds[:, 0]))[:, None, None]
    angles -= middle
    angles /= half
    square = angles * angles
    square *= square
    square += 1
    np.sqrt(square, out=square)
    np.sqrt(square, out=square)
    angles /= square
    angles *= half * np.float32(0.999)
    angles += middle
    return angles


def _wave(
    body: Body,
    rng: np.random.Generator,
    amplitude: NDArray[np.float64],
    places: NDArray[np.float64],
    stages: Stages,
    beat: _Beat,
    rate: NDArray[np.float64],
    frames: int,
) -> Floats:
    """A wave (rows, B, T) that travels from head to tail. In most clips that walk it is in time with the steps."""
    count = len(rate)
    hz = log_uniform(rng, body.wave_hz, count)
    stepping = (beat.stride > 0) & (rng.random(count) < 0.7) & bool(body.legs)
    own = np.minimum(hz / rate, 1 / 6)[:, None] * np.arange(frames)
    cycles = np.where(stepping[:, None], beat.phase, own) + rng.random((count, 1))
    length = np.exp(rng.normal(0, 0.3, count))
    strong = np.exp(rng.normal(0, 0.45, count)) * np.where(stages.still, 0.3, 1.0)
    envelope = (strong[:, None] * gate(rng, count, frames, 0.15)).astype(np.float32)
    phase = (cycles[None] + places[:, None, None] * length[:, None]).astype(np.float32)
    wave = np.cos(np.float32(2 * np.pi) * phase)
    wave *= envelope
    wave *= amplitude[:, None, None].astype(np.float32)
    return wave


def _rotation_vectors(body: Body, angles: Floats) -> tuple[Ints, Floats]:
    """The indices (M,) of the joints that turn, and their rotation vectors (M, 3, B, T): the sums of their turns."""
    owners = [index for index, node in enumerate(body.nodes) for _ in node.turns]
    axes = np.array([turn.axis for node in body.nodes for turn in node.turns], dtype=np.float32)
    turning = sorted(set(owners))
    vectors = np.zeros((len(turning), 3, *angles.shape[1:]), dtype=np.float32)
    row_of = {node: row for row, node in enumerate(turning)}
    for angle, owner, axis in zip(angles, owners, axes, strict=True):
        for k in range(3):
            if axis[k]:
                vectors[row_of[owner], k] += axis[k] * angle
    return np.array(turning, np.int64), vectors


def _stretch(body: Body, offsets: Floats, angles: Floats) -> None:
    """Make the bones (N, 3, B * T) longer by the angles (D, B, T) of turns whose axis is `STRETCH`, in place."""
    turns = [(index, turn) for index, node in enumerate(body.nodes) for turn in node.turns]
    for row, (index, turn) in enumerate(turns):
        if turn.axis == STRETCH:
            offsets[index] *= 1 + np.degrees(angles[row].reshape(-1)) / 100


def _attitude(
    body: Body,
    rng: np.random.Generator,
    stages: Stages,
    level: list[NDArray[np.float64]],
    rate: NDArray[np.float64],
    frames: int,
) -> tuple[Floats, Floats]:
    """The root's rotation (3, 3, S) and heading (B, T): turns, the posture's pitch and roll, and rare falls."""
    count = len(rate)
    pitch = [level[0] + np.array([rng.uniform(*posture.pitch) for posture in stages.postures[0]])]
    roll = [np.array([rng.uniform(*posture.roll) for posture in stages.postures[0]])]
    to_the_right = rng.choice((-1, 1), count)
    for postures, its_level in zip(stages.postures[1:], level[1:], strict=True):
        pitch.append(its_level + np.array([rng.uniform(*posture.pitch) for posture in postures]))
        roll.append(np.array([rng.uniform(*posture.roll) for posture in postures]))
    noise = idle(rng, 3, rate, frames, waves=4) * stages.energy[:, None]
    noise *= np.array([3.0, 3.0, 6.0])[:, None, None]
    seconds = np.arange(frames) / rate[:, None]
    heading = rng.uniform(0, 360, (count, 1)) + rng.normal(0, 18, (count, 1)) * stages.energy[:, None] * seconds
    falls = (rng.random((count, 1)) < 0.03) * rng.choice((-1, 1), (count, 1)) * rng.uniform(50, 180, (count, 1))
    moment = rng.uniform(0.2, 0.8, (count, 1)) * frames
    lasting = rng.uniform(0.1, 0.5, (count, 1)) * rate[:, None]
    fallen = falls * (0.5 + 0.5 * np.tanh((np.arange(frames) - moment) / lasting))
    rolled = stages.over_time([side * to_the_right for side in roll])
    shaken = [np.array([posture.shake for posture in postures]) for postures in stages.postures]
    if np.any(shaken):
        cycles = np.minimum(rng.uniform(3, 6, count) / rate, 1 / 6)[:, None] * np.arange(frames)
        rolled = rolled + stages.over_time(shaken) * np.sin(2 * np.pi * cycles)
    angles = np.stack([stages.over_time(pitch) + noise[0], rolled + noise[1] + fallen, heading + noise[2]])
    radians = np.radians(angles).astype(np.float32)
    about = np.zeros((3, 3, count, frames), dtype=np.float32)
    for row, (axis, sign) in enumerate(((1, -1), (0, 1), (2, 1))):
        about[row, axis] = sign * radians[row]
    tilt, bank, yaw = rotation_matrices(about.reshape(3, 3, -1))
    root = compose(yaw, compose(tilt, bank)).reshape(3, 3, count, frames)
    anyhow = rng.random(count) < body.any_attitude
    if anyhow.any():
        extra = rotation_matrices(random_turns(rng, int(anyhow.sum())).astype(np.float32))
        root[:, :, anyhow] = np.einsum("ijb,jkbt->ikbt", extra, root[:, :, anyhow])
    return root.reshape(3, 3, -1), radians[2]


def _level(body: Body, stages: Stages, ahead: Floats, up: Floats) -> list[NDArray[np.float64]]:
    """For each posture, the degrees (B,) of pitch that bring hind and front feet to one height; 0 if it is not level.

    ahead, up (N, B, T): x and z of the joints in body axes.
    """
    degrees = np.zeros(ahead.shape[1])
    if not body.walks_level:
        return [degrees] * len(stages.postures)
    pairs = [pair for pair, _ in body.legs]
    of_pair = np.array([pairs[node.leg] if node.leg >= 0 else -1 for node in body.nodes])
    for index, node in enumerate(body.nodes):
        if node.leg < 0 and node.parent >= 0 and node.side:
            of_pair[index] = of_pair[node.parent]
    hind, front = of_pair == min(pairs), of_pair == max(pairs)
    run = ahead[front].mean(axis=(0, 2)) - ahead[hind].mean(axis=(0, 2))
    heights = zip(stages.middle(up[front].min(axis=0)), stages.middle(up[hind].min(axis=0)), strict=True)
    found = []
    for (front_feet, hind_feet), postures in zip(heights, stages.postures, strict=True):
        level = np.degrees(np.arctan2(-(front_feet - hind_feet), np.maximum(run, 0.3)))
        flat = np.array([max(map(abs, posture.pitch)) <= 20 and max(posture.roll) <= 20 for posture in postures])
        found.append(np.where(flat, np.clip(level, -body.steepest, body.steepest), degrees))
    return found


def _travel(
    body: Body,
    rng: np.random.Generator,
    positions: Floats,
    heading: Floats,
    stages: Stages,
    beat: _Beat,
    rate: NDArray[np.float64],
) -> None:
    """Add the root's path to the positions, in place: forward by the steps, up and down by ground contact and hops."""
    count, frames = positions.shape[2:]
    low = positions[:, 2].min(axis=0)
    standing = [[posture.support == "ground" for posture in postures] for postures in stages.postures]
    grounded = np.all(standing, axis=0)
    reach = np.ptp(positions[:, 2], axis=0).mean(axis=1)
    extent = np.sqrt(np.square(positions - positions.mean(axis=0)).sum(axis=1).mean(axis=(0, 2)))
    low = smoothed(low)
    jump = beat.airborne * (beat.stride > 0) * rng.uniform(0.3, 1.2, count)
    hop = np.abs(np.sin(np.pi * beat.phase)) * jump[:, None] * beat.share * reach[:, None]
    drift = idle(rng, 3, rate, frames, waves=4) * (extent * stages.energy)[:, None]
    height = np.where(grounded[:, None], -low + hop, 0.15 * drift[2])
    sweep = np.radians(24) * beat.stride
    pace = 2 * sweep * 0.5 * reach * beat.cycles * rate / np.maximum(beat.duty, 0.2)
    if not body.legs:
        pace = extent * np.abs(rng.normal(0, 1.2, count)) * stages.energy
    free = ~grounded & (rng.random(count) < 0.5)
    pace = np.where(free & bool(body.legs), 0, pace)
    step = (pace / rate)[:, None] * beat.share * np.stack([np.cos(heading), np.sin(heading)])
    path = np.cumsum(step, axis=-1) + 0.08 * drift[:2]
    positions[:, :2] += path.astype(np.float32)
    positions[:, 2] += height.astype(np.float32)
