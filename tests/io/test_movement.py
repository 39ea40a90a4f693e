"""The extra `io`: DeepLabCut h5, NWB and netCDF, and the same tracks read by both tiers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
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
    with pytest.raises(MissingExtraError, match=rf"^reading DeepLabCut \.h5 files {pip}$"):
        read_keypoints(folder / "deeplabcut_h5/DLC_sample_tracks.h5")
    with pytest.raises(MissingExtraError, match=rf"^reading MATLAB 5 \.mat files {pip}$"):
        read_keypoints(folder / "sleap/labels.mat")
    for suffix, what in ((".h5", r"DeepLabCut \.h5"), (".nc", "netCDF"), (".nwb", "NWB")):
        with pytest.raises(MissingExtraError, match=f"^writing {what} files {pip}$"):
            write_lifted(make_lifted(), tmp_path / f"lifted{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_deeplabcut_h5_holds_the_numbers_of_its_csv(load_poses: Any, real_data: Path) -> None:
    folder = real_data / "keypoints2d/deeplabcut_h5"
    table, binary = (read_keypoints(folder / f"DLC_sample_tracks.{suffix}") for suffix in ("csv", "h5"))
    assert binary.format == "deeplabcut-h5" and binary.skeleton == table.skeleton
    np.testing.assert_array_equal(binary.keypoints, table.keypoints)
    np.testing.assert_array_equal(binary.confidence, table.confidence)
    by_movement = read_keypoints(load_poses.from_dlc_file(folder / "DLC_sample_tracks.h5", fps=40))
    np.testing.assert_array_equal(by_movement.keypoints, binary.keypoints)
    assert by_movement.fps == 40 and by_movement.frames is None


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


@pytest.mark.slow
def test_deeplabcut_tables_of_labels_and_unique_body_parts_in_h5(load_poses: Any, tmp_path: Path) -> None:
    pandas = importlib.import_module("pandas")
    columns = pandas.MultiIndex.from_tuples(
        [("s", who, part, axis) for who, part in (("a", "nose"), ("single", "box")) for axis in "xy"],
        names=["scorer", "individuals", "bodyparts", "coords"],
    )
    index = pandas.MultiIndex.from_tuples([("labeled-data", "clip", f"img{number}.png") for number in (3, 8)])
    frame = pandas.DataFrame([[1.0, 2, 3, 4], [5, 6, np.nan, np.nan]], columns=columns, index=index)
    path = tmp_path / "labels.h5"
    frame.to_hdf(path, key="df_with_missing", mode="w")
    found = read_keypoints(path)
    assert found.tracks == ("a", "single") and found.skeleton.names == ("nose", "box")
    assert found.frames is not None and found.frames.tolist() == [3, 8]
    np.testing.assert_array_equal(found.keypoints[0, :, 0], [[1, 2], [5, 6]])
    assert found.confidence[1].tolist() == [[0, 1], [0, 0]]
    pandas.DataFrame({"a": [1.0]}).to_hdf(path, key="df_with_missing", mode="w")
    with pytest.raises(InputError, match=r"labels\.h5: columns must be scorer, \[individuals,\] bodyparts, coords"):
        read_keypoints(path)


@pytest.mark.parametrize("name", ["poses.nc", "poses.bin"])
def test_netcdf_of_movement_reads(load_poses: Any, tmp_path: Path, name: str) -> None:
    points = np.random.default_rng(0).uniform(0, 99, (6, 2, 3, 2))
    names = {"individual_names": ["a", "b"], "keypoint_names": ["x1", "x2", "x3"]}
    dataset = load_poses.from_numpy(points, **names, fps=12.5, source_software="DeepLabCut")
    dataset.to_netcdf(tmp_path / name)
    found = read_keypoints(tmp_path / name)
    assert found.format == "netcdf" and found.fps == 12.5 and found.tracks == ("a", "b")
    np.testing.assert_array_equal(found.keypoints, points.transpose(3, 0, 2, 1).astype(np.float32))


@pytest.mark.slow
def test_nwb_of_movement_reads(load_poses: Any, tmp_path: Path) -> None:
    save, pynwb = importlib.import_module("movement.io.save_poses"), importlib.import_module("pynwb")
    points = np.random.default_rng(0).uniform(0, 99, (6, 2, 3, 1))
    confidence = np.full((6, 3, 1), 0.75)
    dataset = load_poses.from_numpy(points, confidence, ["rat"], ["tail", "nose", "paw"], fps=30)
    with pynwb.NWBHDF5IO(str(tmp_path / "poses.nwb"), mode="w") as file:
        file.write(save.to_nwb_file(dataset))
    found = read_keypoints(tmp_path / "poses.nwb")
    assert found.format == "nwb" and found.fps == pytest.approx(30) and (found.confidence == 0.75).all()
    order = [found.skeleton.names.index(name) for name in ("tail", "nose", "paw")]
    np.testing.assert_array_equal(found.keypoints[0][:, order], points[..., 0].transpose(0, 2, 1).astype(np.float32))


@pytest.mark.slow
def test_lifted_results_in_3d_read_back_by_movement(load_poses: Any, tmp_path: Path, make_lifted: Make) -> None:
    xarray = importlib.import_module("xarray")
    result = make_lifted(frames=None)
    wanted = result.joints.transpose(1, 3, 2, 0)
    dataset = xarray.open_dataset(write_lifted(result, tmp_path / "lifted.nc"))
    np.testing.assert_array_equal(dataset.position.values, wanted)
    assert dataset.attrs["model"] == "small 1.0" and dataset.attrs["units"] == "pixels"
    np.testing.assert_allclose(dataset.attrs["scale"], result.scale)
    np.testing.assert_allclose(dataset.time.values, np.arange(5) / 29.97)
    pandas = importlib.import_module("pandas")
    frame = pandas.read_hdf(write_lifted(result, tmp_path / "lifted.h5"))
    assert frame.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
    np.testing.assert_array_equal(frame.to_numpy(dtype=np.float32), result.joints.transpose(1, 0, 2, 3).reshape(5, -1))
    solo = make_lifted(["rat"], frames=None)
    again = load_poses.from_nwb_file(write_lifted(solo, tmp_path / "lifted.nwb"))
    names = list(solo.skeleton.names)
    np.testing.assert_array_equal(
        again.position.sel(keypoints=names).squeeze().values, solo.joints[0].transpose(0, 2, 1)
    )
    for name in ("lifted.nc", "lifted.h5", "lifted.nwb"):
        with pytest.raises(InputError, match=rf"{name}: holds 3D points"):
            read_keypoints(tmp_path / name)
    with pytest.raises(InputError, match="NWB holds one animal a file, got 2 tracks"):
        write_lifted(result, tmp_path / "two.nwb")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lifted.h5", "lifted.nc", "lifted.nwb"]


def test_real_leap_labels(real_data: Path) -> None:
    loadmat = pytest.importorskip("scipy.io", reason="needs the extra io").loadmat
    path = real_data / "keypoints2d/sleap/labels.mat"
    found = read_keypoints(path)
    positions = loadmat(path, variable_names=["positions"])["positions"]
    np.testing.assert_array_equal(found.keypoints[0], positions.transpose(2, 0, 1))
    assert found.skeleton.names == ("head", "neck", "tailBase", "tailTip", "earL", "earR")
    assert found.skeleton.edges == ((0, 1), (1, 2), (2, 3), (0, 4), (0, 5))
    assert found.skeleton.sides == (0, 0, 0, 0, 1, -1)
