"""NWB files with ndx-pose: by hand with h5py in the layouts of neuroconv, sleap-io and movement, and by these tools."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints

NODES = ("nose", "left_ear", "tail")


def _points(joint: int, frames: int = 6, axes: int = 2) -> npt.NDArray[np.float64]:
    return np.arange(frames * axes, dtype=float).reshape(frames, axes) + 100 * joint + 1


def _typed(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["neurodata_type"], group.attrs["namespace"] = kind, "ndx-pose"
    return group


def _series(parent: h5py.Group, name: str, points: npt.NDArray[Any], times: Any = None, rate: float = 30.0) -> None:
    series = _typed(parent, name, "PoseEstimationSeries")
    series["data"] = points
    series["data"].attrs.update({"unit": "pixels", "conversion": 1.0})
    series["confidence"] = np.full(len(points), 0.75)
    if times is None:
        series["starting_time"] = 0.0
        series["starting_time"].attrs["rate"] = rate
    else:
        series["timestamps"] = np.asarray(times, dtype=float)


def _skeleton(file: h5py.File, name: str = "mouse", nodes: Sequence[str] = NODES) -> h5py.Group:
    skeletons = file.get("processing/behavior/Skeletons")
    if skeletons is None:
        skeletons = _typed(file.require_group("processing/behavior"), "Skeletons", "Skeletons")
    skeleton = _typed(skeletons, name, "Skeleton")
    skeleton["nodes"] = list(nodes)
    skeleton["edges"] = np.array([[0, 1], [0, 2]], np.uint8)
    return skeleton


def _write(
    path: Path,
    containers: Mapping[str, Mapping[str, npt.NDArray[Any]]],
    module: str = "behavior",
    kind: str = "PoseEstimation",
    skeleton: bool = True,
    **timing: Any,
) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.8.0"
        if skeleton:
            _skeleton(file)
        for name, joints in containers.items():
            container = _typed(file.require_group(f"processing/{module}"), name, kind)
            for joint, points in joints.items():
                _series(container, joint, points, **timing)
            if skeleton:
                container["skeleton"] = h5py.SoftLink("/processing/behavior/Skeletons/mouse")
    return path


def _joints(names: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    return {name: _points(number) for number, name in enumerate(names)}


@pytest.mark.parametrize("name", ["PoseEstimation", "PoseEstimationDeepLabCut", "camera top"])
@pytest.mark.parametrize("names", [NODES, [f"PoseEstimationSeries{name}" for name in ("Nose", "LeftEar", "Tail")]])
def test_joints_are_the_nodes_whatever_the_container_and_series_are_called(
    tmp_path: Path, name: str, names: Sequence[str]
) -> None:
    found = read_keypoints(_write(tmp_path / "clip.nwb", {name: _joints(names)}, "pose"))
    assert found.format == "nwb" and found.tracks == ("track_0",) and found.fps == 30 and found.frames is None
    assert found.skeleton.names == NODES and found.skeleton.edges == ((0, 1), (0, 2))
    wanted = np.stack([_points(joint) for joint in range(3)], axis=1)
    np.testing.assert_array_equal(found.keypoints[0], wanted)
    assert (found.confidence == 0.75).all()


@pytest.mark.parametrize("rate", [29.97, 30000 / 1001, 23.4567891])
@pytest.mark.parametrize("frames", [1, 6])
def test_the_rate_of_a_file_is_taken_exactly(tmp_path: Path, rate: float, frames: int) -> None:
    found = read_keypoints(_write(tmp_path / "clip.nwb", {"pose": {"nose": _points(0, frames)}}, rate=rate))
    assert found.fps == rate and found.num_frames == frames and found.frames is None


def test_series_without_a_skeleton_are_the_joints(tmp_path: Path) -> None:
    names = [f"PoseEstimationSeries{name}" for name in ("Ear", "Nose")]
    found = read_keypoints(_write(tmp_path / "clip.nwb", {"pose": _joints(names)}, skeleton=False))
    assert found.skeleton.names == ("Ear", "Nose") and found.skeleton.edges == ()


def test_a_skeleton_that_names_no_series_is_told(tmp_path: Path) -> None:
    found = read_keypoints(_write(tmp_path / "clip.nwb", {"pose": _joints(["a", "b"])}))
    assert found.skeleton.names == ("a", "b") and found.skeleton.edges == ()
    assert found.notes == ("the Skeleton's nodes (nose, left_ear, tail) name none of the series",)


def test_nodes_without_a_series_are_hidden_and_others_come_last(tmp_path: Path) -> None:
    found = read_keypoints(_write(tmp_path / "clip.nwb", {"pose": _joints(["tail", "extra"])}))
    assert found.skeleton.names == (*NODES, "extra")
    assert found.visible().any(axis=(0, 1)).tolist() == [False, False, True, True]


def test_nodes_inside_of_the_container_as_older_files_have_them(tmp_path: Path) -> None:
    path = _write(tmp_path / "clip.nwb", {"pose": _joints(["tail", "nose"])}, skeleton=False)
    with h5py.File(path, "a") as file:
        container = file["processing/behavior/pose"]
        container["nodes"], container["edges"] = ["nose", "tail"], np.array([[0, 1]], np.uint8)
    found = read_keypoints(path)
    assert found.skeleton.names == ("nose", "tail") and found.skeleton.edges == ((0, 1),)
    np.testing.assert_array_equal(found.keypoints[0, :, 1], _points(0))


def test_types_of_an_extension_count_as_what_they_extend(tmp_path: Path) -> None:
    path = _write(tmp_path / "clip.nwb", {"pose": _joints(NODES)}, kind="RatPose")
    with pytest.raises(
        InputError, match=r"an NWB file without poses: wanted a PoseEstimation container .* hold .*pose \(RatPose\)"
    ):
        read_keypoints(path)
    definition = {"groups": [{"neurodata_type_def": "RatPose", "neurodata_type_inc": "PoseEstimation"}]}
    with h5py.File(path, "a") as file:
        file["specifications/ndx-rat/0.1.0/ndx-rat.extensions"] = json.dumps(definition)
    assert read_keypoints(path).skeleton.names == NODES


def test_several_containers_are_tracks(tmp_path: Path) -> None:
    joints = _joints(NODES)
    shifted = {name: points + 1000 for name, points in reversed(joints.items())}
    found = read_keypoints(_write(tmp_path / "clip.nwb", {"track=b": shifted, "track=a": joints}))
    assert found.tracks == ("a", "b") and found.skeleton.edges == ((0, 1), (0, 2))
    np.testing.assert_array_equal(found.keypoints[1], found.keypoints[0] + 1000)
    assert found.notes == ("each PoseEstimation container is a track: track=a, track=b",)


def test_containers_of_the_same_name_are_told_apart_by_their_modules(tmp_path: Path) -> None:
    path = _write(tmp_path / "clip.nwb", {"track=a": _joints(NODES)}, "SLEAP_VIDEO_000_left")
    with h5py.File(path, "a") as file:
        file.copy("processing/SLEAP_VIDEO_000_left", "processing/SLEAP_VIDEO_001_right")
    assert read_keypoints(path).tracks == ("SLEAP_VIDEO_000_left/a", "SLEAP_VIDEO_001_right/a")


def test_containers_of_different_skeletons_or_cameras_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "clip.nwb", {"a": _joints(["x", "y"]), "b": _joints(["x", "z"])}, skeleton=False)
    with pytest.raises(InputError, match=r"different skeletons: a \(x, y\) and b \(x, z\); save one in a file"):
        read_keypoints(path)
    path = _write(tmp_path / "views.nwb", {"left": _joints(NODES), "right": _joints(NODES)})
    with h5py.File(path, "a") as file:
        _typed(file["processing/behavior"], "views", "MultiCameraPoseEstimation")
    with pytest.raises(InputError, match=r"holds poses of 2 cameras \(left, right\), wanted one"):
        read_keypoints(path)


def test_gaps_in_timestamps_become_hidden_frames(tmp_path: Path) -> None:
    times = np.array([0, 1, 2, 5, 6, 7]) / 25
    found = read_keypoints(_write(tmp_path / "clip.nwb", {"pose": _joints(NODES)}, times=times))
    assert found.fps == 25 and found.num_frames == 8
    assert found.visible().any(axis=(0, 2)).tolist() == [True, True, True, False, False, True, True, True]
    np.testing.assert_array_equal(found.keypoints[0, [0, 1, 2, 5, 6, 7], 0], _points(0))


def test_series_with_times_of_their_own_meet_at_the_same_frames(tmp_path: Path) -> None:
    path = _write(tmp_path / "clip.nwb", {"track=A": {"nose": _points(0)}}, rate=1.0)
    with h5py.File(path, "a") as file:
        _series(file["processing/behavior/track=A"], "tail", _points(2, 5), times=[0, 1, 3, 4, 5])
    found = read_keypoints(path)
    assert found.tracks == ("A",) and found.num_frames == 6 and found.fps is None
    assert found.visible()[0, :, 2].tolist() == [True, True, False, True, True, True]
    assert any("taken as frame numbers" in note for note in found.notes)


@pytest.mark.parametrize("shift", [1e-3, 1e-5, 4e-7])
def test_animals_with_almost_equal_timestamps_share_their_frames(tmp_path: Path, shift: float) -> None:
    path = _write(tmp_path / "clip.nwb", {"a": _joints(NODES)}, times=np.arange(6) / 30)
    with h5py.File(path, "a") as file:
        other = _typed(file["processing/behavior"], "b", "PoseEstimation")
        for joint, name in enumerate(NODES):
            _series(other, name, _points(joint) + 500, times=np.arange(6) / 30 + shift)
    found = read_keypoints(path)
    assert found.num_frames == 6 and found.fps == 30 and found.visible().all() and not found.warnings
    np.testing.assert_array_equal(found.keypoints[1], found.keypoints[0] + 500)


@pytest.mark.parametrize(("unit", "fps", "warned"), [("milliseconds", 25, False), ("seconds", 0.025, True)])
def test_timestamps_in_milliseconds_are_read_as_the_file_says_or_told(
    tmp_path: Path, unit: str, fps: float, warned: bool
) -> None:
    path = _write(tmp_path / "clip.nwb", {"pose": {"nose": _points(0)}}, skeleton=False, times=np.arange(6) * 40)
    with h5py.File(path, "a") as file:
        file["processing/behavior/pose/nose/timestamps"].attrs["unit"] = unit
    found = read_keypoints(path)
    assert found.fps == pytest.approx(fps) and found.num_frames == 6
    assert any("if they are milliseconds" in warning for warning in found.warnings) == warned


def test_a_session_clock_does_not_shift_the_frames(tmp_path: Path) -> None:
    times = 1234.55 + np.arange(6) / 30 + np.array([0, 1, -1, 1, 0, -1]) * 1e-4
    found = read_keypoints(_write(tmp_path / "clip.nwb", {"pose": _joints(NODES)}, times=times))
    assert found.frames is None and found.num_frames == 6 and found.fps == pytest.approx(30, abs=0.05)


def test_timestamps_that_tell_no_frames_are_told(tmp_path: Path) -> None:
    found = read_keypoints(_write(tmp_path / "clip.nwb", {"pose": _joints(NODES)}, times=[0, 1, 1, 2, 3, 4]))
    assert found.num_frames == 6 and found.warnings == ("timestamps do not increase: frames are counted from 0",)


@pytest.mark.parametrize(
    ("points", "timing", "message"),
    [
        (_points(0, axes=3), {}, r"holds 3D points \(x, y, z\)"),
        (np.ones(6), {}, r"data must be \(frames, 2\) numbers, got \(6,\)"),
        (_points(0), {"times": [0.0, 1.0]}, "got 6 points, 6 confidences, 2 timestamps"),
        (_points(0), {"times": [np.nan] * 6}, "timestamps must be finite"),
        (_points(0), {"rate": 0.0}, "rate must be > 0, got 0"),
    ],
)
def test_series_that_do_not_fit_are_refused(
    tmp_path: Path, points: npt.NDArray[Any], timing: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_keypoints(_write(tmp_path / "clip.nwb", {"pose": {"nose": points}}, **timing))


def test_points_in_other_units_are_converted_to_pixels(tmp_path: Path) -> None:
    path = _write(tmp_path / "clip.nwb", {"pose": {"nose": _points(0)}})
    with h5py.File(path, "a") as file:
        file["processing/behavior/pose/nose/data"].attrs["conversion"] = 2.0
    np.testing.assert_array_equal(read_keypoints(path).keypoints[0, :, 0], 2 * _points(0))


@pytest.fixture(scope="module")
def ndx_pose() -> Any:
    return pytest.importorskip("ndx_pose", reason="needs the extra io")


@pytest.mark.slow
@pytest.mark.parametrize("container", ["PoseEstimationDeepLabCut", "mouse 7"])
def test_files_of_pynwb_read(ndx_pose: Any, tmp_path: Path, container: str) -> None:
    pynwb = importlib.import_module("pynwb")
    file = pynwb.NWBFile("poses", "id", datetime(2024, 1, 1, tzinfo=UTC))
    file.subject = pynwb.file.Subject(subject_id="mouse_7", species="Mus musculus")
    skeleton = ndx_pose.Skeleton(name="skel", nodes=list(NODES), edges=np.array([[0, 1], [1, 2]], dtype="uint8"))
    series = [
        ndx_pose.PoseEstimationSeries(
            name=f"PoseEstimationSeries{name}",
            data=_points(number),
            unit="pixels",
            reference_frame="top left",
            confidence=np.full(6, 0.5),
            rate=50.0,
        )
        for number, name in enumerate(("Nose", "LeftEar", "Tail"))
    ]
    poses = ndx_pose.PoseEstimation(name=container, pose_estimation_series=series, skeleton=skeleton)
    behavior = file.create_processing_module("behavior", "poses")
    behavior.add([ndx_pose.Skeletons(skeletons=[skeleton]), poses])
    with pynwb.NWBHDF5IO(str(tmp_path / "clip.nwb"), "w") as io:
        io.write(file)
    found = read_keypoints(tmp_path / "clip.nwb")
    assert found.tracks == ("mouse_7",) and found.skeleton.names == NODES and found.fps == 50
    assert found.skeleton.edges == ((0, 1), (1, 2))
    np.testing.assert_array_equal(found.keypoints[0, :, 1], _points(1))


@pytest.mark.slow
def test_predictions_of_sleap_io_read_as_its_own_project(ndx_pose: Any, tmp_path: Path) -> None:
    sleap_io = pytest.importorskip("sleap_io", reason="needs the extra io")
    skeleton = sleap_io.Skeleton(list(NODES), edges=[("nose", "left_ear"), ("nose", "tail")], name="m")
    tracks = [sleap_io.Track("A"), sleap_io.Track("B")]
    video = sleap_io.Video(filename="clip.mp4", open_backend=False)
    rng = np.random.default_rng(0)
    frames = []
    for number in range(6):
        instances = []
        for track in tracks:
            points = rng.uniform(1, 99, (3, 2))
            if number == 3:
                points[2] = np.nan
            scores = {"point_scores": np.full(3, 0.5), "score": 0.5}
            instances.append(sleap_io.PredictedInstance.from_numpy(points, skeleton=skeleton, track=track, **scores))
        frames.append(sleap_io.LabeledFrame(video=video, frame_idx=number, instances=instances))
    labels = sleap_io.Labels(frames)
    importlib.import_module("sleap_io.io.nwb_predictions").write_nwb(labels, str(tmp_path / "clip.nwb"))
    sleap_io.save_slp(labels, str(tmp_path / "clip.slp"), embed=False)
    found, project = read_keypoints(tmp_path / "clip.nwb"), read_keypoints(tmp_path / "clip.slp")
    assert found.tracks == ("A", "B") and found.skeleton == project.skeleton and found.fps is None
    np.testing.assert_array_equal(found.keypoints, project.keypoints)


@pytest.mark.slow
def test_files_of_movement_read(ndx_pose: Any, tmp_path: Path) -> None:
    load = pytest.importorskip("movement.io.load_poses", reason="needs the extra io")
    save, pynwb = importlib.import_module("movement.io.save_poses"), importlib.import_module("pynwb")
    points = np.random.default_rng(0).uniform(0, 99, (6, 2, 3, 1))
    dataset = load.from_numpy(points, np.full((6, 3, 1), 0.75), ["rat"], ["tail", "nose", "paw"], fps=30)
    with pynwb.NWBHDF5IO(str(tmp_path / "poses.nwb"), mode="w") as file:
        file.write(save.to_nwb_file(dataset))
    found = read_keypoints(tmp_path / "poses.nwb")
    assert found.fps == pytest.approx(30) and (found.confidence == 0.75).all() and found.tracks == ("rat",)
    assert found.skeleton.names == ("tail", "nose", "paw")
    np.testing.assert_array_equal(found.keypoints[0], points[..., 0].transpose(0, 2, 1).astype(np.float32))
