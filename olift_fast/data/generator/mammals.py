"""Bodies on four legs: erect, rodent-like, sprawling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from olift_fast.data.generator.bodies import PITCH, ROLL, YAW, Body, Gait, Posture, Turn, log_normal

FOUR_LEGGED_GAITS = (
    Gait(3, 0.5, 0.25, duty=(0.55, 0.75), hz=(0.6, 1.6)),
    Gait(3, 0.5, 0.5, duty=(0.4, 0.6), hz=(1.0, 2.6)),
    Gait(1, 0.5, 0.0, duty=(0.45, 0.65), hz=(0.8, 2.0)),
    Gait(2, 0.12, 0.45, duty=(0.2, 0.4), hz=(1.5, 3.5), airborne=0.15),
    Gait(1, 0.0, 0.5, duty=(0.25, 0.45), hz=(1.2, 3.5), airborne=0.2),
    Gait(0.3, 0.0, 0.0, duty=(0.3, 0.5), hz=(0.8, 2.0), airborne=0.3),
)


def quadruped(rng: np.random.Generator, neck_joints: int = 1) -> Body:
    """Dog to giraffe to bear: legs under the body; with at least so many joints that bend the neck."""
    leg = log_normal(rng, 0.8, 0.28)
    grounded_foot = rng.random() < 0.25
    crouch = rng.uniform(0, 1)
    postures = (
        Posture(6),
        Posture(1.0, {"hip": 50, "knee": -95, "ankle": 60, "shoulder": -60, "elbow": 85}, gait=0.6),
        Posture(0.7, {"hip": 75, "knee": -125, "ankle": 80, "neck": 20, "tail": -15}, pitch=(25, 50), gait=0.05),
        Posture(0.4, {"shoulder": 40, "elbow": 70, "wrist": -30, "tail": -35}, pitch=(45, 85), gait=0.2),
        Posture(0.5, {"hip": 80, "knee": -130, "ankle": 85, "shoulder": -50, "elbow": 110, "wrist": 20}, gait=0.05),
        Posture(0.4, {"hip": 20, "knee": -60, "elbow": 50}, roll=(70, 100), gait=0.15),
        Posture(0.8, {"neck": -35, "head": -15}, gait=0.5),
    )
    body = Body("quadruped", postures, FOUR_LEGGED_GAITS)
    body.walks_level = True
    girth = log_normal(rng, 0.13, 0.25)
    chest = _trunk(body, rng, arch=rng.uniform(-5, 8))
    neck = log_normal(rng, 0.4, 0.4)
    head = _neck_and_head(body, rng, chest, neck, rng.uniform(5, 60), log_normal(rng, 0.3, 0.25), neck_joints)
    _ears(body, rng, head, log_normal(rng, 0.1, 0.4))
    if rng.random() < 0.3:
        _antlers(body, rng, head, log_normal(rng, 0.3, 0.5))
    _tail(body, rng, int(rng.integers(1, 6)), log_normal(rng, 0.45, 0.5), rng.uniform(-50, 75))
    _hind_legs(body, rng, leg, girth * rng.uniform(0.6, 1.1), 30 + 15 * crouch, grounded_foot)
    _front_legs(body, rng, chest, leg * rng.uniform(0.85, 1.1), girth, 20 + 15 * crouch)
    return body


def rodent(rng: np.random.Generator) -> Body:
    """Mouse, rat, rabbit: compact, low, arched back, often rearing or grooming."""
    leg = log_normal(rng, 0.42, 0.25)
    groom = {"shoulder": 25, "elbow": 85, "wrist": -20, "neck": -25, "head": -25, "tail": -35}
    postures = (
        Posture(5),
        Posture(1.5, {"hip": 65, "knee": -130, "ankle": 95, "tail": -30}, pitch=(25, 60), gait=0.1),
        Posture(1.5, {"hip": 30, "knee": -90, "shoulder": 30, "elbow": 60, "tail": -60}, pitch=(55, 90), gait=0.1),
        Posture(1.5, {**groom, "hip": 70, "knee": -130, "ankle": 95}, pitch=(30, 65), gait=0.05),
        Posture(1, {"neck": -20, "shoulder": -55, "elbow": 90, "hip": 70, "knee": -135}, gait=0.3),
        Posture(0.4, {"shoulder": 10}, roll=(60, 180), gait=0.2),
    )
    gaits = tuple(
        Gait(gait.weight, gait.side, gait.pair, gait.duty, (gait.hz[0] * 1.5, gait.hz[1] * 2), gait.airborne)
        for gait in FOUR_LEGGED_GAITS
    )
    body = Body("rodent", postures, gaits)
    body.energy = 0.8
    body.still = 0.2
    body.walks_level = True
    girth = log_normal(rng, 0.17, 0.2)
    chest = _trunk(body, rng, arch=rng.uniform(5, 25), idle=1.6)
    head = _neck_and_head(
        body, rng, chest, log_normal(rng, 0.22, 0.25), rng.uniform(-5, 30), log_normal(rng, 0.36, 0.2)
    )
    _ears(body, rng, head, log_normal(rng, 0.14, 0.5))
    _tail(body, rng, int(rng.integers(1, 7)), log_normal(rng, 1.0, 0.5), rng.uniform(-5, 20), waviness=1.8, curl=10)
    _hind_legs(body, rng, leg * 1.25, girth, rng.uniform(45, 70), True)
    _front_legs(body, rng, chest, leg, girth * 0.8, rng.uniform(30, 55))
    return body


def lizard(rng: np.random.Generator) -> Body:
    """Lizard, crocodile, salamander, dragon-like: legs out to the sides, the body bends sideways as it walks."""
    postures = (Posture(5), Posture(1, {"raise": -35, "bend": -60}), Posture(1, {"raise": 5, "bend": -30}))
    gaits = (
        Gait(3, 0.5, 0.5, duty=(0.5, 0.7), hz=(0.6, 2.5)),
        Gait(2, 0.5, 0.25, duty=(0.6, 0.8), hz=(0.4, 1.5)),
    )
    body = Body("lizard", postures, gaits)
    body.walks_level = True
    body.wave_hz = (0.4, 2.0)
    chest = _trunk(body, rng, arch=0, wave=12)
    head = _neck_and_head(body, rng, chest, log_normal(rng, 0.25, 0.6), rng.uniform(-5, 30), log_normal(rng, 0.35, 0.3))
    if rng.random() < 0.3:
        _ears(body, rng, head, 0.08)
    if rng.random() < 0.2:
        _antlers(body, rng, head, 0.2)
    _tail(body, rng, int(rng.integers(2, 8)), log_normal(rng, 1.1, 0.4), rng.uniform(-5, 8), waviness=2.5, curl=4)
    leg = log_normal(rng, 0.6, 0.3)
    girth = log_normal(rng, 0.12, 0.25)
    behind = body.leg_pair(0)
    front = body.leg_pair(1)
    for name, parent, azimuth, legs, x in (("hind", 0, 105, behind, 0.0), ("front", chest, 80, front, -0.05)):
        sprawling_leg(
            body,
            rng,
            (f"{name}_hip", f"{name}_knee", f"{name}_ankle", f"{name}_toe"),
            (parent, parent),
            (x, girth, -0.05),
            azimuth + rng.uniform(-15, 15),
            (0.42 * leg, 0.4 * leg, 0.25 * leg),
            "leg",
            legs,
            raised=rng.uniform(-30, 0),
        )
    return body


def sprawling_leg(
    body: Body,
    rng: np.random.Generator,
    labels: Sequence[str],
    parents: tuple[int, int],
    offset: Sequence[float],
    azimuth: float,
    lengths: Sequence[float],
    group: str,
    legs: tuple[int, int] = (-1, -1),
    raised: float = 25.0,
    limber: float = 1.0,
) -> tuple[int, int]:
    """A leg in a vertical plane, leaving the body at `azimuth` degrees from ahead; one label a joint, base to tip."""
    angle = np.radians(azimuth)
    out = np.array([np.cos(angle), np.sin(angle), 0.0])
    up = (float(out[1]), float(-out[0]), 0.0)
    forward = (0.0, 0.0, -1.0)
    base = [
        Turn("raise", up, -75, 70, raised, 12, 5 * limber, lift=20),
        Turn("sweep", forward, -60, 60, 0, 12, 5 * limber, swing=25),
        Turn("twist", (float(out[0]), float(out[1]), 0.0), -35, 35, 0, 8, 3 * limber),
    ]
    last = body.pair(labels[0], parents, offset, group, base, legs)
    bends = [(-140.0, -5.0, -75.0, 15.0), (-70.0, 60.0, 5.0, -5.0), (-50.0, 40.0, 0.0, 0.0), (-40.0, 30.0, 0.0, 0.0)]
    if len(lengths) > 3:
        bends.insert(0, (-30.0, 70.0, 20.0, 5.0))
    for label, length, (low, high, rest, lift) in zip(labels[1:], lengths, bends, strict=False):
        name = "bend" if low == -140.0 else "lower"
        turns = [Turn(name, up, low, high, rest, 12, 6 * limber, lift=lift)] if label != labels[-1] else []
        last = body.pair(label, last, tuple(out * length), group, turns, legs)
    return last


def _trunk(body: Body, rng: np.random.Generator, arch: float, idle: float = 1.0, wave: float = 2.0) -> int:
    """Pelvis to chest, length 1; returns the chest."""
    last = body.add("pelvis", -1, (0, 0, 0), "trunk")
    places = (0.2, 0.5, 0.8)
    for index, (step, bow) in enumerate(zip((0.2, 0.3, 0.3), (arch, 0, -arch), strict=True)):
        turns = [
            Turn("arch", PITCH, -35, 40, bow, 5, 5 * idle, wave=0.4 * wave),
            Turn("bend", YAW, -35, 35, 0, 5, 5 * idle, wave=wave),
            Turn("roll", ROLL, -20, 20, 0, 3, 3 * idle),
        ]
        last = body.add(f"spine_{index + 1}", last, (step, 0, 0), "trunk", turns, place=0.5 * places[index])
    turns = [Turn("chest_turn", YAW, -20, 20, 0, 3, 3 * idle)]
    return body.add("chest", last, (0.2, 0, rng.uniform(-0.03, 0.05)), "trunk", turns, place=0.5)


def _neck_and_head(
    body: Body, rng: np.random.Generator, chest: int, neck: float, up: float, head: float, fewest: int = 1
) -> int:
    """Neck and head with nose and eyes, sometimes with jaw, throat and crown; returns the head."""
    count = int(rng.integers(fewest, 4))
    last = chest
    base = body.add("neck_base", chest, (0.05, 0, 0.06), "trunk", _neck_turns(up, count, 0)) if count > 1 else -1
    if base >= 0:
        last = base
        for index in range(1, count):
            last = body.add(f"neck_{index}", last, (neck / count, 0, 0), "neck", _neck_turns(up, count, index))
        start: tuple[float, float, float] = (neck / count, 0, 0)
    else:
        angle = np.radians(up)
        start = (float(neck * np.cos(angle)), 0, float(neck * np.sin(angle)))
        up = 0
    level = float(np.clip(-up + rng.uniform(-40, 10), -85, 40))
    turns = [
        Turn("head", PITCH, -95, 45, level, 8, 8),
        Turn("head_turn", YAW, -50, 50, 0, 8, 8),
        Turn("head_tilt", ROLL, -25, 25, 0, 4, 4),
    ]
    node = body.add("head", last, start, "head", turns)
    body.add("nose", node, (head, 0, -0.1 * head), "head")
    body.pair("eye", (node, node), (0.42 * head, 0.22 * head, 0.18 * head), "head")
    if rng.random() < 0.3:
        jaw = [Turn("jaw", PITCH, -40, 0, -8, 5, 5)]
        hinge = body.add("jaw", node, (0.15 * head, 0, -0.2 * head), "head", jaw)
        body.add("chin", hinge, (0.7 * head, 0, -0.12 * head), "head")
    if rng.random() < 0.3:
        body.add("throat", last, (0.05, 0, -0.15), "neck")
    if rng.random() < 0.3:
        body.add("crown", node, (0.1 * head, 0, 0.3 * head), "head")
    return node


def _neck_turns(up: float, count: int, index: int) -> list[Turn]:
    rest = up if index == 0 else 0.0
    return [
        Turn("neck" if index == 0 else "neck_arch", PITCH, -60, 85, rest, 8, 10 / count),
        Turn("neck_turn", YAW, -45, 45, 0, 8, 12 / count),
    ]


def _ears(body: Body, rng: np.random.Generator, head: int, length: float) -> None:
    turns = [Turn("ear", PITCH, -60, 60, 0, 20, 6), Turn("ear_out", ROLL, -70, 40, -15, 15, 5)]
    base = body.pair("ear", (head, head), (rng.uniform(-0.05, 0.05), rng.uniform(0.05, 0.1), 0.08), "head", turns)
    body.pair("ear_tip", base, (0, 0, length), "head")


def _antlers(body: Body, rng: np.random.Generator, head: int, length: float) -> None:
    base = body.pair("antler", (head, head), (0.06, 0.05, 0.1), "head")
    spread = rng.uniform(0.2, 0.8) * length
    tip = body.pair("antler_middle", base, (-0.2 * length, spread, 0.5 * length), "head")
    body.pair("antler_tip", tip, (rng.uniform(-0.2, 0.4) * length, 0.3 * spread, 0.6 * length), "head")


def _tail(
    body: Body,
    rng: np.random.Generator,
    count: int,
    length: float,
    down: float,
    waviness: float = 1.0,
    curl: float = 25.0,
) -> None:
    turns = _tail_turns("tail", down, waviness, curl)
    last = body.add("tail_base", 0, (-0.12, 0, rng.uniform(-0.02, 0.06)), "trunk", turns)
    bow = rng.uniform(-curl, curl)
    for index in range(count):
        turns = _tail_turns("tail_curl", bow, waviness, curl) if index < count - 1 else []
        label = f"tail_{index + 1}" if index < count - 1 else "tail_tip"
        last = body.add(label, last, (-length / count, 0, 0), "tail", turns, place=-0.15 * (index + 1))


def _tail_turns(name: str, rest: float, waviness: float, curl: float) -> list[Turn]:
    return [
        Turn(name, PITCH, -90, 95, rest, 0.5 * curl, min(5 * waviness, 0.4 * curl)),
        Turn("tail_swing", YAW, -60, 60, 0, 8 * waviness, 5 * waviness, wave=5 * waviness),
    ]


def _hind_legs(
    body: Body, rng: np.random.Generator, leg: float, girth: float, bent: float, grounded_foot: bool
) -> None:
    """Hip, knee, ankle, paw, toe; `bent` degrees of hip flexion at rest; on the toes or on the whole foot."""
    legs = body.leg_pair(0)
    thigh, shank, foot = (0.38, 0.36, 0.26) if not grounded_foot else (0.45, 0.43, 0.3)
    knee = -2.0 * bent
    lean = bent + knee
    ankle = (88.0 if grounded_foot else rng.uniform(5, 20)) - lean
    turns = [
        Turn("hip", PITCH, -60, 100, bent, 6, 4, swing=24, lift=8),
        Turn("hip_out", ROLL, -20, 55, rng.uniform(0, 10), 4, 2.5),
        Turn("hip_twist", YAW, -30, 30, 5, 4, 2),
    ]
    last = body.pair("hip", (0, 0), (0.0, girth, -0.08), "trunk", turns, legs)
    turns = [Turn("knee", PITCH, -150, -5, knee, 6, 4, lift=-35, press=-6)]
    last = body.pair("knee", last, (0, 0, -thigh * leg), "hind", turns, legs)
    turns = [Turn("ankle", PITCH, -10, 135, ankle, 6, 4, swing=-8, lift=22, press=5)]
    last = body.pair("ankle", last, (0, 0, -shank * leg), "hind", turns, legs)
    if grounded_foot and rng.random() < 0.4:
        body.pair("heel", last, (-0.05 * leg, 0, 0.06 * leg), "hind")
    turns = [Turn("hind_paw", PITCH, -50, 60, 0, 5, 4, lift=-15)]
    last = body.pair("hind_paw", last, (0, 0, -foot * leg), "hind", turns, legs)
    toe = (0.02 * leg, 0, -0.1 * leg) if grounded_foot else (0.12 * leg, 0, -0.03 * leg)
    body.pair("hind_toe", last, toe, "hind")


def _front_legs(body: Body, rng: np.random.Generator, chest: int, leg: float, girth: float, bent: float) -> None:
    """Shoulder, elbow, wrist, paw, toe; the elbow points back."""
    legs = body.leg_pair(1)
    if rng.random() < 0.25:
        body.add("withers", chest, (-0.08, 0, 0.1), "trunk")
    parents = (chest, chest)
    depth = rng.uniform(0.08, 0.2)
    if rng.random() < 0.3:
        turns = [Turn("scapula", PITCH, -15, 15, 0, 3, 2, swing=6)]
        parents = body.pair("scapula", parents, (-0.05, 0.5 * girth, 0.08), "trunk", turns, legs)
        depth += 0.08
    turns = [
        Turn("shoulder", PITCH, -85, 85, -bent, 6, 4, swing=22, lift=12),
        Turn("shoulder_out", ROLL, -20, 55, rng.uniform(0, 10), 4, 2.5),
        Turn("shoulder_twist", YAW, -30, 30, 0, 4, 2),
    ]
    last = body.pair("shoulder", parents, (rng.uniform(-0.05, 0.08), girth, -depth), "trunk", turns, legs)
    turns = [Turn("elbow", PITCH, 4, 145, 1.1 * bent, 6, 4, lift=40, press=4)]
    last = body.pair("elbow", last, (0, 0, -0.36 * leg), "front", turns, legs)
    turns = [Turn("wrist", PITCH, -110, 40, 0, 6, 4, lift=-55)]
    last = body.pair("wrist", last, (0, 0, -0.36 * leg), "front", turns, legs)
    turns = [Turn("front_paw", PITCH, -60, 60, 0, 6, 4, lift=-15)]
    last = body.pair("front_paw", last, (0.02 * leg, 0, -0.2 * leg), "front", turns, legs)
    body.pair("front_toe", last, (0.1 * leg, 0, -0.03 * leg), "front")
