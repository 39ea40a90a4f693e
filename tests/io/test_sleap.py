"""SLEAP's files, written here with h5py in each of their forms, and the real ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints

NODES = ["head", "thorax", "wingL"]


def _tracks() -> npt.NDArray[np.float64]:
    """(2 tracks, 4 frames, 3 nodes, 2)"""
    tracks = np.arange(48, dtype=float).reshape(2, 4, 3, 2) + 1
    tracks[0, 1, 2] = np.nan
    tracks[1, 0] = np.nan
    tracks[1, 3, 0] = 0
    return tracks


def _write_analysis(path: Path, tracks: npt.NDArray[np.float64], dims: list[str] | None = None) -> Path:
    scores = np.linspace(0.2, 1.1, tracks[..., 0].size).reshape(tracks.shape[:3])
    legacy = {"tracks": (0, 3, 2, 1), "point_scores": (0, 2, 1)}
    with h5py.File(path, "w") as file:
        file["node_names"] = np.array(NODES, dtype="S")
        file["track_names"] = np.array(["a", "b"], dtype="S")
        file["edge_inds"] = np.array([[1, 0], [1, 2]])
        if dims is None:
            file["tracks"] = tracks.transpose(legacy["tracks"])
            file["point_scores"] = scores.transpose(legacy["point_scores"])
        else:
            axes = ["track", "frame", "node", "xy"]
            file["tracks"] = tracks.transpose([axes.index(name) for name in dims])
            file["tracks"].attrs["dims"] = json.dumps(dims)
            short = [name for name in dims if name != "xy"]
            file["point_scores"] = scores.transpose([axes.index(name) for name in short])
            file["point_scores"].attrs["dims"] = json.dumps(short)
    return path


@pytest.mark.parametrize("dims", [None, ["frame", "track", "node", "xy"], ["node", "xy", "frame", "track"]])
def test_analysis_file_in_any_order_of_dimensions(tmp_path: Path, dims: list[str] | None) -> None:
    found = read_keypoints(_write_analysis(tmp_path / "clip.h5", _tracks(), dims))
    wanted = _tracks()
    wanted[1, 3, 0] = np.nan
    np.testing.assert_array_equal(found.keypoints, wanted.astype(np.float32))
    assert found.format == "sleap-analysis" and found.tracks == ("a", "b")
    assert found.skeleton.names == tuple(NODES) and found.skeleton.edges == ((1, 0), (1, 2))
    assert found.confidence[0, 0, 0] == np.float32(0.2) and found.confidence[1, 3, 0] == 0
    assert found.confidence[1, 3, 2] == 1, "scores above 1 come down to 1"


def test_analysis_file_of_3d_points_and_misfits_are_refused(tmp_path: Path) -> None:
    points = np.ones((2, 4, 3, 3))
    with pytest.raises(InputError, match=r"clip.h5: holds 3D points \(x, y, z\), needs 2D"):
        read_keypoints(_write_analysis(tmp_path / "clip.h5", points))
    path = _write_analysis(tmp_path / "edges.h5", _tracks())
    with h5py.File(path, "a") as file:
        file["edge_inds"][:] = [[0, 1], [0, 3]]
    with pytest.raises(InputError, match=r"edges.h5: skeleton: edge \(0, 3\) must join joints 0 … 2"):
        read_keypoints(path)
    with h5py.File(path, "a") as file:
        del file["node_names"]
        file["node_names"] = np.array(["a", "b"], dtype="S")
    with pytest.raises(InputError, match="3 joints a frame but 2 joint names"):
        read_keypoints(path)


def _write_labels(path: Path, format_id: float = 1.2, tracked: bool = True) -> Path:
    """Two animals in frames 3, 4 and 5; in frame 4 animal a is labeled by hand as well."""
    nodes = [{"name": name} for name in ("wingL", "head", "thorax")]
    body, symmetry = ({"py/reduce": [{"py/type": "EdgeType"}, {"py/tuple": [kind]}]} for kind in (1, 2))
    links = [
        {"edge_insert_idx": 1, "source": 2, "target": 0, "type": body},
        {"edge_insert_idx": 2, "source": 0, "target": 1, "type": symmetry},
        {"edge_insert_idx": 0, "source": 2, "target": 1, "type": {"py/id": 1}},
        {"edge_insert_idx": 3, "source": 1, "target": 0, "type": {"py/id": 2}},
    ]
    skeleton = {"links": links, "nodes": [{"id": 1}, {"id": 2}, {"id": 0}]}
    frames = np.array(
        [(0, 0, 3, 0, 2), (1, 0, 4, 2, 5), (2, 0, 5, 5, 7)],
        dtype=[(name, "u8") for name in ("frame_id", "video", "frame_idx", "instance_id_start", "instance_id_end")],
    )
    instance_type = np.dtype(
        [
            *(("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"), ("track", "i4")),
            *(("point_id_start", "u8"), ("point_id_end", "u8")),
        ]
    )
    track = (0, 1) if tracked else (-1, -1)
    rows = [
        (0, 1, 0, 0, track[0], 0, 3),
        (1, 1, 0, 0, track[1], 3, 6),
        (2, 0, 1, 0, track[0], 0, 3),
        *([(3, 1, 1, 0, track[0], 6, 9)] if tracked else []),
        (4, 1, 1, 0, track[1], 9, 12),
        (5, 1, 2, 0, track[0], 12, 15),
        (6, 1, 2, 0, track[1], 15, 18),
    ]
    point = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
    predicted = np.zeros(18, dtype=[*point, ("score", "f8")])
    predicted["x"] = np.repeat([0, 200, 1, 201, 2, 202], 3) + np.tile([0, 10, 20], 6)
    predicted["y"] = np.tile([0, 7, 3], 6)
    predicted["visible"], predicted["score"] = True, 0.5
    predicted["visible"][17] = False
    user = np.array([(5, 1, True, True), (15, 8, True, True), (np.nan, np.nan, False, False)], dtype=point)
    with h5py.File(path, "w") as file:
        metadata = file.create_group("metadata")
        metadata.attrs["format_id"] = format_id
        metadata.attrs["json"] = np.bytes_(json.dumps({"skeletons": [skeleton], "nodes": nodes}))
        file["frames"], file["instances"] = frames, np.array(rows, dtype=instance_type)
        file["points"], file["pred_points"] = user, predicted
        file["tracks_json"] = np.array(['[0, "a"]', '[0, "b"]'] if tracked else [], dtype="S")
    return path


def test_project_gives_tracks_edges_and_hand_labels_first(tmp_path: Path) -> None:
    found = read_keypoints(_write_labels(tmp_path / "clip.slp"))
    assert found.format == "sleap-labels" and found.tracks == ("a", "b")
    assert found.skeleton.names == ("head", "thorax", "wingL")
    assert found.skeleton.edges == ((1, 0), (1, 2)), "in the order of insertion, without symmetries"
    assert found.frames is not None and found.frames.tolist() == [3, 4, 5]
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(found.keypoints[0, 1], [[5, 1], [15, 8], nan])
    np.testing.assert_array_equal(found.confidence[0], [[0.5] * 3, [1, 1, 0], [0.5] * 3])
    np.testing.assert_array_equal(found.keypoints[1, 2], [[202, 0], [212, 7], nan])


def test_project_without_tracks_joins_instances_by_nearness(tmp_path: Path) -> None:
    tracked = read_keypoints(_write_labels(tmp_path / "clip.slp"))
    found = read_keypoints(_write_labels(tmp_path / "loose.slp", tracked=False))
    assert found.tracks == ("track_0", "track_1")
    np.testing.assert_array_equal(found.keypoints, tracked.keypoints)


def test_old_projects_have_their_origin_at_the_corner_of_the_pixel(tmp_path: Path) -> None:
    new = read_keypoints(_write_labels(tmp_path / "new.slp", 1.1))
    old = read_keypoints(_write_labels(tmp_path / "old.slp", 1.0))
    np.testing.assert_allclose(old.keypoints, new.keypoints - 0.5)


def test_projects_of_several_videos_keep_them_apart(tmp_path: Path) -> None:
    for tracked in (True, False):
        path = _write_labels(tmp_path / "clip.slp", tracked=tracked)
        with h5py.File(path, "a") as file:
            frames = file["frames"][:]
            frames["video"][2], frames["frame_idx"][2] = 1, 3
            file["frames"][:] = frames
        found = read_keypoints(path)
        first, second = ("a", "b") if tracked else ("track_0", "track_1")
        assert found.tracks == tuple(f"video{video}/{name}" for video in (0, 1) for name in (first, second))
        assert found.visible().any(axis=-1).tolist() == [[True, True]] * 2 + [[True, False]] * 2


def test_json_project_reads_like_the_binary_one(tmp_path: Path) -> None:
    points = {"0": {"x": 1, "y": 2, "visible": True}, "1": {"x": 3, "y": 4, "visible": False}}
    content = {
        "skeletons": [{"nodes": [{"id": 1}, {"id": 0}], "links": [{"source": 1, "target": 0}]}],
        "nodes": [{"name": "tail"}, {"name": "nose"}],
        "tracks": [[0, "mia"]],
        "labels": [
            {"frame_idx": 4, "_instances": [{"track": 0, "_points": points}]},
            {"frame_idx": 5, "_instances": [{"track": None, "_points": points}]},
        ],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    found = read_keypoints(path)
    assert found.skeleton.names == ("nose", "tail") and found.skeleton.edges == ((0, 1),)
    assert found.tracks == ("mia",) and found.frames is not None and found.frames.tolist() == [4, 5]
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(found.keypoints, [[[[1, 2], nan], [[1, 2], nan]]])


def test_analysis_table_groups_its_rows_by_track(write_table: Callable[..., Path]) -> None:
    rows = [
        ["track", "frame_idx", "instance.score", "A.x", "A.y", "A.score", "B.x", "B.y", "B.score"],
        ["f", 2, 0.9, 1, 2, 0.5, 3, 4, None],
        ["m", 2, 0.9, 5, 6, 0.5, None, None, None],
        ["f", 4, 0.9, 7, 8, 0.5, 9, 10, 0.25],
    ]
    found = read_keypoints(write_table(rows))
    assert found.format == "sleap-csv" and found.tracks == ("f", "m") and found.skeleton.names == ("A", "B")
    assert found.frames is not None and found.frames.tolist() == [2, 3, 4]
    np.testing.assert_array_equal(found.keypoints[0, [0, 2]], [[[1, 2], [3, 4]], [[7, 8], [9, 10]]])
    np.testing.assert_array_equal(found.confidence[:, 0], [[0.5, 1], [0.5, 0]])
    assert not found.confidence[:, 1].any()


def test_real_analysis_file_holds_what_h5py_sees(real_data: Path) -> None:
    path = real_data / "keypoints2d/sleap/predictions.analysis.h5"
    found = read_keypoints(path)
    with h5py.File(path) as file:
        tracks = file["tracks"][:]
    assert found.keypoints.shape == (2, 3000, 13, 2)
    for track, frame, node in [(0, 0, 0), (1, 2999, 12), (0, 1500, 5), (1, 77, 3)]:
        np.testing.assert_array_equal(
            found.keypoints[track, frame, node], tracks[track, :, node, frame].astype(np.float32)
        )
    assert np.isfinite(found.keypoints).sum() == np.isfinite(tracks).sum()


@pytest.mark.slow
def test_real_project_and_its_analysis_file_agree(real_data: Path) -> None:
    folder = real_data / "keypoints2d/sleap"
    project, analysis = read_keypoints(folder / "predictions.slp"), read_keypoints(folder / "predictions.analysis.h5")
    assert len(project.skeleton.edges) == 12
    order = [project.skeleton.names.index(name) for name in analysis.skeleton.names]
    np.testing.assert_array_equal(project.keypoints[:, :, order], analysis.keypoints)
    assert project.tracks == analysis.tracks


def test_real_table_and_json_of_one_frame(real_data: Path) -> None:
    folder = real_data / "keypoints2d/sleap"
    table_path = next(folder.glob("minimal_instance.*.csv"))
    table, labels = read_keypoints(table_path), read_keypoints(folder / "minimal_instance.json")
    with table_path.open() as file:
        row = next(iter(csv.DictReader(file)))
    np.testing.assert_array_equal(
        table.keypoints[0, 0], np.array([[row["A.x"], row["A.y"]], [row["B.x"], row["B.y"]]], dtype=np.float32)
    )
    assert labels.num_tracks == 2 and labels.skeleton.edges == ((0, 1),)
    np.testing.assert_array_equal(labels.keypoints[1], table.keypoints[0])
    project = read_keypoints(folder / "minimal_instance.slp")
    np.testing.assert_allclose(project.keypoints, labels.keypoints, atol=0.51)


def test_tables_with_blank_tracks_gaps_and_more_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.analysis.csv"
    head = "track,frame_idx,A.x,A.y,A.score,B.x,B.y,B.score,area,\n"
    path.write_text(head + ",3.0,100,2,.5,3,4,.25,9,\n,,,,,,,,,\n,6.0,5,6,,,,,9,\n,,,,,,,,,\n")
    found = read_keypoints(path)
    assert found.format == "sleap-csv" and found.num_tracks == 1 and found.notes == ("columns left out: area",)
    assert found.frames is not None and found.frames.tolist() == [3, 4, 5, 6]
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(found.keypoints[0], [[[100, 2], [3, 4]], [nan, nan], [nan, nan], [[5, 6], nan]])
    np.testing.assert_array_equal(found.confidence[0, [0, 3]], [[0.5, 0.25], [1, 0]])
    path.write_text(head + ",1.5,1,2,,3,4,,,\n")
    with pytest.raises(InputError, match=r"frame_idx must be a whole number below 2\^63, got '1.5'"):
        read_keypoints(path)
