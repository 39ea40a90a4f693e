"""Animals and people that also sit, lie, roll, climb or rear, and change from one to another within a clip."""

from __future__ import annotations

import numpy as np

from olift_fast.data.generator.bodies import Body, Posture
from olift_fast.data.generator.mammals import quadruped
from olift_fast.data.generator.people import human

_FOLDED = {"hip": 95, "knee": -145, "ankle": 130, "hind_paw": 10}
_CROUCHED = {"hip": 85, "knee": -140, "ankle": 130, "neck": 35, "head": -40, "tail": 30}
_SPHINX = {**_FOLDED, "shoulder": -45, "elbow": 132, "wrist": -5, "tail": 20}
_ON_HIND_LEGS = {"hip": -35, "knee": -55, "ankle": 55, "neck": -5, "head": -55}

QUADRUPED = (
    Posture(3.0),
    Posture(1.2, {"hip": 50, "knee": -128, "ankle": 125, "shoulder": -40, "elbow": 25, "neck": 35, "head": -45}),
    Posture(1.2, _SPHINX, gait=0.02),
    Posture(0.6, {**_FOLDED, "shoulder": -40, "elbow": 125, "wrist": -105, "neck": 45}, gait=0.02),
    Posture(0.5, {**_SPHINX, "neck_turn": 40, "bend": 22, "head": -50, "tail_swing": 40, "neck": -10}, gait=0.02),
    Posture(
        1.2, {"hip": 25, "knee": -50, "ankle": 40, "shoulder": 10, "elbow": 35, "neck": 10}, roll=(78, 98), gait=0.05
    ),
    Posture(0.6, {"hip": 75, "knee": -110, "shoulder": -5, "elbow": 105, "wrist": -60}, roll=(130, 200), gait=0.15),
    Posture(0.8, {**_ON_HIND_LEGS, "shoulder": 15, "elbow": 80, "wrist": -60}, pitch=(40, 65), gait=0.15),
    Posture(0.6, {**_ON_HIND_LEGS, "hip": -45, "shoulder": 55, "elbow": 25, "wrist": -10}, pitch=(50, 75), gait=0.6),
    Posture(1.8, {"neck": -42, "neck_arch": -8, "head": -25, "shoulder": -22, "elbow": 28}, gait=0.3),
    Posture(0.6, {"shoulder": 62, "elbow": 15, "wrist": 5, "hip": 15, "knee": -35, "neck": 40}, gait=0.05),
    Posture(0.5, {**_CROUCHED, "shoulder": -55, "elbow": 100}, gait=0.3),
    Posture(0.5, {"neck": 15}, gait=0.05, shake=18.0),
)

_KNEEL = {"hip": 10, "knee": -130, "ankle": -45}
_SQUAT = {"hip": 115, "knee": -135, "ankle": 28, "shoulder": 45, "elbow": 50}

HUMAN = (
    Posture(2.5, pitch=(-10, 5)),
    Posture(1.0, {"hip": 88, "knee": -85, "ankle": 0, "shoulder": 30, "elbow": 50}, pitch=(-10, 15), gait=0.05),
    Posture(0.8, {"hip": 85, "knee": -15, "ankle": -5, "shoulder": 10, "elbow": 20}, pitch=(0, 30), gait=0.03),
    Posture(0.8, {"hip": 95, "hip_out": 45, "hip_twist": 35, "knee": -125, "shoulder": 35, "elbow": 40}, gait=0.02),
    Posture(0.7, _KNEEL, pitch=(-10, 10), gait=0.05),
    Posture(0.7, {**_KNEEL, "hip": 60, "knee": -145}, pitch=(-20, 10), gait=0.03),
    Posture(0.8, _SQUAT, pitch=(-35, -10), gait=0.1),
    Posture(0.7, {"hip": 5, "knee": -15, "shoulder": 15}, pitch=(75, 98), gait=0.1),
    Posture(0.5, {"hip": 5, "knee": -10, "shoulder": 120, "elbow": 90, "ankle": -40}, pitch=(-98, -78), gait=0.1),
    Posture(0.6, {"hip": 45, "knee": -70, "shoulder": 40, "elbow": 70}, roll=(75, 100), gait=0.1),
    Posture(
        0.9, {"hip": 85, "knee": -85, "ankle": -35, "shoulder": 85, "elbow": 10, "neck": 25}, pitch=(-90, -65), gait=0.6
    ),
    Posture(1.0, {"spine": -25, "hip": 35, "knee": -15, "shoulder": 60, "elbow": 15}, pitch=(-55, -25), gait=0.15),
    Posture(0.7, {"shoulder": 150, "elbow": 40, "hip": 55, "knee": -75}, pitch=(-20, 10), support="free", gait=0.7),
)


def quadruped_postures(rng: np.random.Generator) -> Body:
    """A quadruped that sits, lies on belly, side or back, rolls, rears, climbs, grazes, stretches and shakes itself."""
    body = quadruped(rng, neck_joints=2)
    body.postures = QUADRUPED
    body.changes, body.change_seconds = 0.5, (0.4, 1.6)
    body.steepest = 55.0
    return body


def human_postures(rng: np.random.Generator) -> Body:
    """A person who sits, kneels, squats, lies, crawls, bends, climbs, and gets up again."""
    body = human(rng)
    body.postures = HUMAN
    body.changes, body.change_seconds = 0.5, (0.5, 1.8)
    return body
