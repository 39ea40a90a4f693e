"""Skeletons: sides read from names, distances, matching, JSON."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.tracks import Skeleton, infer_sides

CHAIN = Skeleton(("nose", "neck", "hip_L", "hip_R", "tag"), ((0, 1), (1, 2), (1, 3)))


def sides_of(names: str, separator: str = " ") -> dict[str, int]:
    split = names.split(separator)
    return dict(zip(split, infer_sides(split), strict=True))


@pytest.mark.parametrize(
    ("left", "right", "neither"),
    [
        ("left_hip left_ear", "right_hip right_ear", "nose"),
        ("LeftHip Left_Foot", "RightHip Right_Foot", "Head"),
        ("lefteye earleft", "righteye earright", "leftover"),
        ("l_hip l_hand", "r_hip r_hand", "spine1 head_top"),
        ("LHip LBigToe", "RHip RBigToe", "Neck Nose"),
        ("EarL HipL", "EarR HipR", "SpineF SpineM SpineL TailBase"),
        ("Ear_L Lisfranc_L", "Ear_R Lisfranc_R", "Tail_0 TTI"),
        ("LF_Coxa LH_Claw", "RF_Coxa RH_Claw", "Thorax"),
        ("L_ant_base Th_L", "R_ant_base Th_R", "Th_mid"),
        ("lhip lear", "rhip rear", "tail"),
        ("LEYE EARL", "REYE EARR", "NOSE"),
        ("FL RL", "FR RR", ""),
        ("LF LR", "RF RR", ""),
        ("paw_l", "paw_r", ""),
        ("forelegL1 forelegL2 wingL", "forelegR1 forelegR2 wingR", "head"),
        ("paw1LH_top paw2LF_top paw1LH_bot", "paw4RH_top paw3RF_top paw4RH_bot", "nose_top obsLow_bot obsHigh_bot"),
        ("HindpawL", "HindpawR", "Tail(base) Tail(end)"),
        ("mouth_end_left body_middle_left", "mouth_end_right body_middle_right", "upper_jaw belly_bottom"),
    ],
)
def test_sides_are_read_from_names(left: str, right: str, neither: str) -> None:
    names = [*left.split(), *right.split(), *neither.split()]
    expected = [1] * len(left.split()) + [-1] * len(right.split()) + [0] * len(neither.split())
    assert dict(zip(names, infer_sides(names), strict=True)) == dict(zip(names, expected, strict=True))
    # The answer belongs to the names, not to their order.
    assert dict(zip(names[::-1], infer_sides(names[::-1]), strict=True)) == dict(zip(names, expected, strict=True))


def test_side_letter_without_twin_counts_for_nothing() -> None:
    assert set(sides_of("paw_l lip leg LF_Coxa SpineL tail rump").values()) == {0}


def test_side_letter_that_all_joints_have_counts_without_twin() -> None:
    assert set(sides_of("Thumb_Tip_L Index_Tip_L Wrist_L").values()) == {1}
    assert set(sides_of("r_hip rknee R_Ankle").values()) == {0}, "not a word of its own in all"
    assert set(sides_of("r_hip r_knee R_Ankle").values()) == {-1}
    assert set(sides_of("r_hip r_knee R_Ankle tail").values()) == {0}
    assert set(sides_of("r_hip r_knee").values()) == {0}, "of two joints the letter may be chance"
    assert set(sides_of("l_to_r_1 l_to_r_2 l_to_r_3").values()) == {0}


def test_side_word_counts_without_twin() -> None:
    assert sides_of("left_ear nose bright upright left_right_middle") == {
        "left_ear": 1,
        "nose": 0,
        "bright": 0,
        "upright": 0,
        "left_right_middle": 0,
    }


def test_numbers_decide_between_twins_before_they_are_ignored() -> None:
    skeleton = Skeleton(("legL1", "legR2", "legL2", "legR1"))
    assert skeleton.mirror().tolist() == [3, 2, 1, 0]
    # With two candidates on one side nothing tells which is the twin.
    assert infer_sides(["legL1", "legL2", "legR3"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("file", "pairs", "middle"),
    [
        ("motion3d/human_cmu", 9, "pelvis spine1 spine2 spine3 neck1 neck2 head_top"),
        ("motion3d/rat_dannce23", 9, "Snout SpineF SpineM SpineL TailBase"),
        (
            "motion3d/mouse_salk34",
            11,
            "Nose TTI TailTip Head Trunk Tail_0 Tail_1 Tail_2 Neck Spine Tail_3 Tail_4",
        ),
        ("motion3d/fly_df3d_30", 15, ""),
        ("motion3d/fly_anipose_17", 8, "Th_mid"),
        ("paired/human_pose2sim_balancing", 9, "Neck Head Nose"),
        ("paired/mouse_dannce_m2_labels", 8, "Snout SpineF SpineM Tail(base) Tail(mid) Tail(end)"),
    ],
)
def test_every_pair_of_a_recording_is_found(real_data: Path, file: str, pairs: int, middle: str) -> None:
    names = [str(name) for name in np.load(real_data / f"{file}.npz")["joint_names"]]
    skeleton = Skeleton(tuple(names))
    assert skeleton.sides.count(1) == skeleton.sides.count(-1) == pairs
    assert [name for name, side in zip(names, skeleton.sides, strict=True) if side == 0] == middle.split()
    check_mirror(skeleton)


@pytest.mark.parametrize(
    ("file", "sided"),
    [
        ("deeplabcut_csv/CollectedData_LM", {}),
        ("deeplabcut_csv/dlc_testdata", {}),
        ("deeplabcut_csv/dlc_testdata_v2", {}),
        ("deeplabcut_csv/madlc_testdata", {}),
        ("deeplabcut_csv/maudlc_testdata_v2", {}),
        ("deeplabcut_h5/DLC_sample_tracks", {}),
        ("lightning_pose/ibl-paw_left.rng0", {"paw_l": 1, "paw_r": -1}),
        ("lightning_pose/ibl-paw_right.rng0", {"paw_l": 1, "paw_r": -1}),
        *(
            (
                f"lightning_pose/{name}",
                {
                    f"{paw}_{view}": side
                    for paw, side in {"paw1LH": 1, "paw2LF": 1, "paw3RF": -1, "paw4RH": -1}.items()
                    for view in ("top", "bot")
                },
            )
            for name in ("mirror-mouse_180607_004.rng0", "mirror-mouse_CollectedData")
        ),
    ],
)
def test_sides_of_csv_headers(real_data: Path, file: str, sided: dict[str, int]) -> None:
    with (real_data / f"keypoints2d/{file}.csv").open() as lines:
        header = next(row for row in csv.reader(lines) if row[0] == "bodyparts")
    names = list(dict.fromkeys(name for name in header[1:] if name))
    assert {name: side for name, side in zip(names, infer_sides(names), strict=True) if side} == sided


def test_sides_of_sleap_nodes(real_data: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(real_data / "keypoints2d/sleap/predictions.analysis.h5") as file:
        names = [name.decode() for name in file["node_names"]]
    expected = {name: 1 if "L" in name else -1 if "R" in name else 0 for name in names}
    assert dict(zip(names, infer_sides(names), strict=True)) == expected
    with h5py.File(real_data / "keypoints2d/sleap/centered_pair_predictions.slp") as file:
        nodes = [node["name"] for node in json.loads(file["metadata"].attrs["json"])["nodes"]]
    skeleton = Skeleton(tuple(nodes))
    assert skeleton.sides.count(1) == skeleton.sides.count(-1) == 10
    check_mirror(skeleton)
    twin = dict(zip(nodes, (nodes[index] for index in skeleton.mirror()), strict=True))
    assert twin["midlegL2"] == "midlegR2" and twin["forelegR3"] == "forelegL3" and twin["thorax"] == "thorax"


def check_mirror(skeleton: Skeleton) -> None:
    mirror, sides = skeleton.mirror(), np.array(skeleton.sides)
    assert (mirror[mirror] == np.arange(skeleton.num_joints)).all()
    assert (sides[mirror] == -sides).all()
    assert ((mirror == np.arange(skeleton.num_joints)) == (sides == 0)).all()


def test_hop_distances_count_edges() -> None:
    assert CHAIN.hop_distances().tolist() == [
        [0, 1, 2, 2, 5],
        [1, 0, 1, 1, 5],
        [2, 1, 0, 2, 5],
        [2, 1, 2, 0, 5],
        [5, 5, 5, 5, 0],
    ]


def test_hop_distances_match_a_breadth_first_search() -> None:
    rng = np.random.default_rng(3)
    edges = {(int(min(pair)), int(max(pair))) for pair in rng.integers(0, 23, (20, 2)) if pair[0] != pair[1]}
    skeleton = Skeleton(tuple(f"joint {index}" for index in range(23)), tuple(edges))
    for start in range(23):
        expected, frontier = {start: 0}, [start]
        while frontier:
            joint = frontier.pop(0)
            for a, b in edges:
                for here, there in ((a, b), (b, a)):
                    if here == joint and there not in expected:
                        expected[there] = expected[joint] + 1
                        frontier.append(there)
        assert skeleton.hop_distances()[start].tolist() == [expected.get(joint, 23) for joint in range(23)]


def test_changing_the_distances_changes_no_later_answer() -> None:
    CHAIN.hop_distances()[:] = -1
    assert CHAIN.hop_distances()[0, 1] == 1


def test_graph_holds_joints_within_hops() -> None:
    assert CHAIN.graph(0).tolist() == np.eye(5, dtype=bool).tolist()
    assert CHAIN.graph(1)[0].tolist() == [True, True, False, False, False]
    # No number of hops reaches a joint that has no path.
    assert CHAIN.graph(99)[4].tolist() == [False, False, False, False, True]
    assert Skeleton(("a", "b")).graph(0).all()
    with pytest.raises(InputError, match="hops must be >= 0, got -1"):
        CHAIN.graph(-1)


def test_permuted_skeleton_keeps_bones_and_sides_with_their_joints() -> None:
    order = [3, 0, 4, 2, 1]
    permuted = CHAIN.permute(order)
    assert permuted.names == ("hip_R", "nose", "tag", "hip_L", "neck")
    assert permuted.sides == (-1, 0, 0, 1, 0)
    assert (permuted.hop_distances() == CHAIN.hop_distances()[np.ix_(order, order)]).all()
    assert permuted.permute(np.argsort(order)).names == CHAIN.names
    with pytest.raises(InputError, match="permutation"):
        CHAIN.permute([0, 0, 1, 2, 3])


def test_subset_keeps_given_sides() -> None:
    marked = Skeleton(("a", "b", "c"), ((0, 1), (1, 2)), sides=(1, -1, 0))
    assert marked.subset(["b", "a"]) == Skeleton(("b", "a"), ((1, 0),), sides=(-1, 1))
    assert CHAIN.subset(["hip_L"]).sides == (1,)
    with pytest.raises(InputError, match="'hipL'"):
        CHAIN.subset(["hipL"])


def test_match_ignores_case_and_separators_and_takes_the_spelling() -> None:
    matched = CHAIN.match(["Hip L", "HIP-R", "Neck"])
    assert matched.names == ("Hip L", "HIP-R", "Neck")
    assert matched.sides == (1, -1, 0)
    assert set(map(frozenset, matched.edges)) == {frozenset((0, 2)), frozenset((1, 2))}


def test_match_names_what_is_missing_and_what_is_close() -> None:
    with pytest.raises(InputError, match=r"'nos' \(close: nose\), 'wing'$"):
        CHAIN.match(["nos", "neck", "wing"])
    with pytest.raises(InputError, match="'N_eck'"):
        Skeleton(("neck", "ne_ck")).match(["N_eck"])
    with pytest.raises(InputError, match="distinct"):
        CHAIN.match(["neck", "neck"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "at least one joint"),
        ((("a", "b", "a"),), "'a' more than once"),
        ((("a", "b"), ((0, 2),)), r"edge \(0, 2\) must join joints 0 … 1"),
        ((("a", "b"), ((-1, 0),)), r"edge \(-1, 0\)"),
        ((("a", "b"), ((1, 1),)), "'b' to itself"),
        ((("a", "b"), ((0, 1), (1, 0))), "given twice"),
        ((("a", "b"), (), (1,)), "2 values, one for each joint, got 1"),
        ((("a", "b"), (), (1, 2)), r"-1, 0 or \+1, got \[2\]"),
    ],
)
def test_impossible_skeletons_are_refused(arguments: tuple[tuple[object, ...], ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Skeleton(*arguments)  # type: ignore[arg-type]


def test_skeleton_is_hashable_and_takes_arrays() -> None:
    from_arrays = Skeleton(np.array(CHAIN.names), np.array(CHAIN.edges))  # type: ignore[arg-type]
    assert from_arrays == CHAIN and hash(from_arrays) == hash(CHAIN)
    assert all(type(index) is int for edge in from_arrays.edges for index in edge)


def test_json_round_trip() -> None:
    named = Skeleton(("é", "b"), ((0, 1),), (1, -1), name="two")
    assert Skeleton.from_json(named.to_json()) == named
    assert Skeleton.from_json(CHAIN.to_json()) == CHAIN
    assert "\n" not in named.to_json()


def test_json_edges_may_be_names_or_indices() -> None:
    text = '{"names": ["nose", "neck", "tail"], "edges": [["neck", "nose"], [1, 2]]}'
    assert Skeleton.from_json(text).edges == ((1, 0), (1, 2))
    assert Skeleton.from_json(json.loads(text)) == Skeleton.from_json(text)


def test_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("reading .slp files", extra="io")
    assert str(error) == "reading .slp files needs: pip install 'olift-fast[io]'"
    assert isinstance(error, ImportError) and isinstance(InputError("x"), ValueError)


DRAFTED = Skeleton(CHAIN.names, CHAIN.edges, inferred=(False, True, True))


def test_inferred_edges_stay_inferred_when_joints_are_chosen_renamed_and_reordered() -> None:
    assert DRAFTED != CHAIN and hash(DRAFTED) != hash(CHAIN)
    turned = DRAFTED.permute([4, 3, 2, 1, 0])
    assert dict(zip(turned.edges, turned.inferred, strict=True)) == {(4, 3): False, (3, 2): True, (3, 1): True}
    assert turned.permute([4, 3, 2, 1, 0]) == DRAFTED
    part = DRAFTED.subset(["hip_L", "neck", "nose"])
    assert dict(zip(part.edges, part.inferred, strict=True)) == {(2, 1): False, (1, 0): True}
    matched = DRAFTED.match(["HipR", "Neck"])
    assert (matched.names, matched.edges, matched.inferred) == (("HipR", "Neck"), ((1, 0),), (True,))


def test_skeleton_without_inferred_edges_says_so_in_one_way() -> None:
    spelled_out = Skeleton(CHAIN.names, CHAIN.edges, inferred=(False,) * 3)
    assert spelled_out == CHAIN and hash(spelled_out) == hash(CHAIN) and spelled_out.inferred == ()
    # What is left of a draft when its inferred edges go was given.
    assert DRAFTED.subset(["nose", "neck"]).inferred == ()
    assert "inferred" not in json.loads(CHAIN.to_json())


def test_inferred_edges_come_back_from_json() -> None:
    assert Skeleton.from_json(DRAFTED.to_json()) == DRAFTED
    by_name = {"names": ["a", "b", "c"], "edges": [["a", "b"], [1, 2]], "inferred": [["c", "b"]]}
    assert Skeleton.from_json(by_name).inferred == (False, True)


def test_inferred_pair_that_is_no_edge_any_longer_counts_for_nothing() -> None:
    """Who corrects a draft changes its edges and names, and need not correct what it says of the old ones."""
    corrected = {"names": ["a", "b", "d"], "edges": [["a", "d"], ["a", "b"]], "inferred": [["a", "b"], ["b", "c"]]}
    assert Skeleton.from_json(corrected).inferred == (False, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inferred": 3}, 'skeleton "inferred" must be a list of pairs, got 3'),
        ({"inferred": [[0, 1, 2]]}, 'skeleton "inferred" must be a list of pairs'),
        ({"guessed": []}, """unknown key 'guessed'; known: "name", "names", "edges", "sides", "inferred\""""),
    ],
)
def test_unusable_inferred_edges_are_told(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Skeleton.from_json({"names": ["a", "b"], "edges": [[0, 1]], **change})


def test_inferred_is_a_value_for_each_edge() -> None:
    with pytest.raises(InputError, match="inferred must have 3 values, one for each edge, got 2"):
        Skeleton(CHAIN.names, CHAIN.edges, inferred=(True, False))


def test_pieces_are_what_edges_connect() -> None:
    assert CHAIN.pieces() == ((0, 1, 2, 3), (4,))
    assert Skeleton(("a", "b", "c", "d"), ((0, 2), (3, 1))).pieces() == ((0, 2), (1, 3))
    assert Skeleton(("a", "b")).pieces() == ((0,), (1,))
    assert Skeleton(("a",)).pieces() == ((0,),)
