"""Results for pose tools and tables, read again by the tool: sleap-io, movement, pynwb, scipy, pandas; bit for bit."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lifted_motions import FRAMES, lifted, swinging, without

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints, write_lifted
from olift_fast.tracks import rig
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

DOG = rig("ap10k_17")
ODD = Skeleton(('a,"b', "left ear", "ü"), ((0, 1), (1, 2)))
MANY = [("dog",), ("left, dog", "ü 2")]
each_kind = pytest.mark.parametrize("kind", FRAMES)
each_number = pytest.mark.parametrize("tracks", MANY, ids=["one", "two"])


def dogs(tracks: tuple[str, ...] = ("dog",), skeleton: Skeleton = DOG, kind: str = "camera, pixels") -> LiftedTracks:
    """Six frames with a gap, an unknown joint, a hidden keypoint, deviations and contacts."""
    joints = np.stack([swinging(skeleton, 6, seed) for seed in range(len(tracks))])
    result = without(lifted(skeleton, joints, tracks, fps=29.97, **FRAMES[kind]), len(tracks) - 1, slice(2, 4), 1)
    rng = np.random.default_rng(3)
    keypoints, confidence = result.keypoints.copy(), result.confidence.copy()
    keypoints[0, 1, 2], confidence[0, 1, 2] = np.nan, 0
    changes: dict[str, Any] = {name: rng.uniform(1, 9, confidence.shape) for name in ("uncertainty", "uncertainty_xy")}
    changes |= {"contacts": rng.uniform(0, 1, confidence.shape) > 0.5, "frames": np.array([3, 4, 5, 8, 9, 10])}
    return replace(result, keypoints=keypoints, confidence=confidence, **changes)


@each_kind
@each_number
def test_points3d_is_what_sleap_anipose_writes(tmp_path: Path, kind: str, tracks: tuple[str, ...]) -> None:
    result = dogs(tracks, kind=kind)
    with h5py.File(write_lifted(result, tmp_path / "dogs.points3d.h5")) as file:
        # As sleap_anipose.reproject reads it, and keypoint_moseq.io._sleap_anipose_loader, with the scores.
        np.testing.assert_array_equal(file["tracks"][:], result.joints.transpose(1, 0, 2, 3))
        np.testing.assert_array_equal(file["point_scores"][()], result.confidence.transpose(1, 0, 2))
        assert [name.decode() for name in file["node_names"]] == list(DOG.names)
        assert [name.decode() for name in file["track_names"]] == list(tracks)
        np.testing.assert_array_equal(file["edge_inds"], DOG.edges)
        assert file["frame_numbers"][()].tolist() == [3, 4, 5, 8, 9, 10] and "frames" not in file
        deviations = result.uncertainty
        assert deviations is not None
        np.testing.assert_array_equal(file["uncertainty"], deviations.transpose(1, 0, 2))
        np.testing.assert_array_equal(file["visible"], result.visible.transpose(1, 0, 2))
        assert file["tracks"].attrs["units"] == json.loads(file.attrs["olift_fast"])["units"] == result.units


def test_points3d_of_frames_in_a_row_has_their_range(tmp_path: Path) -> None:
    result = lifted(DOG, swinging(DOG, 4), frames=np.arange(4) + 7)
    with h5py.File(write_lifted(result, tmp_path / "dogs.points3d.h5")) as file:
        assert file["frames"][()].tolist() == [7, 11]
    with h5py.File(write_lifted(dogs(), tmp_path / "dlc.h5")) as file:
        assert "df_with_missing" in file


@pytest.fixture
def load_poses() -> Any:
    return pytest.importorskip("movement.io.load_poses", reason="movement is not installed")


@each_kind
def test_movement_reads_aniposes_table(load_poses: Any, tmp_path: Path, kind: str) -> None:
    result = dogs(kind=kind)
    path = write_lifted(result, tmp_path / "dog.anipose.csv")
    dataset = load_poses.from_anipose_file(path, fps=29.97, individual_name="dog")
    found = dataset.sel(keypoints=list(DOG.names), individuals="dog")
    np.testing.assert_array_equal(found.position.values.astype(np.float32), result.joints[0].transpose(0, 2, 1))
    np.testing.assert_array_equal(found.confidence.values.astype(np.float32), result.confidence[0])


def test_aniposes_table_has_its_columns(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    result = dogs(skeleton=ODD)
    table = pandas.read_csv(write_lifted(result, tmp_path / "dog.anipose.csv"))
    for joint, name in enumerate(ODD.names):
        assert set(table.columns) >= {f"{name}_{part}" for part in ("x", "y", "z", "error", "ncams", "score")}
        error = np.linalg.norm(result.joints[0, :, joint, :2] - result.keypoints[0, :, joint], axis=-1)
        np.testing.assert_allclose(table[f"{name}_error"], error, rtol=1e-6)
        np.testing.assert_array_equal(table[f"{name}_ncams"], result.visible[0, :, joint])
    assert table["fnum"].tolist() == [3, 4, 5, 8, 9, 10]
    turn = table[[f"M_{row}{column}" for row in range(3) for column in range(3)]].to_numpy()[0].reshape(3, 3)
    np.testing.assert_array_equal(turn, np.eye(3))
    in_meters = pandas.read_csv(write_lifted(dogs(kind="camera, meters"), tmp_path / "meters.anipose.csv"))
    assert in_meters["nose_error"].isna().all()


def test_keypoint_moseqs_loader_finds_what_it_looks_for_in_aniposes_table(tmp_path: Path) -> None:
    """Its pattern in the head, and its columns; keypoint_moseq.io._anipose_loader, which needs JAX, reads no more."""
    result = dogs()
    path = write_lifted(result, tmp_path / "dog.anipose.csv")
    head = path.read_text().splitlines()[0]
    assert re.findall(r"(?P<string>\w+)_x,(?P=string)_y,(?P=string)_z", head) == list(DOG.names)


@each_kind
@each_number
def test_scipy_reads_dannces_predictions(tmp_path: Path, kind: str, tracks: tuple[str, ...]) -> None:
    loadmat = pytest.importorskip("scipy.io").loadmat
    result = dogs(tracks, kind=kind)
    content = loadmat(write_lifted(result, tmp_path / "dogs.mat"))
    alone = len(tracks) == 1
    # keypoint_moseq.io._dannce_loader transposes (frames, 3, joints); social DANNCE has an axis for animals before.
    wanted = result.joints.transpose(1, 0, 3, 2)
    np.testing.assert_array_equal(content["pred"], wanted[:, 0] if alone else wanted)
    scores = result.confidence.transpose(1, 0, 2)
    np.testing.assert_array_equal(content["p_max"], scores[:, 0] if alone else scores)
    assert content["sampleID"].tolist() == [[3, 4, 5, 8, 9, 10]] and content["fps"].item() == 29.97
    assert [name.item() for name in content["joint_names"][:, 0]] == list(DOG.names)
    np.testing.assert_array_equal(content["joints_idx"] - 1, DOG.edges)
    assert [name.item() for name in content["track_names"][:, 0]] == list(tracks)
    assert content["units"].tolist() == [result.units]
    assert json.loads(content["olift_fast"].item())["source"] == "clip.csv"
    deviations = result.uncertainty
    assert deviations is not None
    np.testing.assert_array_equal(content["uncertainty"].reshape(6, len(tracks), 17), deviations.transpose(1, 0, 2))


@each_kind
@each_number
def test_sleap_io_reads_projects_with_instances_in_3d(tmp_path: Path, kind: str, tracks: tuple[str, ...]) -> None:
    sleap = pytest.importorskip("sleap_io")
    result = dogs(tracks, kind=kind)
    labels = sleap.load_slp(str(write_lifted(result, tmp_path / "dogs.slp")), open_videos=False)
    assert [track.name for track in labels.tracks] == list(tracks)
    (skeleton,) = labels.skeletons
    assert skeleton.node_names == list(DOG.names) and set(map(tuple, skeleton.edge_inds)) == set(DOG.edges)
    assert labels.provenance["units"] == result.units
    (session,) = labels.sessions
    assert sorted(session.frame_groups) == [3, 4, 5, 8, 9, 10]
    for index, number in enumerate([3, 4, 5, 8, 9, 10]):
        groups = session.frame_groups[number].instance_groups
        assert len(groups) == len(tracks)
        for group in groups:
            (flat,) = group.instances
            track = tracks.index(flat.track.name)
            np.testing.assert_array_equal(group.instance_3d.numpy().astype(np.float32), result.joints[track, index])
            np.testing.assert_array_equal(
                group.instance_3d.point_scores.astype(np.float32), result.confidence[track, index]
            )
            np.testing.assert_array_equal(flat.numpy().astype(np.float32), result.keypoints[track, index])
    read = read_keypoints(tmp_path / "dogs.slp")
    assert read.tracks == tracks and read.skeleton.names == DOG.names
    there = np.searchsorted(read.frames if read.frames is not None else np.arange(11), [3, 4, 5, 8, 9, 10])
    np.testing.assert_allclose(read.keypoints[:, there], result.keypoints, rtol=1e-6)


def test_frames_without_an_animal_are_not_in_sleap_projects(tmp_path: Path) -> None:
    sleap = pytest.importorskip("sleap_io")
    result = lifted(DOG, swinging(DOG, 4))
    joints, keypoints = result.joints.copy(), result.keypoints.copy()
    joints[:, 1:3], keypoints[:, 1] = np.nan, np.nan
    labels = sleap.load_slp(
        str(write_lifted(replace(result, joints=joints, keypoints=keypoints), tmp_path / "dog.slp")), open_videos=False
    )
    groups = labels.sessions[0].frame_groups
    assert sorted(groups) == [0, 2, 3] and groups[2].instance_groups[0].instance_3d is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["camera, pixels", "world, meters"])
def test_nwb_holds_several_tracks(load_poses: Any, tmp_path: Path, kind: str) -> None:
    pynwb = importlib.import_module("pynwb")
    result = dogs(("left, dog", "ü 2"), kind=kind)
    path = write_lifted(result, tmp_path / "dogs.nwb")
    with pynwb.NWBHDF5IO(str(path), "r") as file:
        content = file.read()
        for track, label in enumerate(result.tracks):
            poses = content.processing["behavior"][label]
            assert list(poses.skeleton.nodes[:]) == list(DOG.names)
            np.testing.assert_array_equal(poses.skeleton.edges[:], DOG.edges)
            for joint, name in enumerate(DOG.names):
                series = poses.pose_estimation_series[name]
                np.testing.assert_array_equal(series.data[:], result.joints[track, :, joint])
                np.testing.assert_array_equal(series.confidence[:], result.confidence[track, :, joint])
                np.testing.assert_allclose(series.timestamps[:], np.array([3, 4, 5, 8, 9, 10]) / 29.97)
                assert series.unit == result.units and result.axes in series.reference_frame
        assert json.loads(content.source_script)["tracks"] == list(result.tracks)
    for track, label in enumerate(result.tracks):
        dataset = load_poses.from_nwb_file(path, pose_estimation_key=label).sel(keypoints=list(DOG.names))
        np.testing.assert_array_equal(dataset.position.squeeze().values, result.joints[track].transpose(0, 2, 1))
    with pytest.raises(InputError, match=r"dogs\.nwb: holds 3D points"):
        read_keypoints(path)


@pytest.mark.parametrize("label", ["a/b", "a:b", "", "Skeletons"])
def test_names_of_tracks_that_nwb_cannot_hold_are_refused(load_poses: Any, tmp_path: Path, label: str) -> None:
    with pytest.raises(InputError, match=r"dogs\.nwb: NWB can't hold these names of the tracks and their joints: "):
        write_lifted(dogs((label, "b")), tmp_path / "dogs.nwb")
    assert not list(tmp_path.iterdir())


@each_kind
def test_netcdf_has_units_edges_and_all_values(load_poses: Any, tmp_path: Path, kind: str) -> None:
    xarray = importlib.import_module("xarray")
    result = replace(dogs(("a", "b"), kind=kind), pitch=20.0, image_size=(640, 480))
    with xarray.open_dataset(write_lifted(result, tmp_path / "dogs.nc")) as dataset:
        np.testing.assert_array_equal(dataset.position.values, result.joints.transpose(1, 3, 2, 0))
        assert dataset.position.attrs["units"] == dataset.attrs["units"] == result.units
        assert dataset.position.attrs["axes"] == result.axes
        np.testing.assert_array_equal(dataset.attrs["edges"].reshape(-1, 2), DOG.edges)
        np.testing.assert_array_equal(dataset.attrs["sides"], DOG.sides)
        assert dataset.attrs["image_size"].tolist() == [640, 480] and dataset.attrs["fps"] == 29.97
        assert ("meters_per_pixel" in dataset.attrs) == (result.units == "meters")
        for name in ("visible", "contacts", "uncertainty"):
            np.testing.assert_array_equal(dataset[name].values, getattr(result, name).transpose(1, 2, 0))


@each_kind
@pytest.mark.parametrize("rate", [29.97, None])
def test_pandas_reads_the_long_table_in_parquet(tmp_path: Path, kind: str, rate: float | None) -> None:
    pandas, parquet = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
    result = replace(dogs(('a,"b', "ü"), ODD, kind), fps=rate)
    path = write_lifted(result, tmp_path / "dogs.parquet")
    table, shape = pandas.read_parquet(path), result.visible.shape
    for place, axis in enumerate("xyz"):
        np.testing.assert_array_equal(table[axis].to_numpy().reshape(shape), result.joints[..., place])
    for column, name in (("confidence",) * 2, ("visible",) * 2, ("uncertainty",) * 2, ("contact", "contacts")):
        np.testing.assert_array_equal(table[column].to_numpy().reshape(shape), getattr(result, name))
    assert table["track"].tolist() == [label for label in result.tracks for _ in range(18)]
    assert table["joint"].tolist() == list(ODD.names) * 12
    assert table["frame"].tolist()[:18:3] == [3, 4, 5, 8, 9, 10]
    times = np.repeat([3, 4, 5, 8, 9, 10], 3) / rate if rate else np.full(18, np.nan)
    np.testing.assert_array_equal(table["time"].to_numpy()[:18], times)
    schema = parquet.read_schema(path)
    assert json.loads(schema.metadata[b"olift_fast"])["edges"] == [[0, 1], [1, 2]]
    assert parquet.read_table(path)["x"].null_count == int(np.isnan(result.joints[..., 0]).sum())


def test_the_long_csv_has_contacts(tmp_path: Path) -> None:
    result = dogs()
    lines = write_lifted(result, tmp_path / "dog.long.csv").read_text().splitlines()
    assert lines[0].endswith(",visible,uncertainty,uncertainty_xy,contact")
    assert result.contacts is not None
    assert [line.split(",")[-1] for line in lines[1:]] == [str(int(touches)) for touches in result.contacts.ravel()]


@pytest.mark.parametrize("suffix", [".points3d.h5", ".mat", ".parquet", ".anipose.csv", ".slp"])
def test_one_joint_and_no_edges_are_held(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("movement", reason="needs the extra io")
    for skeleton in (Skeleton(("point",)), Skeleton(("a", "b"))):
        result = lifted(skeleton, swinging(skeleton, 3), fps=None, source=None)
        assert write_lifted(result, tmp_path / f"points{suffix}").stat().st_size > 0


@pytest.mark.parametrize("suffix", [".points3d.h5", ".mat", ".parquet", ".anipose.csv", ".nc", ".nwb"])
def test_files_of_3d_points_are_not_taken_for_keypoints(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("movement", reason="needs the extra io")
    path = write_lifted(dogs(), tmp_path / f"dog{suffix}")
    with pytest.raises(InputError) as error:
        read_keypoints(path)
    assert "\n" not in str(error.value), error.value
    assert re.search("3D|no known format|must be|without", str(error.value)), error.value


@pytest.mark.parametrize("suffix", [".mat", ".parquet", ".slp", ".points3d.h5", ".anipose.csv", ".trc", ".bvh", ".glb"])
def test_folders_without_permission_and_missing_ones_are_told_in_a_line(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("movement", reason="needs the extra io")

    def forbid(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    for module, name in ((Path, "open"), (h5py, "File")):
        monkeypatch.setattr(module, name, forbid)
    with pytest.raises(InputError, match=r"cannot be written: Permission denied") as error:
        write_lifted(lifted(DOG, swinging(DOG, 3)), tmp_path / f"dog{suffix}")
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has no room for a byte more: `posix_fallocate` and writing to files fail."""

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    class FullDisk(importlib.import_module("io").FileIO):  # type: ignore[misc]
        def write(self, data: Any) -> int:
            return fail() or 0

    monkeypatch.setattr("os.posix_fallocate", fail, raising=False)
    monkeypatch.setattr(Path, "open", lambda path, mode: FullDisk(path, mode))


@pytest.mark.parametrize(
    "suffix", [".mat", ".parquet", ".slp", ".points3d.h5", ".anipose.csv", ".trc", ".bvh", ".glb", ".gltf", ".c3d"]
)
def test_full_disks_leave_nothing(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("movement", reason="needs the extra io")
    if suffix == ".c3d":
        pytest.importorskip("ezc3d")
    result = lifted(DOG, swinging(DOG, 3))
    full(monkeypatch)
    with pytest.raises(InputError, match=r"cannot be written: the disk is full"):
        write_lifted(result, tmp_path / f"dog{suffix}")
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


Make = Callable[..., LiftedTracks]


@pytest.mark.parametrize("format", ["points3d", "anipose", "dannce", "parquet", "slp", "trc", "c3d", "bvh", "glb"])
def test_a_source_that_is_no_text_is_written(make_lifted: Make, tmp_path: Path, format: str) -> None:
    pytest.importorskip("movement", reason="needs the extra io")
    if format == "c3d":
        pytest.importorskip("ezc3d")
    result = make_lifted(["dog"], source=b"clip\xff.csv".decode("utf-8", "surrogateescape"))
    assert write_lifted(result, tmp_path / "out.bin", format).stat().st_size > 0
