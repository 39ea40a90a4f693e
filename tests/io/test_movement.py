"""movement's data sets and netCDF files, what is written with it, and the same tracks read by both tiers."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.io import read_keypoints, write_lifted
from olift_fast.tracks.containers import LiftedTracks

Make = Callable[..., LiftedTracks]

# netCDF4's wheel is built against an older numpy, which is harmless.
pytestmark = pytest.mark.filterwarnings("ignore:numpy.ndarray size changed")


@pytest.fixture(scope="module")
def load_poses() -> Any:
    return pytest.importorskip("movement.io.load_poses", reason="needs the extra io")


class _Variable:
    """As much of an xarray.DataArray as the reader uses."""

    def __init__(self, values: Any, dims: tuple[str, ...], coords: dict[str, Any]) -> None:
        self.values, self.dims = np.asarray(values), dims
        self.sizes = dict(zip(dims, self.values.shape, strict=True))
        self.coords = {name: _Coordinate(coords[name]) for name in dims if name in coords}

    def transpose(self, *dims: str) -> _Variable:
        return _Variable(self.values.transpose([self.dims.index(name) for name in dims]), dims, {})


class _Coordinate:
    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)


class _Dataset(dict[str, _Variable]):
    """As much of an xarray.Dataset as the reader uses."""

    def __init__(self, variables: dict[str, _Variable], **attrs: Any) -> None:
        super().__init__(variables)
        self.data_vars, self.attrs = variables, attrs


def _dataset(plural: str, space: tuple[str, ...] = ("x", "y"), **attrs: Any) -> _Dataset:
    rng = np.random.default_rng(3)
    coords = {
        "time": np.arange(4) / attrs.get("fps", 1.0),
        "space": list(space),
        f"keypoint{plural}": ["nose", "tail", "paw"],
        f"individual{plural}": ["a", "b"],
    }
    position = rng.uniform(1, 99, (4, len(space), 3, 2))
    position[1, :, 2, 0] = np.nan
    dims = ("time", "space", f"keypoint{plural}", f"individual{plural}")
    confidence = _Variable(rng.uniform(0.1, 1, (4, 3, 2)), (dims[0], *dims[2:]), coords)
    return _Dataset({"position": _Variable(position, dims, coords), "confidence": confidence}, **attrs)


@pytest.mark.parametrize("plural", ["s", ""])
def test_data_sets_with_either_name_of_their_dimensions(plural: str) -> None:
    dataset = _dataset(plural, fps=50.0)
    found = read_keypoints(dataset)
    assert found.tracks == ("a", "b") and found.skeleton.names == ("nose", "tail", "paw") and found.fps == 50
    wanted = dataset["position"].values.transpose(3, 0, 2, 1).astype(np.float32)
    np.testing.assert_array_equal(found.keypoints, wanted)
    assert found.confidence[0, 1, 2] == 0 and found.confidence[1, 3, 0] == np.float32(
        dataset["confidence"].values[3, 0, 1]
    )
    assert found.frames is None


def test_data_sets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="dataset: holds 3D points"):
        read_keypoints(_dataset("", ("x", "y", "z")))
    with pytest.raises(InputError, match="space must be x and y, got rho, phi"):
        read_keypoints(_dataset("", ("rho", "phi")))
    with pytest.raises(InputError, match="wanted a movement data set with 'position', got confidence"):
        read_keypoints(_Dataset({"confidence": _dataset("")["confidence"]}))
    with pytest.raises(InputError, match="wanted a dimension 'keypoint' or 'keypoints'"):
        read_keypoints(_dataset("points"))


def _write_netcdf(
    path: Path, plural: str = "s", time: Any = None, units: str = "", **attributes: Any
) -> npt.NDArray[np.float64]:
    """movement's data set as netCDF 4 keeps it in HDF5; returns the points (2 animals, frames, 3 joints, 2)."""
    length = 4 if time is None else len(time)
    points = np.random.default_rng(5).uniform(1, 99, (2, length, 3, 2))
    dims = ["time", "space", f"keypoint{plural}", f"individual{plural}"]
    scales = {
        "time": np.arange(length) if time is None else np.asarray(time),
        "space": ["x", "y"],
        dims[2]: ["nose", "tail", "paw"],
        dims[3]: ["a", "b"],
    }
    with h5py.File(path, "w") as file:
        file.attrs["_NCProperties"] = np.bytes_("version=2,netcdf=4.9.2")
        for name, value in attributes.items():
            file.attrs[name] = np.array([value]) if isinstance(value, float) else np.bytes_(value)
        for name, values in scales.items():
            file[name] = values
            file[name].make_scale(name)
        if units:
            file["time"].attrs["units"] = units
        file["position"] = points.transpose(1, 3, 2, 0)
        file["confidence"] = np.full((length, 3, 2), 0.5)
        for name, axes in (("position", dims), ("confidence", [dims[0], *dims[2:]])):
            for axis, scale in enumerate(axes):
                file[name].dims[axis].attach_scale(file[scale])
    return points


@pytest.mark.parametrize("plural", ["s", ""])
def test_netcdf_4_reads_without_the_extra(without_extra: None, tmp_path: Path, plural: str) -> None:
    points = _write_netcdf(tmp_path / "clip.nc", plural, np.arange(4) / 12.5, fps=12.5, time_unit="seconds")
    found = read_keypoints(tmp_path / "clip.nc")
    assert found.format == "netcdf" and found.fps == 12.5 and found.frames is None and found.tracks == ("a", "b")
    assert found.skeleton.names == ("nose", "tail", "paw") and (found.confidence == 0.5).all()
    np.testing.assert_array_equal(found.keypoints, points.astype(np.float32))


@pytest.mark.parametrize(
    ("time", "attributes", "frames", "fps"),
    [
        ([7, 8, 11], {"time_unit": "frames"}, [7, 8, 9, 10, 11], None),
        ([7, 8, 11], {}, [7, 8, 9, 10, 11], None),
        ([0.0, 0.04, 0.16], {"fps": 25.0, "time_unit": "seconds"}, [0, 1, 2, 3, 4], 25),
        ([0.4, 0.44, 0.48], {"fps": 25.0}, [10, 11, 12], 25),
        ([0.0, 1.0, 2.0], {"fps": 1.0, "time_unit": "seconds"}, [0, 1, 2], 1),
        ([0.0, 0.02, 0.04], {}, [0, 1, 2], 50),
        ([0.0, 0.02, 0.04, 0.08], {"time_unit": "seconds"}, [0, 1, 2, 3, 4], 50),
    ],
)
def test_times_become_frames_and_their_gaps_hidden_frames(
    tmp_path: Path, time: list[float], attributes: dict[str, Any], frames: list[int], fps: float | None
) -> None:
    points = _write_netcdf(tmp_path / "clip.nc", "", time, **attributes)
    found = read_keypoints(tmp_path / "clip.nc")
    numbers = list(range(found.num_frames)) if found.frames is None else found.frames.tolist()
    assert numbers == frames and found.fps == fps and not found.warnings
    seen = found.visible().any(axis=(0, 2))
    assert seen.sum() == len(time) and seen[0] and seen[-1]
    np.testing.assert_array_equal(found.keypoints[:, seen], points.astype(np.float32))


@pytest.mark.parametrize(
    ("time", "units", "attributes", "frames"),
    [
        ([0, 40, 120], "milliseconds since 2024-01-01 00:00:00", {"fps": 25.0, "time_unit": "seconds"}, [0, 1, 2, 3]),
        ([80, 120, 160], "milliseconds since 2024-01-01", {}, [0, 1, 2]),
        ([80, 120, 160], "milliseconds", {"time_unit": "frames"}, [2, 3, 4]),
        ([0, 40_000_000, 80_000_000], "nanoseconds", {"fps": 25.0}, [0, 1, 2]),
        ([1.7e9, 1.7e9 + 0.04, 1.7e9 + 0.08], "seconds since 1970-01-01", {}, [0, 1, 2]),
        ([80.0, 120.0, 160.0], "", {"time_unit": "ms", "fps": 25.0}, [2, 3, 4]),
    ],
)
def test_units_of_times_are_read(
    tmp_path: Path, time: list[float], units: str, attributes: dict[str, Any], frames: list[int]
) -> None:
    _write_netcdf(tmp_path / "clip.nc", "", time, units, **attributes)
    found = read_keypoints(tmp_path / "clip.nc")
    numbers = list(range(found.num_frames)) if found.frames is None else found.frames.tolist()
    assert numbers == frames and found.fps == 25 and not found.warnings


def test_units_that_are_not_known_and_times_that_contradict_fps_are_told(tmp_path: Path) -> None:
    _write_netcdf(tmp_path / "clip.nc", "", [0, 1, 2], "months since 2024-01-01")
    found = read_keypoints(tmp_path / "clip.nc")
    assert found.frames is None and "'months since 2024-01-01' is not known" in found.warnings[0]
    (tmp_path / "clip.nc").unlink()
    _write_netcdf(tmp_path / "clip.nc", "", np.arange(6) / 25, fps=30.0)
    found = read_keypoints(tmp_path / "clip.nc")
    assert found.num_frames == 6 and found.fps == 25 and "25 frames a second, but fps is 30" in found.warnings[0]


@pytest.mark.parametrize("engine", ["netcdf4", "scipy"])
@pytest.mark.parametrize("dates", [True, False])
def test_dates_and_durations_of_xarray(load_poses: Any, tmp_path: Path, engine: str, dates: bool) -> None:
    dataset = load_poses.from_numpy(np.random.default_rng(1).uniform(1, 99, (6, 2, 3, 1)), np.ones((6, 3, 1)), fps=25.0)
    dataset.attrs["source_software"] = "DeepLabCut"
    passed = (np.arange(6) * 40).astype("timedelta64[ms]").astype("timedelta64[ns]")
    dataset = dataset.assign_coords(time=np.datetime64("2024-01-01", "ns") + passed if dates else passed)
    assert read_keypoints(dataset).num_frames == 6
    dataset.to_netcdf(tmp_path / "clip.nc", engine=engine)
    found = read_keypoints(tmp_path / "clip.nc")
    assert found.num_frames == 6 and found.frames is None and found.fps == 25 and not found.warnings


def test_gaps_in_the_time_of_a_data_set_become_hidden_frames() -> None:
    dataset = _dataset("s", fps=50.0)
    dataset["position"].coords["time"].values = np.array([0.0, 0.02, 0.08, 0.1])
    found = read_keypoints(dataset)
    assert found.visible().any(axis=(0, 2)).tolist() == [True, True, False, False, True, True]


@pytest.mark.parametrize("time", [[0.0, 0.1, 0.1], [0.0, np.nan, 0.2]])
def test_times_that_tell_no_frames_are_told(tmp_path: Path, time: list[float]) -> None:
    _write_netcdf(tmp_path / "clip.nc", "", time, time_unit="seconds")
    found = read_keypoints(tmp_path / "clip.nc")
    assert found.frames is None and found.num_frames == len(time) and "frames are counted from 0" in found.warnings[0]


def test_a_data_set_of_one_animal_without_that_dimension_reads(tmp_path: Path) -> None:
    path = tmp_path / "one.nc"
    points = _write_netcdf(path)
    with h5py.File(path, "a") as file:
        for name in ("position", "confidence", "individuals"):
            del file[name]
        file["individuals"] = "b"
        file["position"] = points[1].transpose(0, 2, 1)
        for axis, scale in enumerate(("time", "space", "keypoints")):
            file["position"].dims[axis].attach_scale(file[scale])
    found = read_keypoints(path)
    assert found.tracks == ("b",)
    np.testing.assert_array_equal(found.keypoints[0], points[1].astype(np.float32))


def test_packed_values_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "packed.nc"
    _write_netcdf(path)
    with h5py.File(path, "a") as file:
        packed = np.arange(48, dtype=np.int16).reshape(4, 2, 3, 2)
        scales = [file["position"].dims[axis][0] for axis in range(4)]
        del file["position"]
        file["position"] = packed
        file["position"].attrs.update({"scale_factor": 0.5, "add_offset": 100.0, "_FillValue": np.int16(47)})
        for axis, scale in enumerate(scales):
            file["position"].dims[axis].attach_scale(scale)
    found = read_keypoints(path)
    assert found.keypoints[0, 0, 0].tolist() == [100, 103] and np.isnan(found.keypoints[1, 3, 2]).all()


def test_classic_netcdf_reads_in_bounds(tmp_path: Path) -> None:
    netcdf_file = pytest.importorskip("scipy.io", reason="needs the extra io").netcdf_file
    points = np.random.default_rng(2).uniform(1, 99, (4, 2, 3))
    path = tmp_path / "old.nc"
    with netcdf_file(path, "w") as file:
        file.fps, file.time_unit = 10.0, b"seconds"
        for name, length in {"time": 4, "space": 2, "keypoints": 3, "letters": 4}.items():
            file.createDimension(name, length)
        file.createVariable("time", "f8", ("time",))[:] = [0, 0.1, 0.3, 0.4]
        file.createVariable("space", "c", ("space",))[:] = np.array([b"x", b"y"])
        names = np.array([list("nose"), list("tail"), [*"paw", ""]], "S1")
        file.createVariable("keypoints", "c", ("keypoints", "letters"))[:] = names
        file.createVariable("position", "f8", ("time", "space", "keypoints"))[:] = points
    found = read_keypoints(path)
    assert found.skeleton.names == ("nose", "tail", "paw") and found.fps == 10 and found.num_frames == 5
    seen = found.visible().any(axis=(0, 2))
    assert seen.tolist() == [True, True, False, True, True]
    np.testing.assert_array_equal(found.keypoints[0, seen], points.transpose(0, 2, 1).astype(np.float32))
    data = bytearray(path.read_bytes())
    place = data.index(b"keypoints") + 12
    data[place : place + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"old\.nc: "):
        read_keypoints(path)


def test_a_classic_netcdf_may_call_an_attribute_as_scipy_calls_its_handle(tmp_path: Path) -> None:
    netcdf_file = pytest.importorskip("scipy.io", reason="needs the extra io").netcdf_file
    with netcdf_file(tmp_path / "old.nc", "w") as file:
        file.fsp, file.fps = np.float32(3), 10.0
        for name, length in {"time": 4, "space": 2, "keypoints": 3}.items():
            file.createDimension(name, length)
        file.createVariable("position", "f8", ("time", "space", "keypoints"))[:] = np.arange(24.0).reshape(4, 2, 3)
    data = (tmp_path / "old.nc").read_bytes()
    assert data.count(b"\x03fsp") == 1
    (tmp_path / "old.nc").write_bytes(data.replace(b"\x03fsp", b"\x02fp\0"))
    code = "import sys, olift_fast.io as io; print(io.read_keypoints(sys.argv[1]).fps)"
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "old.nc"], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("10.0\n", "")


def test_netcdf_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.nc"
    _write_netcdf(path, "points")
    with pytest.raises(InputError, match="wanted a dimension 'keypoint' or 'keypoints', got"):
        read_keypoints(path)
    _write_netcdf(path)
    with h5py.File(path, "a") as file:
        file["shape"] = np.ones((4, 2, 2))
    with pytest.raises(InputError, match="a movement data set of boxes"):
        read_keypoints(path)


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The interpreter as it is without movement, pandas, xarray and SciPy."""
    hidden = ("movement", "pandas", "xarray", "pynwb", "scipy", "tables")
    for name in list(sys.modules):
        if name.split(".")[0] in hidden:
            monkeypatch.delitem(sys.modules, name)
    real = importlib.import_module

    def import_module(name: str, package: str | None = None) -> Any:
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    yield


def test_missing_extra_is_named_and_leaves_nothing(
    without_extra: None, real_data: Path, tmp_path: Path, make_lifted: Make
) -> None:
    folder = real_data / "keypoints2d"
    pip = r"needs: pip install 'olift-fast\[io\]'"
    classic = tmp_path / "classic.nc"
    classic.write_bytes(b"CDF\x01" + bytes(600))
    with pytest.raises(MissingExtraError, match=rf"^reading classic netCDF files {pip}$"):
        read_keypoints(classic)
    classic.unlink()
    with pytest.raises(MissingExtraError, match=rf"^reading MATLAB 5 \.mat files {pip}$"):
        read_keypoints(folder / "sleap/labels.mat")
    for suffix, what in ((".nc", "netCDF"), (".nwb", "NWB")):
        with pytest.raises(MissingExtraError, match=f"^writing {what} files {pip}$"):
            write_lifted(make_lifted(), tmp_path / f"lifted{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["predictions.slp", "clip.predictions.slp", "centered_pair_predictions.slp"])
def test_sleap_projects_read_the_same_by_movement_and_sleap_io(load_poses: Any, real_data: Path, name: str) -> None:
    path = real_data / "keypoints2d/sleap" / name
    own = read_keypoints(path)
    by_movement = read_keypoints(load_poses.from_sleap_file(path))
    assert by_movement.tracks == own.tracks and by_movement.skeleton.names == own.skeleton.names
    np.testing.assert_array_equal(by_movement.keypoints, own.keypoints)
    np.testing.assert_array_equal(by_movement.confidence, own.confidence)
    skeleton = importlib.import_module("sleap_io").load_slp(str(path), open_videos=False).skeletons[0]
    assert sorted(own.skeleton.edges) == sorted(tuple(edge) for edge in skeleton.edge_inds)


@pytest.mark.slow
def test_sleap_analysis_file_reads_the_same_by_movement(load_poses: Any, real_data: Path) -> None:
    path = real_data / "keypoints2d/sleap/predictions.analysis.h5"
    own, by_movement = read_keypoints(path), read_keypoints(load_poses.from_sleap_file(path))
    np.testing.assert_array_equal(by_movement.keypoints, own.keypoints)


@pytest.mark.parametrize(
    ("name", "kind"), [("poses.nc", "NETCDF4"), ("poses.bin", "NETCDF4"), ("old.nc", "NETCDF3_64BIT")]
)
def test_netcdf_of_movement_reads(load_poses: Any, tmp_path: Path, name: str, kind: str) -> None:
    points = np.random.default_rng(0).uniform(0, 99, (6, 2, 3, 2))
    names = {"individual_names": ["a", "b"], "keypoint_names": ["x1", "x2", "x3"]}
    dataset = load_poses.from_numpy(points, **names, fps=12.5, source_software="DeepLabCut")
    dataset.to_netcdf(tmp_path / name, format=kind, engine="netcdf4" if kind == "NETCDF4" else "scipy")
    found = read_keypoints(tmp_path / name)
    assert found.format == "netcdf" and found.fps == 12.5 and found.tracks == ("a", "b")
    np.testing.assert_array_equal(found.keypoints, points.transpose(3, 0, 2, 1).astype(np.float32))


@pytest.mark.slow
def test_data_sets_of_a_deeplabcut_file_read_as_the_file(load_poses: Any, real_data: Path) -> None:
    path = real_data / "keypoints2d/deeplabcut_h5/DLC_sample_tracks.h5"
    own, by_movement = read_keypoints(path), read_keypoints(load_poses.from_dlc_file(path, fps=40))
    np.testing.assert_array_equal(by_movement.keypoints, own.keypoints)
    assert by_movement.fps == 40 and by_movement.frames is None


@pytest.mark.slow
def test_lifted_results_in_3d_read_back_by_movement(load_poses: Any, tmp_path: Path, make_lifted: Make) -> None:
    xarray = importlib.import_module("xarray")
    result = make_lifted(frames=None, pitch=30)
    guessed = tuple(place > 0 for place in range(len(result.skeleton.edges)))
    result = replace(result, skeleton=replace(result.skeleton, inferred=guessed))
    wanted = result.joints.transpose(1, 3, 2, 0)
    dataset = xarray.open_dataset(write_lifted(result, tmp_path / "lifted.nc"))
    np.testing.assert_array_equal(dataset.position.values, wanted)
    assert dataset.attrs["model"] == "small 1.0" and dataset.attrs["units"] == "pixels"
    assert dataset.attrs["pitch"] == 30
    np.testing.assert_array_equal(dataset.attrs["inferred"], guessed)
    np.testing.assert_allclose(dataset.attrs["scale"], result.scale)
    np.testing.assert_allclose(dataset.time.values, np.arange(5) / 29.97)
    solo = make_lifted(["rat"], frames=None)
    again = load_poses.from_nwb_file(write_lifted(solo, tmp_path / "lifted.nwb"))
    names = list(solo.skeleton.names)
    np.testing.assert_array_equal(
        again.position.sel(keypoints=names).squeeze().values, solo.joints[0].transpose(0, 2, 1)
    )
    for name in ("lifted.nc", "lifted.nwb"):
        with pytest.raises(InputError, match=rf"{name}: holds 3D points"):
            read_keypoints(tmp_path / name)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lifted.nc", "lifted.nwb"]


def test_real_leap_labels(real_data: Path) -> None:
    loadmat = pytest.importorskip("scipy.io", reason="needs the extra io").loadmat
    path = real_data / "keypoints2d/sleap/labels.mat"
    found = read_keypoints(path)
    positions = loadmat(path, variable_names=["positions"])["positions"]
    np.testing.assert_array_equal(found.keypoints[0], positions.transpose(2, 0, 1))
    assert found.skeleton.names == ("head", "neck", "tailBase", "tailTip", "earL", "earR")
    assert found.skeleton.edges == ((0, 1), (1, 2), (2, 3), (0, 4), (0, 5))
    assert found.skeleton.sides == (0, 0, 0, 0, 1, -1)
