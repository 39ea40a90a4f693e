"""Birds, insects, spiders, snakes and fish."""

from __future__ import annotations

import numpy as np

from olift_fast.data.generator.bodies import PITCH, ROLL, YAW, Body, Gait, Posture, Turn, log_normal
from olift_fast.data.generator.mammals import sprawling_leg


def bird(rng: np.random.Generator) -> Body:
    """Two legs, folded or flapping wings, an S-shaped neck."""
    flying = {"sweep": 5, "wing_elbow": -20, "wing_wrist": 15, "hip": 10, "knee": -60, "neck": 15}
    postures = (
        Posture(6, pitch=(0, 45)),
        Posture(1.5, {"neck": -30, "neck_arch": 10, "head": -25}, pitch=(-15, 10), gait=0.4),
        Posture(2, flying, pitch=(-10, 20), support="free", gait=0.1),
        Posture(0.7, {"sweep": 20, "wing_elbow": -60, "wing_wrist": 60, "flap": 25}, pitch=(10, 50), gait=0.5),
        Posture(0.7, {"hip": 95, "knee": -145, "ankle": 130}, gait=0.05),
    )
    gaits = (
        Gait(4, 0.5, 0.5, duty=(0.5, 0.7), hz=(0.8, 2.5)),
        Gait(1, 0.0, 0.0, duty=(0.3, 0.5), hz=(1.0, 3.0), airborne=0.12),
    )
    body = Body("bird", postures, gaits)
    body.wave_hz = (1.5, 6.0)
    pelvis = body.add("pelvis", -1, (0, 0, 0), "trunk")
    sway = [Turn("arch", PITCH, -15, 15, 0, 4, 3), Turn("bend", YAW, -15, 15, 0, 3, 3)]
    back = body.add("back", pelvis, (0.25, 0, 0.03), "trunk", sway)
    chest = body.add("chest", back, (0.3, 0, 0.0), "trunk")
    body.add("breast", chest, (0.1, 0, -0.2), "trunk")
    count = int(rng.integers(2, 5))
    length = log_normal(rng, 0.45, 0.5)
    last = chest
    for index in range(count):
        rest, label = (rng.uniform(55, 85), "neck") if index == 0 else (rng.uniform(-12, 12), "neck_arch")
        turns = [Turn(label, PITCH, -70, 105, rest, 10, 14 / count), Turn("neck_turn", YAW, -40, 40, 0, 8, 10 / count)]
        offset = (0.04, 0, 0.05) if index == 0 else (length / count, 0, 0)
        last = body.add("neck_base" if index == 0 else f"neck_{index}", last, offset, "neck", turns)
    turns = [Turn("head", PITCH, -120, 20, -70, 10, 8), Turn("head_turn", YAW, -60, 60, 0, 12, 10)]
    head = body.add("head", last, (length / count, 0, 0), "head", turns)
    beak = log_normal(rng, 0.17, 0.4)
    body.add("beak", head, (0.07 + beak, 0, -0.03), "head")
    body.pair("eye", (head, head), (0.06, 0.05, 0.03), "head")
    if rng.random() < 0.4:
        body.add("comb", head, (0.0, 0, 0.12), "head")
    tail_turns = [Turn("tail", PITCH, -60, 40, rng.uniform(-40, 15), 8, 4), Turn("tail_swing", YAW, -25, 25, 0, 3, 3)]
    tail = body.add("tail_base", pelvis, (-0.12, 0, 0.03), "trunk", tail_turns)
    body.add("tail_tip", tail, (-log_normal(rng, 0.3, 0.4), 0, 0), "tail")
    _wings(body, chest, log_normal(rng, 1.0, 0.35))
    _bird_legs(body, rng, pelvis, log_normal(rng, 0.75, 0.35))
    return body


def insect(rng: np.random.Generator) -> Body:
    """Fly, ant, beetle: six legs, antennae, abdomen, often wings; free or tethered."""
    groom = {"front_raise": -25, "front_sweep": 40}
    postures = (
        Posture(4),
        Posture(3, {"raise": -15}, pitch=(-10, 30), support="free"),
        Posture(2, {"raise": -10, **groom}, pitch=(-5, 25), support="free", gait=0.3),
        Posture(1, {"raise": 45, "bend": -110}, gait=0.5),
        Posture(0.5, {"raise": -45, "bend": -40}, support="free", gait=0.1),
    )
    gaits = (
        Gait(5, 0.5, 0.5, duty=(0.45, 0.65), hz=(3, 12)),
        Gait(2, 0.5, 0.18, duty=(0.6, 0.8), hz=(1, 6)),
        Gait(1, 0.5, 0.33, duty=(0.5, 0.7), hz=(2, 8)),
    )
    body = Body("insect", postures, gaits)
    body.walks_level = True
    body.wave_hz = (0.5, 5.0)
    leg = log_normal(rng, 1.25, 0.3)
    thorax = body.add("thorax", -1, (0, 0, 0), "trunk")
    nod = [Turn("head", PITCH, -30, 30, -5, 5, 4), Turn("head_turn", YAW, -25, 25, 0, 5, 4)]
    body.add("notum", thorax, (0.0, 0, 0.16), "trunk")
    neck = body.add("neck", thorax, (0.32, 0, 0.02), "trunk", nod)
    head = body.add("head", neck, (0.12, 0, 0.02), "head")
    body.pair("eye", (head, head), (0.02, 0.12, 0.05), "head")
    body.add("mouth", head, (0.1, 0, -0.12), "head")
    turns = [Turn("antenna", PITCH, -60, 70, 5, 15, 9), Turn("antenna_out", YAW, -40, 50, 15, 12, 9)]
    base = body.pair("antenna_base", (head, head), (0.1, 0.05, 0.04), "head", turns)
    feeler = log_normal(rng, 0.35, 0.7)
    turns = [Turn("antenna_bend", PITCH, -50, 30, -10, 10, 7)]
    middle = body.pair("antenna_middle", base, (0.5 * feeler, 0.2 * feeler, 0.1 * feeler), "antenna", turns)
    body.pair("antenna_tip", middle, (0.6 * feeler, 0.1 * feeler, 0), "antenna")
    turns = [Turn("abdomen", PITCH, -25, 45, 8, 6, 3), Turn("abdomen_swing", YAW, -25, 25, 0, 4, 3)]
    last = body.add("abdomen_1", thorax, (-0.3, 0, 0), "trunk", turns)
    count = int(rng.integers(1, 5))
    for index in range(count):
        turns = [Turn("curl", PITCH, -15, 30, 4, 4, 2)] if index < count - 1 else []
        label = f"abdomen_{index + 2}" if index < count - 1 else "abdomen_tip"
        last = body.add(label, last, (-log_normal(rng, 0.7, 0.1) / count, 0, 0), "trunk", turns)
    if rng.random() < 0.6:
        turns = [
            Turn("sweep", YAW, -10, 85, 70, 10, 3, wave=6),
            Turn("flap", ROLL, -60, 80, 10, 6, 3, wave=rng.choice((0.0, 6.0, 40.0))),
        ]
        wing = body.pair("wing_base", (thorax, thorax), (0.0, 0.1, 0.14), "trunk", turns)
        middle = body.pair("wing_middle", wing, (0.05, 0.6, 0), "wing")
        body.pair("wing_tip", middle, (-0.05, 0.6, 0), "wing")
    parts = ("coxa", "femur", "tibia", "tarsus", "claw")[: int(rng.integers(4, 6))]
    lengths = (0.16, 0.32, 0.3, 0.22)[: len(parts) - 1]
    stretch = (log_normal(rng, 1.0, 0.15), log_normal(rng, 1.0, 0.1), log_normal(rng, 1.1, 0.15))
    for pair, (name, x, azimuth, scale) in enumerate(
        (("hind", -0.18, 140, stretch[2]), ("middle", 0.0, 95, stretch[1]), ("front", 0.18, 50, stretch[0]))
    ):
        sprawling_leg(
            body,
            rng,
            [f"{name}_{part}" for part in parts],
            (thorax, thorax),
            (x, 0.1, -0.1),
            azimuth + rng.uniform(-12, 12),
            [leg * scale * part for part in lengths],
            "leg",
            body.leg_pair(pair),
            raised=rng.uniform(5, 40),
            limber=1.5,
        )
    return body


def spider(rng: np.random.Generator) -> Body:
    """Eight legs on a two-part body."""
    postures = (Posture(4), Posture(1, {"raise": 10, "bend": -40}), Posture(1, {"raise": 60, "bend": -120}, gait=0.5))
    gaits = (
        Gait(4, 0.5, 0.5, duty=(0.5, 0.7), hz=(1, 6)),
        Gait(2, 0.5, 0.2, duty=(0.6, 0.8), hz=(0.6, 4)),
    )
    body = Body("spider", postures, gaits)
    body.walks_level = True
    middle = body.add("carapace", -1, (0, 0, 0), "trunk")
    body.add("head", middle, (0.3, 0, 0.08), "head")
    body.pair("eye", (middle, middle), (0.28, 0.08, 0.1), "head")
    turns = [Turn("palp", PITCH, -40, 40, -10, 8, 8), Turn("palp_out", YAW, -30, 30, 0, 8, 8)]
    palp = body.pair("palp_base", (middle, middle), (0.28, 0.1, -0.02), "head", turns)
    body.pair("palp_tip", palp, (0.3, 0.03, -0.05), "antenna")
    turns = [Turn("abdomen", PITCH, -25, 40, 5, 6, 3), Turn("abdomen_swing", YAW, -20, 20, 0, 4, 3)]
    waist = body.add("waist", middle, (-0.28, 0, 0.03), "trunk", turns)
    body.add("abdomen_tip", waist, (-log_normal(rng, 0.7, 0.3), 0, 0.05), "trunk")
    parts = ("coxa", "femur", "tibia", "tarsus", "claw")[: int(rng.integers(3, 6))]
    lengths = (0.15, 0.38, 0.34, 0.24)[: len(parts) - 1] if len(parts) > 3 else (0.5, 0.5)
    leg = log_normal(rng, 1.6, 0.3)
    for pair, azimuth in enumerate((145, 110, 70, 35)):
        sprawling_leg(
            body,
            rng,
            [f"leg{4 - pair}_{part}" for part in parts],
            (middle, middle),
            (0.09 * (pair - 1.5), 0.14, -0.04),
            azimuth + rng.uniform(-8, 8),
            [leg * (0.85 + 0.1 * abs(pair - 1.5)) * part for part in lengths],
            "leg",
            body.leg_pair(pair),
            raised=rng.uniform(15, 45),
            limber=1.1,
        )
    return body


def snake(rng: np.random.Generator) -> Body:
    """Snake, eel, worm: a chain that undulates sideways."""
    count = int(rng.integers(6, 20))
    spread = rng.uniform(5, 70) / np.sqrt(count)
    postures = (Posture(4), Posture(1, {"front_lift": 50 / (0.4 * count)}))
    body = Body("snake", postures, (Gait(1, 0, 0),))
    body.wave_hz = (0.3, 2.0)
    waves = rng.uniform(0.6, 2.2)
    _chain(body, rng, count, waves, 2 * np.pi * waves / count * rng.uniform(15, 55), YAW, spread)
    return body


def fish(rng: np.random.Generator) -> Body:
    """Fish, shark, dolphin: a stiff head, a beating tail, fins."""
    count = int(rng.integers(4, 10))
    postures = (Posture(4, pitch=(-25, 25), roll=(-15, 15), support="free"),)
    body = Body("fish", postures, (Gait(1, 0, 0),))
    body.wave_hz = (0.7, 4.0)
    beat = PITCH if rng.random() < 0.25 else YAW
    chain, head = _chain(body, rng, count, rng.uniform(0.4, 1.1), 160.0 / count * rng.uniform(0.2, 1), beat, 3.0)
    last, shoulder, step = chain[-1], chain[len(chain) // 3], 2.0 / count
    height = log_normal(rng, 0.25, 0.4)
    body.pair("eye", (head, head), (0.3 * step, 0.08, 0.05), "head")
    body.add("dorsal_fin", chain[len(chain) // 2], (-0.05, 0, height), "fin")
    body.add("belly", chain[len(chain) // 2], (0.05, 0, -height), "fin")
    if beat is YAW:
        body.add("tail_upper", last, (-0.25, 0, 0.25), "fin")
        body.add("tail_lower", last, (-0.22, 0, -0.22), "fin")
    else:
        body.pair("fluke", (last, last), (-0.2, 0.25, 0), "fin")
    turns = [Turn("flap", ROLL, -60, 60, -15, 12, 8, wave=6), Turn("sweep", YAW, -30, 70, 35, 10, 6)]
    fin = body.pair("fin", (shoulder, shoulder), (0, 0.1, -0.08), "fin", turns)
    body.pair("fin_tip", fin, (-0.05, log_normal(rng, 0.3, 0.3), -0.05), "fin")
    return body


def _chain(
    body: Body,
    rng: np.random.Generator,
    count: int,
    waves: float,
    amplitude: float,
    axis: tuple[float, float, float],
    spread: float,
) -> tuple[list[int], int]:
    """Add a chain of `count` segments, of total length 2, with `waves` waves along it.

    Returns the joints from the middle to the tail, and the head.
    """
    step = 2.0 / count
    front = max(count // 3, 1)
    across = "lift" if axis is YAW else "turn"
    other = PITCH if axis is YAW else YAW
    root = body.add("middle", -1, (0, 0, 0), "trunk")
    last = root
    for index in range(1, front + 1):
        place = waves * index / count
        turns = [
            Turn("undulate", axis, -75, 75, 0, spread, 2, wave=-0.6 * amplitude),
            Turn(f"front_{across}", other, -30, 35, 0, 1.5, 1.5),
        ]
        label = "head" if index == front else f"front_{index}"
        last = body.add(label, last, (step, 0, 0), "trunk", turns if index < front else [], place=place)
    head = last
    body.add("nose", head, (0.8 * step, 0, 0), "head")
    chain = [root]
    last = root
    for index in range(1, count - front + 1):
        growth = 0.5 + index / (count - front)
        turns = [
            Turn("undulate", axis, -75, 75, 0, spread, 2, wave=amplitude * growth),
            Turn("tail_lift", other, -25, 25, 0, 1.5, 1.5),
        ]
        end = index == count - front
        label = "tail_tip" if end else f"back_{index}"
        last = body.add(label, last, (-step, 0, 0), "trunk", [] if end else turns, place=-waves * index / count)
        chain.append(last)
    return chain, head


def _wings(body: Body, chest: int, length: float) -> None:
    turns = [
        Turn("sweep", YAW, -20, 95, 82, 6, 3),
        Turn("flap", ROLL, -65, 80, -8, 6, 3, wave=14),
    ]
    last = body.pair("wing_shoulder", (chest, chest), (-0.02, 0.13, 0.05), "trunk", turns)
    turns = [Turn("wing_elbow", YAW, -150, -5, -135, 8, 3)]
    last = body.pair("wing_elbow", last, (0, 0.33 * length, 0), "wing", turns)
    turns = [Turn("wing_wrist", YAW, 5, 160, 140, 8, 3), Turn("wing_bend", ROLL, -25, 25, 0, 5, 3, wave=-6)]
    last = body.pair("wing_wrist", last, (0, 0.36 * length, 0), "wing", turns)
    body.pair("wing_tip", last, (0, 0.42 * length, 0), "wing")


def _bird_legs(body: Body, rng: np.random.Generator, pelvis: int, leg: float) -> None:
    legs = body.leg_pair(0)
    turns = [
        Turn("hip", PITCH, -10, 110, 55, 6, 4, swing=18, lift=10),
        Turn("hip_out", ROLL, -15, 40, 4, 4, 3),
    ]
    last = body.pair("hip", (pelvis, pelvis), (0.02, 0.11, -0.06), "trunk", turns, legs)
    turns = [Turn("knee", PITCH, -155, -10, -95, 6, 4, swing=10, lift=-35)]
    last = body.pair("knee", last, (0, 0, -0.28 * leg), "hind", turns, legs)
    turns = [Turn("ankle", PITCH, 5, 140, 55, 6, 4, lift=25)]
    last = body.pair("ankle", last, (0, 0, -0.38 * leg), "hind", turns, legs)
    turns = [Turn("foot", PITCH, -70, 40, -12, 5, 4, lift=-35)]
    last = body.pair("foot", last, (0, 0, -0.36 * leg), "hind", turns, legs)
    toe = log_normal(rng, 0.16, 0.25)
    body.pair("toe_middle", last, (toe, 0, -0.02), "hind")
    body.pair("toe_inner", last, (0.8 * toe, -0.5 * toe, -0.02), "hind")
    body.pair("toe_outer", last, (0.8 * toe, 0.5 * toe, -0.02), "hind")
    body.pair("toe_back", last, (-0.5 * toe, 0, -0.02), "hind")
