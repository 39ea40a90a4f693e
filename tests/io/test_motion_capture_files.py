"""TRC, read again by OpenSim, and C3D, read again by ezc3d: markers are where the result has them, bit for bit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from lifted_motions import FRAMES, lifted, swinging, without

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints, write_lifted
from olift_fast.io.write import check_can_hold
from olift_fast.io.writers import c3d
from olift_fast.io.writers.axes import y_up, z_up
from olift_fast.tracks import rig
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

DOG = rig("ap10k_17")
Rows = tuple[list[str], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def read_trc(path: Path) -> tuple[dict[str, str], list[str], list[list[str]]]:
    """The head of a TRC file, its markers, and its rows of cells."""
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines[0].startswith("PathFileType\t4\t(X/Y/Z)\t") and lines[5] == "" and lines[-1] == ""
    head = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    names = lines[3].split("\t")
    assert names[:2] == ["Frame#", "Time"] and names[3::3] == names[4::3] == [""] * int(head["NumMarkers"])
    return head, names[2:-1:3], [line.split("\t") for line in lines[6:-1]]


@pytest.mark.parametrize("kind", FRAMES)
def test_trc_has_the_markers_with_y_up(tmp_path: Path, kind: str) -> None:
    result = without(lifted(DOG, swinging(DOG, 6), fps=59.94, **FRAMES[kind]), 0, slice(2, 4), 5)
    head, names, rows = read_trc(write_lifted(result, tmp_path / "dog.trc"))
    assert names == list(DOG.names) and float(head["DataRate"]) == 59.94 and head["NumFrames"] == "6"
    assert head["Units"] == {"pixels": "px", "meters": "m", "model units": "model_units"}[result.units]
    values = np.array([row[2:] for row in rows], dtype=np.float32).reshape(6, 17, 3)
    np.testing.assert_array_equal(values, y_up(result.joints[0], result.frame))
    assert [row[0] for row in rows] == list("012345")
    np.testing.assert_allclose([float(row[1]) for row in rows], np.arange(6) / 59.94, rtol=1e-8)


def test_up_is_up() -> None:
    """The axes as words: a point above, to the right of and behind another is that in each frame's new axes."""
    above, right, behind = {"camera": (1, -1), "world": (2, 1)}, {"camera": 0, "world": 0}, {"camera": 2, "world": 1}
    for frame in ("camera", "world"):
        point = np.zeros(3)
        axis, sign = above[frame]
        point[axis], point[right[frame]], point[behind[frame]] = 5 * sign, 2, 3
        np.testing.assert_array_equal(y_up(point, frame), [2, 5, -3])  # type: ignore[arg-type]
        np.testing.assert_array_equal(z_up(point, frame), [2, 3, 5])  # type: ignore[arg-type]
    np.testing.assert_array_equal(y_up(np.arange(3), "object"), [0, 1, 2])


def test_skipped_frames_are_frames_without_markers(tmp_path: Path) -> None:
    result = lifted(DOG, swinging(DOG, 3), frames=np.array([10, 12, 18]), fps=60.0)
    head, _, rows = read_trc(write_lifted(result, tmp_path / "dog.trc"))
    assert (head["NumFrames"], head["DataRate"], head["OrigDataStartFrame"]) == ("5", "30", "10")
    assert [row[0] for row in rows] == ["10", "12", "14", "16", "18"]
    assert set(rows[2][2:]) == set(rows[3][2:]) == {"nan"} and "nan" not in rows[4]
    np.testing.assert_allclose(float(rows[4][1]), 0.3)
    far = replace(result, frames=np.array([0, 1, 100_000]))
    for name in ("far.trc", "far.bvh", "far.c3d"):
        with pytest.raises(InputError, match=r"needs frames at even times, got 3 frames with numbers from 0 to 100000"):
            write_lifted(far, tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["dog.trc"]


@pytest.mark.parametrize("kind", FRAMES)
def test_opensim_reads_trc(tmp_path: Path, kind: str) -> None:
    opensim = pytest.importorskip("opensim", reason="could not import opensim: 280 MB")
    opensim.Logger.setLevelString("off")
    result = without(lifted(DOG, swinging(DOG, 6), **FRAMES[kind]), 0, slice(2, 4), 5)
    path = write_lifted(result, tmp_path / "dog.trc")
    wanted = y_up(result.joints[0], result.frame)
    table = opensim.TimeSeriesTableVec3(str(path))
    assert list(table.getColumnLabels()) == list(DOG.names)
    np.testing.assert_allclose(list(table.getIndependentColumn()), np.arange(6) / 30, rtol=1e-8)
    for joint, name in enumerate(DOG.names):
        column = table.getDependentColumn(name)
        points = [[column[frame][axis] for axis in range(3)] for frame in range(6)]
        np.testing.assert_array_equal(np.array(points, np.float32), wanted[:, joint])
    markers = opensim.MarkerData(str(path))
    assert markers.getNumFrames() == 6 and markers.getDataRate() == 30
    known = {"meters": "meters", "pixels": "unknown", "model units": "unknown"}
    assert markers.getUnits().getLabel() == known[result.units]


@pytest.mark.parametrize("name", ["", " ", "a\tb", "a\nb", "a\x85b"])
def test_names_that_trc_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    skeleton = Skeleton((name, "b"), ((0, 1),))
    with pytest.raises(InputError, match=r"dog\.trc: TRC can't hold an empty joint name, or one with a tab"):
        write_lifted(lifted(skeleton, swinging(skeleton, 3)), tmp_path / "dog.trc")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def read_c3d() -> Callable[[Path], Any]:
    library = pytest.importorskip("ezc3d")
    return lambda path: library.c3d(str(path))


def value(file: Any, group: str, name: str) -> Any:
    return file["parameters"][group][name]["value"]


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("tracks", [("dog",), ("left, dog", "ü 2")])
def test_c3d_has_the_points_with_z_up(
    read_c3d: Callable[[Path], Any], tmp_path: Path, kind: str, tracks: tuple[str, ...]
) -> None:
    joints = np.stack([swinging(DOG, 6, seed) for seed in range(len(tracks))])
    result = without(lifted(DOG, joints, tracks, fps=59.94, **FRAMES[kind]), len(tracks) - 1, slice(2, 4), 5)
    file = read_c3d(write_lifted(result, tmp_path / "dogs.c3d"))
    labels = [f"{track}:{name}" for track in tracks for name in DOG.names] if len(tracks) > 1 else list(DOG.names)
    assert value(file, "POINT", "LABELS") == labels and value(file, "POINT", "RATE")[0] == np.float32(59.94)
    assert value(file, "POINT", "UNITS") == [{"pixels": "px", "meters": "m", "model units": "unit"}[result.units]]
    assert value(file, "POINT", "X_SCREEN") == ["+X"] and value(file, "POINT", "Y_SCREEN") == ["+Z"]
    points = file["data"]["points"][:3].transpose(2, 1, 0).reshape(6, len(tracks), 17, 3)
    np.testing.assert_array_equal(points.transpose(1, 0, 2, 3), z_up(result.joints, result.frame))
    residuals = file["data"]["meta_points"]["residuals"][0].T.reshape(6, len(tracks), 17)
    np.testing.assert_array_equal(residuals == -1, np.isnan(result.joints[..., 0]).transpose(1, 0, 2))
    seen = file["data"]["meta_points"]["camera_masks"][0].T.reshape(6, len(tracks), 17)
    there = ~np.isnan(result.joints[..., 0]).transpose(1, 0, 2)
    np.testing.assert_array_equal(seen[there], result.visible.transpose(1, 0, 2)[there])


def test_c3d_tells_of_frames_uncertainty_and_where_it_comes_from(
    read_c3d: Callable[[Path], Any], tmp_path: Path
) -> None:
    result = lifted(DOG, swinging(DOG, 4), frames=np.arange(4) + 100, pitch=20.0, notes=("long " * 100, "ü"))
    deviations = np.random.default_rng(0).uniform(0.5, 9, (2, 1, 4, 17)).astype(np.float32)
    result = replace(result, uncertainty=deviations[0], uncertainty_xy=deviations[1])
    file = read_c3d(write_lifted(result, tmp_path / "dog.c3d"))
    assert file["header"]["points"]["first_frame"] == 100
    larger = deviations.max(axis=0)[0]
    residuals = file["data"]["meta_points"]["residuals"][0].T
    np.testing.assert_allclose(residuals, larger, atol=0.51 * larger.max() / 127)
    np.testing.assert_array_equal(file["data"]["points"][:3].transpose(2, 1, 0), z_up(result.joints[0], "camera"))
    parts = sorted(name for name in file["parameters"]["OLIFT"] if name.startswith("JSON"))
    text = "".join(value(file, "OLIFT", name)[0] for name in parts)
    facts = json.loads(text)
    assert facts["pitch"] == 20 and facts["notes"][1] == "ü" and facts["edges"] == [list(edge) for edge in DOG.edges]
    assert value(file, "OLIFT", "FRAME") == ["camera"] and value(file, "OLIFT", "FIRST_FRAME") == ["100"]


def test_c3d_of_many_points_and_of_frames_far_on(read_c3d: Callable[[Path], Any], tmp_path: Path) -> None:
    skeleton = Skeleton(tuple(f"point {number}" for number in range(300)))
    result = lifted(
        skeleton, np.random.default_rng(0).normal(0, 9, (3, 300, 3)), frames=np.array([70000, 70001, 70002])
    )
    file = read_c3d(write_lifted(result, tmp_path / "many.c3d"))
    assert value(file, "POINT", "LABELS") + value(file, "POINT", "LABELS2") == list(skeleton.names)
    assert file["data"]["points"].shape == (4, 300, 3) and value(file, "OLIFT", "FIRST_FRAME") == ["70000"]


def test_c3d_of_too_many_frames_is_refused(
    read_c3d: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = Skeleton(("a",))
    result = lifted(point, np.zeros((65536, 1, 3)))
    with pytest.raises(InputError, match=r"dog\.c3d: C3D holds 65,535 frames at most, got 65,536"):
        write_lifted(result, tmp_path / "dog.c3d")
    short = lifted(point, np.zeros((65535, 1, 3)))
    assert read_c3d(write_lifted(short, tmp_path / "dog.c3d"))["data"]["points"].shape == (4, 1, 65535)


def test_a_disk_that_fills_while_c3d_is_written_is_told(
    read_c3d: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ezc3d goes on when nothing more can be written; the length of its file shows it."""

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __getitem__(self, name: str) -> Any:
            return self.file[name]

        def write(self, path: str) -> None:
            Path(path).write_bytes(b"\2P")

    library = c3d.require("ezc3d", "")
    monkeypatch.setattr(c3d, "require", lambda module, what: type("", (), {"c3d": lambda: Full(library.c3d())}))
    with pytest.raises(InputError, match=r"dog\.c3d: cannot be written: the disk is full"):
        write_lifted(lifted(DOG, swinging(DOG, 3)), tmp_path / "dog.c3d")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".trc", ".c3d"])
def test_one_joint_is_a_file_of_one_marker(read_c3d: Callable[[Path], Any], tmp_path: Path, suffix: str) -> None:
    point = Skeleton(("point",))
    path = write_lifted(lifted(point, swinging(point, 4)), tmp_path / f"point{suffix}")
    names = read_trc(path)[1] if suffix == ".trc" else value(read_c3d(path), "POINT", "LABELS")
    assert names == ["point"]
    with pytest.raises(InputError, match="there is nothing to lift"):
        read_keypoints(path)


def test_what_cannot_be_written_is_known_before_it_is_lifted() -> None:
    point = Skeleton(("a", "b"), ((0, 1),))
    tracks = KeypointTracks(np.ones((1, 65536, 2, 2)), np.ones((1, 65536, 2)), point, ("dog",), fps=30.0)
    check_can_hold(Path("dog.trc"), tracks)
    check_can_hold(Path("dog.npz"), replace(tracks, fps=None))
    far = replace(tracks, frames=np.arange(65536) * 1000 + (np.arange(65536) > 5))
    named = replace(tracks, skeleton=Skeleton(("a", " "), ((0, 1),)))
    for name, case, message in (
        ("dog.c3d", tracks, "C3D holds 65,535 frames at most"),
        ("dog.bvh", far, "needs frames at even times"),
        ("dog.trc", named, "TRC can't hold an empty joint name"),
        ("dog.glb", replace(tracks, fps=None), "needs the frames a second"),
    ):
        with pytest.raises(InputError, match=rf"^{re.escape(name)}: .*{message}"):
            check_can_hold(Path(name), case)


def _two_dogs() -> LiftedTracks:
    return lifted(DOG, np.stack([swinging(DOG, 3)] * 2), ("rex", "fido"))


@pytest.mark.parametrize(
    ("suffix", "title"), [(".trc", "TRC"), (".bvh", "BVH"), (".anipose.csv", "Anipose csv")], ids=lambda text: text
)
def test_formats_of_one_track_refuse_several(tmp_path: Path, suffix: str, title: str) -> None:
    with pytest.raises(InputError) as error:
        write_lifted(_two_dogs(), tmp_path / f"dogs{suffix}")
    wanted = (
        f"{title} holds one track a file, got 2 ('rex', 'fido'): write an .npz, from which "
        "`olift convert --track` takes one track, and `olift convert --each-track` makes a file of each"
    )
    assert str(error.value) == f"{tmp_path / f'dogs{suffix}'}: {wanted}" and not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".trc", ".bvh", ".glb", ".gltf", ".c3d"])
def test_formats_of_motion_need_a_rate_and_a_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"dog{suffix}"
    with pytest.raises(InputError, match=r"needs the frames a second, which are not known: give them with --fps"):
        write_lifted(lifted(DOG, swinging(DOG, 3), fps=None), path)
    with pytest.raises(InputError, match="needs at least one frame, got none"):
        write_lifted(lifted(DOG, np.zeros((0, 17, 3))), path)
    assert not list(tmp_path.iterdir())


def test_bvh_needs_bones(tmp_path: Path) -> None:
    points = Skeleton(("a", "b"))
    with pytest.raises(InputError, match=r"BVH needs the bones between the joints, got none: lift with --skel"):
        write_lifted(lifted(points, swinging(points, 3)), tmp_path / "points.bvh")
