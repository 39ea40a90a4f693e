"""Drafts of skeletons: edges inferred from names and from motion, what is refused, and what tracks are told."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.tracks import Draft, KeypointTracks, Skeleton, draft_skeleton, with_inferred_skeleton
from olift_fast.tracks.draft import draft_of, draft_or_reason

MOUSE = ("nose", "left_ear", "right_ear", "neck", "tail_base")
CODED = ("p1", "p2", "p3", "p4", "p5")
Edges = set[frozenset[str]]


def bones_of(skeleton: Skeleton) -> Edges:
    return {frozenset((skeleton.names[a], skeleton.names[b])) for a, b in skeleton.edges}


def swinging_chain(frames: int = 120, joints: int = 5, seed: int = 0) -> np.ndarray:
    """(T, J, 2) a chain whose links keep their length, 50, and turn freely; it wanders through the picture."""
    rng = np.random.default_rng(seed)
    turns = np.cumsum(rng.normal(0, 0.35, (frames, joints - 1)), axis=0) + rng.uniform(0, 6, joints - 1)
    links = 50 * np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    start = 300 + np.cumsum(rng.normal(0, 5, (frames, 1, 2)), axis=0)
    return np.concatenate([start, start + np.cumsum(links, axis=1)], axis=1)


def tracks_of(names: tuple[str, ...], keypoints: np.ndarray, **fields: object) -> KeypointTracks:
    """Tracks (N, T, J, 2) of which NaN is hidden."""
    there = np.isfinite(keypoints).all(axis=-1)
    return KeypointTracks(
        keypoints=keypoints,
        confidence=there.astype(np.float32),
        skeleton=Skeleton(names),
        tracks=tuple(f"track_{number}" for number in range(len(keypoints))),
        **fields,
    )


def draft(names: tuple[str, ...], keypoints: np.ndarray, **options: bool) -> Draft | None:
    return draft_skeleton(names, keypoints, np.isfinite(keypoints).all(axis=-1), **options)


def test_names_need_no_motion() -> None:
    hidden = np.full((1, 3, 5, 2), np.nan)
    found = draft(MOUSE, hidden)
    assert found is not None
    assert found.skeleton.pieces() == ((0, 1, 2, 3, 4),)
    assert frozenset(("neck", "tail_base")) in bones_of(found.skeleton)
    assert set(found.sources) == {"name"} and found.confidence == (1.0,) * len(found.skeleton.edges)
    assert found.skeleton.inferred == (True,) * len(found.skeleton.edges)
    assert found.said == f"edges: {len(found.skeleton.edges)} inferred from names"


def test_motion_finds_the_links_of_a_chain() -> None:
    found = draft(CODED, swinging_chain()[None])
    assert found is not None
    assert bones_of(found.skeleton) == {frozenset(pair) for pair in pairwise(CODED)}
    assert set(found.sources) == {"motion"} and all(0 <= sure <= 1 for sure in found.confidence)
    assert found.said == "edges: 4 inferred from motion"


def test_motion_completes_what_names_leave_open() -> None:
    names = ("neck", "nose", "p3", "p4", "p5")
    found = draft(names, swinging_chain()[None])
    assert found is not None
    assert len(found.skeleton.pieces()) == 1
    assert found.sources == ("name", "motion", "motion", "motion")
    assert set(map(frozenset, found.skeleton.edges[:1])) == {frozenset((0, 1))}
    assert found.said == "edges: 1 inferred from names, 3 from motion"
    by_name = draft(names, swinging_chain()[None], by_motion=False)
    assert by_name is not None and by_name.sources == ("name",)


def test_two_animals_stay_apart() -> None:
    """A file of a mouse and a cricket has one list of joints; of each animal's joints the other track has none."""
    both = np.full((2, 120, 8, 2), np.nan)
    both[0, :, :5], both[1, :, 5:] = swinging_chain(), swinging_chain(joints=3, seed=1)
    found = draft((*CODED, "q1", "q2", "q3"), both)
    assert found is not None
    assert found.skeleton.pieces() == ((0, 1, 2, 3, 4), (5, 6, 7))


def test_joints_are_joined_only_where_a_track_has_both() -> None:
    """The first track has p1 … p4, the second p2 … p5: no frame tells of p1 and p5."""
    both = np.stack([swinging_chain(), swinging_chain(seed=3)])
    both[0, :, 4] = both[1, :, 0] = np.nan
    found = draft(CODED, both)
    assert found is not None
    assert len(found.skeleton.pieces()) == 1 and (0, 4) not in {tuple(sorted(edge)) for edge in found.skeleton.edges}


def test_joint_that_is_never_seen_is_left_alone_by_motion() -> None:
    chain = swinging_chain()[None]
    chain[:, :, 2] = np.nan
    found = draft(CODED, chain)
    assert found is not None and found.skeleton.pieces() == ((0, 1, 3, 4), (2,))


@pytest.mark.parametrize(
    ("keypoints", "options", "reason"),
    [
        (swinging_chain(19)[None], {}, "bones by motion need at least 20 frames that show a pair of joints, got 19$"),
        (swinging_chain(1)[None], {}, "got 1$"),
        (np.full((2, 100, 5, 2), np.nan), {}, "the names tell no bones, and no keypoint is visible"),
        (swinging_chain()[None], {"by_motion": False}, "^the names tell no bones$"),
    ],
)
def test_nothing_is_guessed_without_grounds(keypoints: np.ndarray, options: dict[str, bool], reason: str) -> None:
    assert draft(CODED, keypoints, **options) is None
    seen = np.isfinite(keypoints).all(axis=-1)
    told = draft_or_reason(CODED, keypoints, seen, **options)
    assert isinstance(told, str) and re.search(reason, told)


def test_frames_without_a_pair_of_joints_tell_nothing() -> None:
    chain = swinging_chain(40)[None]
    chain[:, 19:, 1:] = np.nan
    assert draft(CODED, chain) is None
    # Frames of several tracks of one animal count together.
    assert draft(CODED, np.concatenate([chain, chain])) is not None


def test_shapes_that_disagree_are_told() -> None:
    with pytest.raises(InputError, match=r"keypoints must be \(N, T, 5, 2\).*got \(1, 120, 4, 2\)"):
        draft(CODED, swinging_chain(joints=4)[None])


def test_tracks_get_edges_and_a_note() -> None:
    tracks = tracks_of(MOUSE, swinging_chain()[None], notes=("read so",))
    lifted = with_inferred_skeleton(tracks)
    assert lifted.skeleton.pieces() == ((0, 1, 2, 3, 4),) and all(lifted.skeleton.inferred)
    assert lifted.notes == ("read so", f"edges: {len(lifted.skeleton.edges)} inferred from names")
    assert lifted.warnings == ()
    np.testing.assert_array_equal(lifted.keypoints, tracks.keypoints)
    assert with_inferred_skeleton(tracks, "none") is tracks


def test_sides_and_name_of_a_skeleton_without_edges_are_kept() -> None:
    tracks = tracks_of(MOUSE, swinging_chain()[None])
    tracks = replace(tracks, skeleton=Skeleton(MOUSE, sides=(0, -1, 1, 0, 0), name="mine"))
    skeleton = with_inferred_skeleton(tracks).skeleton
    assert (skeleton.sides, skeleton.name) == ((0, -1, 1, 0, 0), "mine") and skeleton.edges


def test_given_edges_always_win() -> None:
    tracks = tracks_of(MOUSE, swinging_chain()[None])
    tracks = replace(tracks, skeleton=Skeleton(MOUSE, ((0, 4), (1, 2), (2, 4), (3, 4))))
    assert with_inferred_skeleton(tracks, "motion") is tracks


def test_motion_alone_is_for_who_asks() -> None:
    tracks = tracks_of(CODED, swinging_chain()[None])
    assert with_inferred_skeleton(tracks).skeleton.edges == ()
    assert with_inferred_skeleton(tracks).notes[0].startswith("edges: none inferred: the names tell no bones")
    asked = with_inferred_skeleton(tracks, "motion")
    assert len(asked.skeleton.edges) == 4 and asked.notes == ("edges: 4 inferred from motion",)
    # What lies below the confidence asked for is hidden from the draft as well.
    doubtful = replace(tracks, confidence=0.5 * tracks.confidence)
    assert with_inferred_skeleton(doubtful, "motion", min_confidence=0.6).skeleton.edges == ()


def test_skeleton_in_several_pieces_is_kept_with_a_warning() -> None:
    tracks = tracks_of(CODED, swinging_chain()[None])
    tracks = replace(tracks, skeleton=Skeleton(CODED, ((0, 1), (2, 3))))
    told = with_inferred_skeleton(tracks)
    assert told.skeleton == tracks.skeleton
    assert told.warnings == ("the skeleton is in 3 pieces; apart from the largest: p5; p1, p2",)


def test_two_animals_are_no_broken_skeleton() -> None:
    both = np.full((2, 120, 5, 2), np.nan)
    both[0, :, :3], both[1, :, 3:] = swinging_chain(joints=3), swinging_chain(joints=2, seed=1)
    tracks = replace(tracks_of(CODED, both), skeleton=Skeleton(CODED, ((0, 1), (1, 2), (3, 4))))
    assert with_inferred_skeleton(tracks).warnings == ()
    # Of the second animal no bone is known, of the first a joint hangs loose: one warning, of the first.
    loose = replace(tracks, skeleton=Skeleton(CODED, ((0, 1),)))
    assert with_inferred_skeleton(loose).warnings == ("the skeleton is in 2 pieces; apart from the largest: p3",)


def test_unknown_way_to_infer_is_told() -> None:
    with pytest.raises(InputError, match="infer must be 'names' or 'motion' or 'none', got 'all'"):
        draft_of(tracks_of(CODED, swinging_chain()[None]), "all")


def test_edges_that_leave_many_joints_alone_are_not_used() -> None:
    """Two of ten joints without a bone are too many, one is not; a draft to correct takes what there is."""
    legs = [f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")]
    for coded, used in ((1, True), (2, False)):
        names = ("neck", "hip", "head", *legs[: 7 - coded], *(f"p{number}" for number in range(coded)))
        tracks = tracks_of(names, swinging_chain(joints=len(names))[None])
        told = with_inferred_skeleton(tracks)
        assert bool(told.skeleton.edges) == used
        assert with_inferred_skeleton(tracks, "motion").skeleton.pieces() == (tuple(range(len(names))),)
        by_name = draft(names, tracks.keypoints, by_motion=False)
        assert by_name is not None and len(by_name.skeleton.pieces()) == 1 + coded
    assert told.notes == ("edges: none inferred: the names join 8 of 10 joints, too few to go by",)


def test_each_animal_is_told_by_its_own_names() -> None:
    """The mouse's names say enough, the cricket's say nothing: the mouse has bones, and both have none in common."""
    both = np.full((2, 40, 8, 2), np.nan)
    both[0, :, :5], both[1, :, 5:] = swinging_chain(40), swinging_chain(40, joints=3)
    told = with_inferred_skeleton(tracks_of((*MOUSE, "q1", "q2", "q3"), both))
    assert told.skeleton.pieces() == ((0, 1, 2, 3, 4), (5,), (6,), (7,)) and told.warnings == ()


@pytest.mark.slow
def test_recordings_of_flies_and_of_a_mouse_with_obstacles(real_data: Path) -> None:
    flies = with_inferred_skeleton(read_keypoints(real_data / "keypoints2d/sleap/predictions.analysis.h5"))
    assert len(flies.skeleton.pieces()) == 1 and flies.notes[-1] == "edges: 12 inferred from names"
    assert {frozenset(("head", "thorax")), frozenset(("thorax", "midlegR4"))} <= bones_of(flies.skeleton)
    # Three of the 17 joints are obstacles: names alone give no skeleton to lift with, and motion joins all to look at.
    mouse = read_keypoints(real_data / "keypoints2d/lightning_pose/mirror-mouse_CollectedData.csv")
    assert with_inferred_skeleton(mouse).skeleton.edges == ()
    asked = with_inferred_skeleton(mouse, "motion")
    assert len(asked.skeleton.pieces()) == 1 and "from motion" in asked.notes[-1]
