"""How a generated body moves: joint angles from gaits, waves and idle motion, and the path of its root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.generator.bodies import Body, Gait, Posture
from olift_fast.data.generator.kinematics import Floats, Ints, compose, forward_kinematics, rotation_matrices


@dataclass(frozen=True)
class GeneratedMotion:
    """B clips: joint positions (N, 3, B, T) in the world, Z up; angles (D, B, T) in radians; bone vectors (N, 3, B)."""

    positions: Floats
    angles: Floats
    offsets: Floats


def animate(
    body: Body, rng: np.random.Generator, count: int, frames: int, fps: tuple[float, float], *, proportions: float = 1.0
) -> GeneratedMotion:
    """`count` clips of the body, each with its own proportions, posture, gait, rhythm and path.

    fps: range of the clips' frame rates. proportions: how much bone lengths vary between clips.
    """
    rate = log_uniform(rng, fps, count)
    offsets = _offsets(body, rng, count, proportions * body.variety)
    chosen = _postures(body, rng, count)
    beat = _Beat(body, rng, chosen, rate, frames)
    angles = _angles(body, rng, chosen, beat, rate, frames)
    turning, vectors = _rotation_vectors(body, angles)
    parents = np.array([node.parent for node in body.nodes])
    samples = count * frames
    spread = np.repeat(offsets.astype(np.float32), frames, axis=-1)
    local = forward_kinematics(parents, spread, turning, vectors.reshape(len(turning), 3, samples))
    level = _level(body, chosen, local[:, 0].reshape(-1, count, frames), local[:, 2].reshape(-1, count, frames))
    root, heading = _attitude(body, rng, chosen, level, rate, frames)
    world = root[:, 0] * local[:, 0, None] + root[:, 1] * local[:, 1, None] + root[:, 2] * local[:, 2, None]
    positions = world.reshape(len(parents), 3, count, frames)
    _travel(body, rng, positions, heading, chosen, beat, rate)
    return GeneratedMotion(positions, angles, offsets.astype(np.float32))


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> NDArray[np.float64]:
    """`count` numbers whose logarithms are uniform between those of the bounds."""
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), count))


def limits(body: Body) -> NDArray[np.float32]:
    """Least and greatest angle (D, 2) of each of the body's turns, in radians; the order is that of the angles."""
    return np.radians([[turn.low, turn.high] for node in body.nodes for turn in node.turns], dtype=np.float32)


@dataclass(frozen=True)
class _Chosen:
    postures: list[Posture]
    energy: NDArray[np.float64]
    still: NDArray[np.bool_]


class _Beat:
    """The rhythm of B clips: step phase (B, T) in cycles; legs' sweep, lift, press (L, B, T); strength of stride."""

    def __init__(self, body: Body, rng: np.random.Generator, chosen: _Chosen, rate: NDArray[np.float64], frames: int):
        count = len(rate)
        gaits = [body.gaits[i] for i in rng.choice(len(body.gaits), count, p=_weights(body.gaits))]
        hz = np.array([float(log_uniform(rng, gait.hz, 1)[0]) for gait in gaits])
        self.cycles = np.minimum(hz / rate, 1 / 7)
        self.duty = np.array([rng.uniform(*gait.duty) for gait in gaits])
        self.airborne = np.array([gait.airborne for gait in gaits])
        strength = np.array([posture.gait for posture in chosen.postures])
        walking = rng.random(count) < 0.8 * np.sqrt(strength)
        self.stride = np.where(walking & ~chosen.still, strength**0.3 * rng.uniform(0.35, 1.35, count), 0.0)
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
        amount = (self.stride[:, None] * _gate(rng, count, frames, 0.15)).astype(np.float32)
        uneven_legs = np.exp(rng.normal(0, 0.12, lag.shape)).astype(np.float32)[:, :, None]
        self.sweep = amount * uneven_legs * np.where(phase < duty, 1 - 2 * stance, -turn)
        height = np.sqrt(amount) * np.exp(rng.normal(0, 0.3, (count, 1))).astype(np.float32)
        self.lift = height * (1 - turn * turn)
        self.press = amount * (4 * stance * (1 - stance))


def _weights(options: Sequence[Posture] | Sequence[Gait]) -> NDArray[np.float64]:
    weights = np.array([option.weight for option in options], np.float64)
    return np.asarray(weights / weights.sum())


def _gate(rng: np.random.Generator, count: int, frames: int, share: float) -> NDArray[np.float64]:
    """(B, T): 1 for most clips; in a `share` of them it rises from 0 or falls to 0 smoothly: motion starts or stops."""
    moment = rng.uniform(0.1, 0.9, (count, 1)) * frames
    slope = rng.choice((-1.0, 1.0), (count, 1)) * rng.uniform(4, 12, (count, 1)) / max(frames, 12)
    gate = 0.5 + 0.5 * np.tanh(slope * (np.arange(frames) - moment))
    return np.where(rng.random((count, 1)) < share, gate, 1.0)


def _offsets(body: Body, rng: np.random.Generator, count: int, proportions: float) -> NDArray[np.float64]:
    """Bone vectors (N, 3, B): the body's, of log-normal lengths and tilted a little, the same on left and right."""
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


def _postures(body: Body, rng: np.random.Generator, count: int) -> _Chosen:
    picks = rng.choice(len(body.postures), count, p=_weights(body.postures))
    still = rng.random(count) < body.still
    energy = np.where(still, rng.uniform(0.0, 0.15, count), body.energy * np.exp(rng.normal(0.1, 0.55, count)))
    return _Chosen([body.postures[i] for i in picks], energy, still)


def _angles(
    body: Body, rng: np.random.Generator, chosen: _Chosen, beat: _Beat, rate: NDArray[np.float64], frames: int
) -> Floats:
    """Angles (D, B, T) in radians, within the limits of every turn."""
    count = len(rate)
    turns = [(node, turn) for node in body.nodes for turn in node.turns]
    elder = [min(index, node.twin) for index, node in enumerate(body.nodes) for _ in node.turns]
    groups = sorted({node.group for node, _ in turns})
    lively = dict(zip(groups, np.exp(rng.normal(-0.2, 0.7, (len(groups), count))), strict=True))
    rest = np.empty((len(turns), count))
    twin_draws = rng.normal(size=(len(body.nodes), 3, count))
    own_draws = rng.normal(size=(len(turns), count))
    loose = np.exp(rng.normal(0, 0.4, count))
    names: dict[str, NDArray[np.float64]] = {}
    for index, (node, turn) in enumerate(turns):
        if turn.name not in names:
            values = [posture.angles.get(turn.name, np.nan) for posture in chosen.postures]
            names[turn.name] = np.array(values)
        held = np.where(np.isnan(names[turn.name]), turn.rest, names[turn.name])
        shared = twin_draws[elder[index], node.turns.index(turn)]
        rest[index] = held + loose * turn.spread * (0.8 * shared + 0.6 * own_draws[index])
    table = np.array([[t.idle, t.swing, t.lift, t.press, t.wave] for _, t in turns])
    idle = _idle(rng, len(turns), rate, frames)
    if body.in_unison:
        _follow_twins(body, idle, np.flatnonzero(rng.random(count) < body.in_unison))
    vigour = np.stack([lively[node.group] for node, _ in turns]) * chosen.energy * table[:, :1]
    idle *= vigour[:, :, None].astype(np.float32)
    angles = idle
    angles += rest[:, :, None].astype(np.float32)
    legs = np.array([node.leg for node, _ in turns])
    for column, curve in ((1, "sweep"), (2, "lift"), (3, "press")):
        rows = np.flatnonzero((legs >= 0) & (table[:, column] != 0))
        if rows.size:
            angles[rows] += table[rows, column, None, None].astype(np.float32) * getattr(beat, curve)[legs[rows]]
    waving = np.flatnonzero(table[:, 4] != 0)
    if waving.size:
        places = np.array([turns[row][0].place for row in waving])
        angles[waving] += _wave(body, rng, table[waving, 4], places, chosen, beat, rate, frames)
    angles *= np.float32(np.pi / 180)
    return _within(angles, limits(body))


def _follow_twins(body: Body, idle: Floats, clips: Ints) -> None:
    """In these clips, the idle motion (D, B, T) of each right joint becomes mostly that of its left twin, in place."""
    turns = [(index, k) for index, node in enumerate(body.nodes) for k in range(len(node.turns))]
    pairs = [(turns.index((body.nodes[index].twin, k)), row) for row, (index, k) in enumerate(turns)]
    first, second = np.array([pair for pair in pairs if pair[0] < pair[1]]).T
    idle[np.ix_(second, clips)] *= 0.3
    idle[np.ix_(second, clips)] += np.float32(0.95) * idle[np.ix_(first, clips)]


def _within(angles: Floats, bounds: NDArray[np.float32]) -> Floats:
    """Angles held within their limits, in place: nearly unchanged inside, saturating toward the ends."""
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


def _idle(rng: np.random.Generator, rows: int, rate: NDArray[np.float64], frames: int, waves: int = 6) -> Floats:
    """Band-limited noise (rows, B, T) of unit variance: sums of a few sines, whose frequencies differ between clips."""
    count = len(rate)
    top = log_uniform(rng, (0.3, 4.0), count)[:, None]
    hz = np.exp(np.log(0.05) + rng.random((count, waves)) * np.log(top / 0.05))
    strength = hz**-0.5
    strength /= np.sqrt((strength**2).sum(axis=1, keepdims=True))
    cycles = np.minimum(hz / rate[:, None], 0.12)
    angle = 2 * np.pi * cycles[:, :, None] * np.arange(frames)
    basis = np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    weights = rng.standard_normal((count, rows, 2 * waves), dtype=np.float32)
    weights *= np.concatenate([strength, strength], axis=1)[:, None].astype(np.float32)
    return np.ascontiguousarray(np.matmul(weights, basis).swapaxes(0, 1))


def _wave(
    body: Body,
    rng: np.random.Generator,
    amplitude: NDArray[np.float64],
    places: NDArray[np.float64],
    chosen: _Chosen,
    beat: _Beat,
    rate: NDArray[np.float64],
    frames: int,
) -> Floats:
    """A wave (rows, B, T) that travels from head to tail; in most clips that walk, in time with the steps."""
    count = len(rate)
    hz = log_uniform(rng, body.wave_hz, count)
    stepping = (beat.stride > 0) & (rng.random(count) < 0.7) & bool(body.legs)
    own = np.minimum(hz / rate, 1 / 6)[:, None] * np.arange(frames)
    cycles = np.where(stepping[:, None], beat.phase, own) + rng.random((count, 1))
    length = np.exp(rng.normal(0, 0.3, count))
    strong = np.exp(rng.normal(0, 0.45, count)) * np.where(chosen.still, 0.3, 1.0)
    envelope = (strong[:, None] * _gate(rng, count, frames, 0.15)).astype(np.float32)
    phase = (cycles[None] + places[:, None, None] * length[:, None]).astype(np.float32)
    wave = np.cos(np.float32(2 * np.pi) * phase)
    wave *= envelope
    wave *= amplitude[:, None, None].astype(np.float32)
    return wave


def _rotation_vectors(body: Body, angles: Floats) -> tuple[Ints, Floats]:
    """Which joints turn (M,), and their rotation vectors (M, 3, B, T): the sum of their turns."""
    owners = [index for index, node in enumerate(body.nodes) for _ in node.turns]
    axes = np.array([turn.axis for node in body.nodes for turn in node.turns], dtype=np.float32)
    turning = sorted(set(owners))
    vectors = np.zeros((len(turning), 3, *angles.shape[1:]), dtype=np.float32)
    row_of = {node: row for row, node in enumerate(turning)}
    for angle, owner, axis in zip(angles, owners, axes, strict=True):
        for k in range(3):
            if axis[k]:
                vectors[row_of[owner], k] += axis[k] * angle
    return np.array(turning), vectors


def _attitude(
    body: Body,
    rng: np.random.Generator,
    chosen: _Chosen,
    level: NDArray[np.float64],
    rate: NDArray[np.float64],
    frames: int,
) -> tuple[Floats, Floats]:
    """The root's rotation (3, 3, S) and heading (B, T): turns, the posture's pitch and roll, and rare falls."""
    count = len(rate)
    pitch = level + np.array([rng.uniform(*posture.pitch) for posture in chosen.postures])
    roll = np.array([rng.uniform(*posture.roll) for posture in chosen.postures]) * rng.choice((-1, 1), count)
    noise = _idle(rng, 3, rate, frames, waves=4) * chosen.energy[:, None]
    noise *= np.array([3.0, 3.0, 6.0])[:, None, None]
    seconds = np.arange(frames) / rate[:, None]
    heading = rng.uniform(0, 360, (count, 1)) + rng.normal(0, 18, (count, 1)) * chosen.energy[:, None] * seconds
    falls = (rng.random((count, 1)) < 0.03) * rng.choice((-1, 1), (count, 1)) * rng.uniform(50, 180, (count, 1))
    moment = rng.uniform(0.2, 0.8, (count, 1)) * frames
    lasting = rng.uniform(0.1, 0.5, (count, 1)) * rate[:, None]
    fallen = falls * (0.5 + 0.5 * np.tanh((np.arange(frames) - moment) / lasting))
    angles = np.stack([pitch[:, None] + noise[0], roll[:, None] + noise[1] + fallen, heading + noise[2]])
    radians = np.radians(angles).astype(np.float32)
    about = np.zeros((3, 3, count, frames), dtype=np.float32)
    for row, (axis, sign) in enumerate(((1, -1), (0, 1), (2, 1))):
        about[row, axis] = sign * radians[row]
    tilt, bank, yaw = rotation_matrices(about.reshape(3, 3, -1))
    root = compose(yaw, compose(tilt, bank)).reshape(3, 3, count, frames)
    anyhow = rng.random(count) < body.any_attitude
    if anyhow.any():
        vectors = rng.normal(size=(3, int(anyhow.sum())))
        vectors *= rng.uniform(0, np.pi, vectors.shape[1]) / np.linalg.norm(vectors, axis=0)
        extra = rotation_matrices(vectors.astype(np.float32))
        root[:, :, anyhow] = np.einsum("ijb,jkbt->ikbt", extra, root[:, :, anyhow])
    return root.reshape(3, 3, -1), radians[2]


def _level(body: Body, chosen: _Chosen, ahead: Floats, up: Floats) -> NDArray[np.float64]:
    """Degrees (B,) of pitch that bring hind and front feet to one height; ahead, up (N, B, T): joints in body axes."""
    degrees = np.zeros(ahead.shape[1])
    if not body.walks_level:
        return degrees
    pairs = [pair for pair, _ in body.legs]
    of_pair = np.array([pairs[node.leg] if node.leg >= 0 else -1 for node in body.nodes])
    for index, node in enumerate(body.nodes):
        if node.leg < 0 and node.parent >= 0 and node.side:
            of_pair[index] = of_pair[node.parent]
    hind, front = of_pair == min(pairs), of_pair == max(pairs)
    rise = np.median(up[front].min(axis=0), axis=-1) - np.median(up[hind].min(axis=0), axis=-1)
    run = ahead[front].mean(axis=(0, 2)) - ahead[hind].mean(axis=(0, 2))
    level = np.degrees(np.arctan2(-rise, np.maximum(run, 0.3)))
    flat = np.array([max(map(abs, posture.pitch)) <= 20 and max(posture.roll) <= 20 for posture in chosen.postures])
    return np.where(flat, np.clip(level, -30, 30), degrees)


def _travel(
    body: Body,
    rng: np.random.Generator,
    positions: Floats,
    heading: Floats,
    chosen: _Chosen,
    beat: _Beat,
    rate: NDArray[np.float64],
) -> None:
    """Adds the root's path to the positions, in place: forward by the steps, up and down by ground contact and hops."""
    count, frames = positions.shape[2:]
    low = positions[:, 2].min(axis=0)
    grounded = np.array([posture.support == "ground" for posture in chosen.postures])
    reach = np.ptp(positions[:, 2], axis=0).mean(axis=1)
    extent = np.sqrt(np.square(positions - positions.mean(axis=0)).sum(axis=1).mean(axis=(0, 2)))
    low = _smoothed(low)
    jump = beat.airborne * (beat.stride > 0) * rng.uniform(0.3, 1.2, count)
    hop = np.abs(np.sin(np.pi * beat.phase)) * jump[:, None] * reach[:, None]
    drift = _idle(rng, 3, rate, frames, waves=4) * (extent * chosen.energy)[:, None]
    height = np.where(grounded[:, None], -low + hop, 0.15 * drift[2])
    sweep = np.radians(24) * beat.stride
    pace = 2 * sweep * 0.5 * reach * beat.cycles * rate / np.maximum(beat.duty, 0.2)
    if not body.legs:
        pace = extent * np.abs(rng.normal(0, 1.2, count)) * chosen.energy
    free = ~grounded & (rng.random(count) < 0.5)
    pace = np.where(free & bool(body.legs), 0, pace)
    step = (pace / rate)[:, None] * np.stack([np.cos(heading), np.sin(heading)])
    path = np.cumsum(step, axis=-1) + 0.08 * drift[:2]
    positions[:, :2] += path.astype(np.float32)
    positions[:, 2] += height.astype(np.float32)


def _smoothed(values: Floats) -> Floats:
    """A running mean over five frames (B, T), ends repeated."""
    padded = np.concatenate([values[:, :1]] * 2 + [values] + [values[:, -1:]] * 2, axis=1)
    return np.stack([padded[:, k : k + values.shape[1]] for k in range(5)]).mean(axis=0)
