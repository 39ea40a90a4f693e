"""What .npz keeps of a result in the world frame."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_lifted, write_lifted
from olift_fast.io.writers.movement import to_dataset
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.world_frame import Calibration, WorldFrame

TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def world(**changed: Any) -> WorldFrame:
    arguments = {
        "rotation": TURN,
        "origin": np.arange(6.0).reshape(2, 3),
        "gravity": "feet",
        "gravity_error": 4.5,
        "path": "size and floor",
        "path_error": np.array([0.1, np.nan]),
        "floor": np.array([0.0, np.nan]),
        "matrix": np.diag([500.0, 500, 1]),
        "size_spread": np.array([0.05, 0.02]),
    }
    return WorldFrame(**(arguments | changed))


def result(**changed: Any) -> LiftedTracks:
    arguments = {
        "joints": np.random.default_rng(0).normal(size=(2, 4, 3, 3)),
        "keypoints": np.zeros((2, 4, 3, 2)),
        "confidence": np.ones((2, 4, 3)),
        "visible": np.ones((2, 4, 3), bool),
        "skeleton": Skeleton(("a", "b", "c")),
        "tracks": ("one", "two"),
        "scale": np.ones(2),
        "centers": np.zeros((2, 4, 2)),
        "rotation": np.tile(np.eye(3), (2, 1, 1)),
        "model": "small",
        "version": "0",
        "frame": "world",
        "meters_per_pixel": np.array([0.01, 0.02]),
        "contacts": np.random.default_rng(1).random((2, 4, 3)) < 0.5,
        "world": world(),
    }
    return LiftedTracks(**(arguments | changed))


def assert_same(got: Any, wanted: Any) -> None:
    for field in dataclasses.fields(wanted):
        a, b = getattr(got, field.name), getattr(wanted, field.name)
        if dataclasses.is_dataclass(b) and not isinstance(b, Skeleton):
            assert_same(a, b)
        elif isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b and type(a) is type(b), field.name


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"world": None},
        {"world": world(matrix=None, floor=None, size_spread=None, calibrated=True)},
        {"calibration": Calibration(matrix=np.diag([500.0, 510, 1]), distortion=[0.1, 0, 0, 0], fisheye=True)},
        {
            "calibration": Calibration(
                matrix=np.diag([500.0, 510, 1]), rotation=TURN, translation=[1, 2, 3], image_size=(640, 480), name="top"
            )
        },
    ],
)
def test_npz_keeps_the_world_frame_and_the_calibration_exactly(tmp_path: Path, changed: dict[str, Any]) -> None:
    wanted = result(**changed)
    assert_same(read_lifted(write_lifted(wanted, tmp_path / "out.npz")), wanted)


def _as_told(told: dict[str, Any], wanted: Any) -> None:
    """`told`, of a file with JSON, has all fields of the record."""
    for name, value in vars(wanted).items():
        if value is None:
            assert name not in told
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(np.array(told[name], dtype=float), value, err_msg=name)
        else:
            assert told[name] == (list(value) if isinstance(value, tuple) else value), name


def test_files_with_room_for_it_tell_of_the_world_frame_and_the_calibration(tmp_path: Path) -> None:
    camera = Calibration(matrix=np.diag([500.0, 510, 1]), distortion=[0.1, 0, 0, 0], image_size=(640, 480), name="top")
    placed = result(calibration=camera, fps=30.0)

    def refused(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    gltf = json.loads(write_lifted(placed, tmp_path / "out.gltf").read_text(), parse_constant=refused)
    told = [gltf["asset"]["extras"]]
    if importlib.util.find_spec("movement") is not None:
        dataset = to_dataset(placed)
        told.append(
            {name: json.loads(dataset.attrs[name], parse_constant=refused) for name in ("world", "calibration")}
        )
    for facts in told:
        _as_told(facts["world"], placed.world)
        _as_told(facts["calibration"], camera)


def test_a_damaged_world_frame_is_refused_with_the_files_name(tmp_path: Path) -> None:
    path = write_lifted(result(), tmp_path / "out.npz")
    for name, value in {
        "world.rotation": np.ones((3, 3)),
        "world.path": np.array("flying"),
        "world.origin": np.zeros(3),
        "world.gravity_error": np.array("far"),
    }.items():
        with np.load(path) as content:
            arrays = dict(content)
        np.savez(tmp_path / "damaged.npz", **(arrays | {name: value}))
        with pytest.raises(InputError, match=r"damaged\.npz: ") as caught:
            read_lifted(tmp_path / "damaged.npz")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"frame": "camera"}, "world is of joints in the frame 'world', got those in 'camera'"),
        (
            {"world": world(origin=np.zeros((3, 3)), path_error=np.zeros(3), floor=None, size_spread=None)},
            "world.origin",
        ),
    ],
)
def test_a_world_frame_fits_its_result(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        result(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rotation": 2 * TURN}, "rotation must be a rotation"),
        ({"gravity": "moon"}, "gravity must be one of given, joints, calibration"),
        ({"gravity_error": -1}, "from 0 to 180"),
        ({"path": "flying"}, "path must be one of in-plane"),
        ({"path_error": np.zeros(3)}, r"path_error must be \(2,\)"),
        ({"floor": np.zeros(3)}, r"floor must be \(2,\)"),
        ({"matrix": np.full((3, 3), np.nan)}, "finite numbers"),
    ],
)
def test_no_such_world_frame(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        world(**changed)
