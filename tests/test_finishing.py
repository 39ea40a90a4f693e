"""Which of a body's bones tell the size of a result, and options that tell the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from olift_fast.bodies import Body, bone_lengths, steady_bones
from olift_fast.errors import InputError
from olift_fast.finishing import Finishing, WorldOptions, lengths_of_body
from olift_fast.stages import Stages
from olift_fast.tracks import LiftedTracks, Skeleton

# A chain of nine joints along the back, and a leg on either side; the bones get longer along the chain.
NAMES = (*(f"back{number}" for number in range(9)), "left_foot", "right_foot")
SKELETON = Skeleton(NAMES, (*((one, one + 1) for one in range(8)), (4, 9), (4, 10)), (0,) * 9 + (1, -1))
LENGTHS = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 6.5, 6.5])
MILLIMETERS = 10.0


def body(millimeters: float | None = MILLIMETERS, **fields: Any) -> Body:
    count = len(LENGTHS)
    return replace(Body(SKELETON, LENGTHS, np.zeros(count), np.full(count, 9), millimeters), **fields)


def result(frames: int = 40, size: float = 3.0, tracks: int = 1) -> LiftedTracks:
    """Tracks whose bones have the body's lengths times `size` pixels, each turned at random in each frame."""
    rng = np.random.default_rng(0)
    joints = np.zeros((tracks, frames, len(NAMES), 3))
    for bone, (start, end) in enumerate(SKELETON.edges):
        way = rng.normal(size=(tracks, frames, 3)) * (1, 1, 0.2)
        joints[:, :, end] = joints[:, :, start] + size * LENGTHS[bone] * way / np.linalg.norm(way, axis=-1)[..., None]
    return LiftedTracks(
        joints=joints,
        keypoints=joints[..., :2],
        confidence=np.ones(joints.shape[:3]),
        visible=np.ones(joints.shape[:3], dtype=bool),
        skeleton=SKELETON,
        tracks=tuple(f"track_{track}" for track in range(tracks)),
        fps=30.0,
        scale=np.full(tracks, 50.0),
        centers=np.zeros((tracks, frames, 2)),
        rotation=np.tile(np.eye(3), (tracks, 1, 1)),
        model="none",
        version="0",
    )


def hidden(lifted: LiftedTracks, joint: str, frames: slice) -> LiftedTracks:
    visible = lifted.visible.copy()
    visible[:, frames, NAMES.index(joint)] = False
    return replace(lifted, visible=visible)


def texts(lifted: LiftedTracks, own: Body | None = None) -> list[str]:
    return [known.text for known in lengths_of_body(own or body(), lifted)]


def test_the_longest_bones_tell_the_size_a_leg_and_its_twin_once() -> None:
    found = lengths_of_body(body(), result())
    assert [round(1000 * known.meters, 6) for known in found] == [80, 70, 65, 60, 50]
    assert texts(result())[:3] == ["back7-back8=80mm", "back6-back7=70mm", "back4-left_foot=65mm"]


def test_bones_that_are_rarely_seen_come_last_and_those_never_seen_not_at_all() -> None:
    rarely = hidden(result(), "back8", slice(0, 30))
    assert "back7-back8=80mm" not in texts(rarely)
    assert texts(hidden(rarely, "back3", slice(None)))[:2] == ["back6-back7=70mm", "back4-left_foot=65mm"]
    few = rarely
    for joint in NAMES[:6]:
        few = hidden(few, joint, slice(None))
    assert texts(few) == ["back6-back7=70mm", "back7-back8=80mm"]
    unknown = body(lengths=np.where(LENGTHS == 7, np.nan, LENGTHS))
    assert texts(result(), unknown)[:2] == ["back7-back8=80mm", "back4-left_foot=65mm"]
    assert texts(result(), body(None)) == []
    with pytest.raises(InputError, match="does not have the bones of"):
        lengths_of_body(body(skeleton=replace(SKELETON, edges=SKELETON.edges[1:]), lengths=LENGTHS[1:]), result())


def test_the_size_is_right_and_bones_get_their_millimeters() -> None:
    lifted = result(size=3.0)
    finishing = Finishing(body=body(), placement=WorldOptions(up="0,-1,0", floor=False))
    placed = finishing.finished(lifted, Stages())
    np.testing.assert_allclose(placed.meters_per_pixel, [MILLIMETERS / 1000 / 3], rtol=1e-4)
    lengths = bone_lengths(placed.joints[0], SKELETON.edges)
    np.testing.assert_allclose(lengths, np.broadcast_to(LENGTHS * MILLIMETERS / 1000, lengths.shape), rtol=1e-4)


def test_held_bones_have_the_bodys_millimeters_where_lifted_ones_are_too_short() -> None:
    """Only where the result is in meters by them; and the track is of no individual."""
    lifted = replace(result(size=0.009), frame="world", meters_per_pixel=np.ones(1))
    assert lifted.units == "meters"
    for sized, own, share in (
        (True, body(), 1.0),
        (False, body(), 0.9),
        (True, body(None), 0.9),
        (True, body(individuals={"track_0": body(None)}), 0.9),
        (True, body(individuals={"mona": body(None)}), 1.0),
    ):
        held = steady_bones(lifted, own, sized=sized)
        lengths = np.median(bone_lengths(held.joints[0], SKELETON.edges), axis=0)
        np.testing.assert_allclose(lengths, share * LENGTHS * MILLIMETERS / 1000, rtol=1e-3)
    pixels = steady_bones(result(size=0.009), body(), sized=True)
    lengths = np.median(bone_lengths(pixels.joints[0], SKELETON.edges), axis=0)
    np.testing.assert_allclose(lengths, 0.9 * LENGTHS * MILLIMETERS / 1000, rtol=1e-3)


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ({}, []),
        ({"bones": ("a-b=1mm",)}, ["--bone"]),
        ({"stretches": ("a-b=1mm",), "height": "1m"}, ["--length", "--height"]),
        ({"mm_per_pixel": 1.0}, ["--mm-per-pixel"]),
        ({"focal": 900.0}, []),
    ],
)
def test_a_body_tells_the_size_only_where_no_option_does(told: dict[str, Any], names: list[str]) -> None:
    options = WorldOptions(**told)
    assert options.tells_size == names
    assert options.sized_by(body()) == (not names)
    assert not options.sized_by(body(None)) and not options.sized_by(None)
    assert not WorldOptions(world=False).sized_by(body())
