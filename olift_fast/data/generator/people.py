"""People and other upright two-legged bodies with arms, and hands."""

from __future__ import annotations

import numpy as np

from olift_fast.data.generator.bodies import PITCH, ROLL, YAW, Body, Gait, Posture, Turn, log_normal

HUMAN_GAITS = (
    Gait(5, 0.5, 0.5, duty=(0.5, 0.65), hz=(0.6, 1.2)),
    Gait(2, 0.5, 0.5, duty=(0.25, 0.45), hz=(1.1, 1.7), airborne=0.06),
    Gait(0.6, 0.0, 0.0, duty=(0.3, 0.5), hz=(0.6, 1.6), airborne=0.25),
)


def human(rng: np.random.Generator) -> Body:
    """A person, an ape, a robot: upright trunk, two legs, two arms."""
    arms_up = {"shoulder": 145, "elbow": 40, "shoulder_out": 20}
    at_work = {"shoulder": 40, "elbow": 70, "shoulder_twist": -30}
    postures = (
        Posture(6, pitch=(-12, 6)),
        Posture(3, {**at_work, "knee": -25, "hip": 18}, pitch=(-25, 3), gait=0.4),
        Posture(1.5, {**at_work, "shoulder": 75, "elbow": 45}, pitch=(-20, 5), gait=0.3),
        Posture(1, {"hip": 95, "knee": -115, "ankle": 20, "spine": -8}, pitch=(-35, -5), gait=0.25),
        Posture(1, {"hip": 85, "knee": -85, "shoulder": 30, "elbow": 50}, pitch=(-10, 20), gait=0.05),
        Posture(0.5, {"hip": 10, "knee": -20}, pitch=(70, 105), gait=0.2),
        Posture(0.3, {"hip": 10, "knee": -20, "shoulder": 60}, pitch=(-105, -75), gait=0.2),
        Posture(1.2, {**arms_up, "hip": 55, "knee": -75}, pitch=(-25, 10), support="free", gait=0.7),
        Posture(0.8, {"spine": -22, "hip": 25, "shoulder": 40}, pitch=(-40, -10), gait=0.1),
        Posture(0.6, {"shoulder_out": 80, "elbow": 15}, gait=0.5),
        Posture(0.8, {"shoulder": 65, "elbow": 85, "knee": -25, "hip": 20}, pitch=(-20, 0), gait=0.4),
        Posture(0.5, {"hip": 90, "knee": -80, "shoulder": 85, "elbow": 10}, pitch=(-85, -60), gait=0.5),
        Posture(0.5, {**arms_up, "knee": -15}, gait=0.3),
    )
    body = Body("human", postures, HUMAN_GAITS)
    body.energy = 1.6
    body.in_unison = 0.3
    build = rng.uniform(0, 1)
    # Most are people, with similar proportions; the others are apes, robots and cartoons.
    body.variety, spread = (0.35, 0.04) if rng.random() < 0.75 else (1.0, 0.12)
    leg, arm = log_normal(rng, 0.94, spread), log_normal(rng, 0.68, spread)
    last = pelvis = body.add("pelvis", -1, (0, 0, 0), "trunk")
    for index, step in enumerate((0.12, 0.14, 0.14)):
        turns = [
            Turn("spine", PITCH, -35, 20, 0, 4, 5),
            Turn("spine_side", ROLL, -20, 20, 0, 3, 4),
            Turn("spine_turn", YAW, -25, 25, 0, 4, 6),
        ]
        last = body.add(f"spine_{index + 1}", last, (0, 0, step), "trunk", turns)
    chest = body.add("chest", last, (0.0, 0, 0.1), "trunk")
    neck_turns = [Turn("neck", PITCH, -45, 40, 0, 8, 7), Turn("neck_turn", YAW, -60, 60, 0, 10, 10)]
    neck = body.add("neck", chest, (0.0, 0, 0.08), "trunk", neck_turns)
    head_turns = [Turn("head", PITCH, -30, 30, -5, 6, 6), Turn("head_tilt", ROLL, -30, 30, 0, 5, 5)]
    head = body.add("head", neck, (0.02, 0, 0.11), "head", head_turns)
    body.add("crown", head, (0.02, 0, 0.17), "head")
    body.add("nose", head, (0.12, 0, 0.05), "head")
    body.pair("eye", (head, head), (0.095, 0.033, 0.075), "head")
    body.pair("ear", (head, head), (0.0, 0.075, 0.05), "head")
    _human_legs(body, rng, pelvis, leg, 0.08 + 0.05 * build)
    _human_arms(body, rng, chest, arm, 0.15 + 0.06 * build)
    return body


def hand(rng: np.random.Generator) -> Body:
    """A hand alone: wrist and five fingers, often with a random rotation in space."""
    postures = (
        Posture(3, _fingers(-25, -30), support="free"),
        Posture(2, _fingers(-5, -8), support="free"),
        Posture(2, _fingers(-70, -85), support="free"),
    )
    body = Body("hand", postures, (Gait(1, 0, 0),))
    body.any_attitude = 0.6
    _grow_hand(body, rng)
    return body


def hand_at_work(rng: np.random.Generator) -> Body:
    """A hand that is moved and turned as it grasps, pinches, points, types, counts, waves and lets go."""
    straight, bent = (-5, -8), (-65, -80)
    pinch = {"index": (-50, -45), "middle": (-30, -35)}
    thumb_in = {"thumb": 25, "thumb_curl": 35}
    postures = (
        Posture(2, _fingers(-20, -25)),
        Posture(2, {**_fingers(*straight), "thumb_out": 15, "thumb_curl": 5}),
        Posture(2, {**_fingers(-35, -45), **thumb_in}),
        Posture(1.5, {**_fingers(-75, -95), "thumb": 15, "thumb_curl": 50}),
        Posture(1.2, {**_fingers(-30, -30, **pinch), **thumb_in}),
        Posture(0.8, {**_fingers(-10, -10, **pinch), **thumb_in}),
        Posture(1.2, {**_fingers(*bent, index=straight), "thumb_curl": 40}),
        Posture(0.7, {**_fingers(*bent, index=straight, middle=straight), **thumb_in}),
        Posture(0.4, {**_fingers(*bent, index=straight, little=straight), "thumb_curl": 40}),
        Posture(0.4, {**_fingers(*bent), "thumb_out": -20, "thumb_curl": 0}),
        Posture(0.5, {**_fingers(*straight, index=(-70, -60)), **thumb_in}),
        Posture(1.2, {**_fingers(-25, -45), "wrist": 15}),
    )
    body = Body("hand", postures, (Gait(1, 0, 0),))
    body.carried = {"held": 1}
    body.changes, body.change_seconds = 1.2, (0.15, 0.7)
    _grow_hand(body, rng, metacarpals=rng.random() < 0.35, idle=0.5)
    return body


_FINGERS = ("index", "middle", "ring", "little")


def _fingers(knuckle: float, curl: float, **other: tuple[float, float]) -> dict[str, float]:
    """Angles of the fingers' turns: the same for all fingers but those in `other`."""
    angles: dict[str, float] = {}
    for finger in _FINGERS:
        angles[f"{finger}_knuckle"], angles[f"{finger}_curl"] = other.get(finger, (knuckle, curl))
    return angles


def _grow_hand(body: Body, rng: np.random.Generator, metacarpals: bool = False, idle: float = 1.0) -> None:
    """Add wrist, thumb and fingers, sometimes an elbow; with metacarpals also the palm and the fingers' bases."""
    chiral = rng.choice((-1.0, 1.0))
    # With the palm down and the fingers ahead, a right hand's thumb is on the left.
    body.side = -int(chiral)
    wrist_turns = [Turn("wrist", PITCH, -60, 60, 0, 15, 12), Turn("wrist_side", YAW, -25, 25, 0, 6, 6)]
    if rng.random() < 0.3:
        elbow = body.add("elbow", -1, (0, 0, 0), "arm")
        wrist = body.add("wrist", elbow, (2.4, 0, 0), "arm", wrist_turns)
    else:
        wrist = body.add("wrist", -1, (0, 0, 0), "arm", wrist_turns)
    if metacarpals:
        body.add("palm", wrist, (0.5, 0, -0.05), "palm")
    thumb_axis = (float(-0.6 * chiral), 0.5, float(0.6 * chiral))
    turns = [
        Turn("thumb", thumb_axis, -35, 40, 0, 10, 9 * idle),
        Turn("thumb_out", YAW, -30, 30, 0, 8, 7 * idle),
    ]
    last = body.add("thumb_1", wrist, (0.22, 0.22 * chiral, -0.05), "palm", turns)
    for index, (length, high) in enumerate(((0.42, 15), (0.34, 10), (0.28, 0)), start=2):
        curl = Turn("thumb_curl", (0.0, 0.0, float(-chiral)), -5, 60 + high, 15, 10, 9 * idle)
        offset = (0.75 * length, 0.62 * length * chiral, -0.1)
        last = body.add(f"thumb_{index}", last, offset, "finger", [curl] if index < 4 else [])
    for finger, y, palm, scale in (
        ("index", 0.25, 0.95, 0.9),
        ("middle", 0.05, 0.97, 1.0),
        ("ring", -0.14, 0.9, 0.92),
        ("little", -0.32, 0.8, 0.72),
    ):
        base, reach = wrist, (palm, y * chiral, 0.0)
        if metacarpals:
            start = (0.25, 0.5 * y * chiral, 0.0)
            base = body.add(f"{finger}_base", wrist, start, "palm")
            reach = (palm - start[0], y * chiral - start[1], 0.0)
        turns = [
            Turn(f"{finger}_knuckle", PITCH, -90, 20, -20, 12, 11 * idle),
            Turn("spread", YAW, -18, 18, 12 * y * chiral, 5, 4),
        ]
        last = body.add(f"{finger}_1", base, reach, "palm", turns)
        for index, length in enumerate((0.45, 0.28, 0.22), start=2):
            turns = [Turn(f"{finger}_curl", PITCH, -110, 0, -20, 12, 11 * idle)] if index < 4 else []
            last = body.add(f"{finger}_{index}", last, (length * scale, 0, 0), "finger", turns)


def _human_legs(body: Body, rng: np.random.Generator, pelvis: int, leg: float, width: float) -> None:
    legs = body.leg_pair(0)
    turns = [
        Turn("hip", PITCH, -30, 125, 6, 6, 5, swing=30, lift=14),
        Turn("hip_out", ROLL, -15, 60, 4, 5, 4),
        Turn("hip_twist", YAW, -30, 40, 6, 6, 4),
    ]
    last = body.pair("hip", (pelvis, pelvis), (0, width, -0.04), "trunk", turns, legs)
    turns = [Turn("knee", PITCH, -150, -1, -10, 6, 5, lift=-50, press=-10)]
    last = body.pair("knee", last, (0, 0, -0.48 * leg), "hind", turns, legs)
    turns = [Turn("ankle", PITCH, -50, 35, 4, 5, 4, swing=6)]
    last = body.pair("ankle", last, (0, 0, -0.47 * leg), "hind", turns, legs)
    foot = log_normal(rng, 0.16, 0.12)
    body.pair("heel", last, (-0.05, 0, -0.06), "hind")
    turns = [Turn("toe", PITCH, -10, 60, 0, 4, 3)]
    ball = body.pair("foot", last, (foot, 0, -0.055), "hind", turns, legs)
    body.pair("big_toe", ball, (0.07, -0.02, -0.005), "hind")
    body.pair("small_toe", ball, (0.03, 0.05, -0.005), "hind")


def _human_arms(body: Body, rng: np.random.Generator, chest: int, arm: float, width: float) -> None:
    legs = body.leg_pair(1)
    turns = [Turn("collar", ROLL, -8, 25, 0, 3, 3), Turn("collar_fore", YAW, -20, 15, 0, 3, 3)]
    collar = body.pair("collar", (chest, chest), (0.0, 0.03, 0.02), "trunk", turns, legs)
    busy = rng.uniform(1, 3.5)
    turns = [
        Turn("shoulder", PITCH, -45, 175, 16, 14, 9 * busy, swing=20),
        Turn("shoulder_out", ROLL, -15, 140, 12, 10, 6 * busy),
        Turn("shoulder_twist", YAW, -80, 70, -12, 15, 8 * busy),
    ]
    last = body.pair("shoulder", collar, (0.0, width, 0.0), "trunk", turns, legs)
    turns = [Turn("elbow", PITCH, 2, 150, 35, 20, 11 * busy, swing=10)]
    last = body.pair("elbow", last, (0, 0, -0.45 * arm), "arm", turns, legs)
    turns = [Turn("wrist", PITCH, -60, 60, 5, 10, 9), Turn("wrist_side", ROLL, -25, 25, 0, 5, 5)]
    last = body.pair("wrist", last, (0, 0, -0.4 * arm), "arm", turns, legs)
    last = body.pair("hand", last, (0, 0, -0.13 * arm), "arm", [Turn("finger", PITCH, -5, 90, 15, 10, 8)])
    body.pair("finger_tip", last, (0, 0, -0.12 * arm), "arm")
    body.pair("thumb", (last[0] - 2, last[1] - 2), (0.07 * arm, 0, -0.11 * arm), "arm")
