"""DeepLabCut's tables in HDF5: both of pandas' layouts, made here by h5py and, where it is installed, by pandas."""

from __future__ import annotations

import importlib
import os
import pickle
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints, write_lifted
from olift_fast.io.pandas_tables import read_table
from olift_fast.io.plain_pickle import load_plain
from olift_fast.tracks.containers import LiftedTracks

COLUMNS = [("net", who, part, axis) for who, part in (("a", "nose"), ("a", "tail"), ("b", "nose")) for axis in "xy"]
LEVELS = ("scorer", "individuals", "bodyparts", "coords")


def _values(rows: int = 3) -> npt.NDArray[np.float64]:
    values = np.random.default_rng(1).uniform(1, 99, (rows, len(COLUMNS)))
    values[1, 2] = np.nan
    return values


def _write_table(path: Path, index: Sequence[Any], kind: str, key: str = "df_with_missing") -> Path:
    """The layout `table`; the first column of each animal's nose is in a block of its own."""
    values = _values(len(index))
    blocks = {"values_block_0": [0, 1, 3, 4], "values_block_1": [5, 2]}
    index_type = f"S{max(map(len, index))}" if kind == "string" else {"integer": "i8", "float": "f8"}.get(kind, "i8")
    fields = [("index", index_type), *((name, "f8", (len(places),)) for name, places in blocks.items())]
    rows = np.zeros(len(index), np.dtype(fields))  # type: ignore[arg-type]
    rows["index"] = index
    with h5py.File(path, "a") as file:
        group = file.create_group(key)
        group.attrs["pandas_type"] = np.bytes_("frame_table")
        group.attrs["non_index_axes"] = np.bytes_(pickle.dumps([(1, COLUMNS)], 0))
        group.attrs["info"] = np.bytes_(
            pickle.dumps({1: {"names": list(LEVELS), "type": "MultiIndex"}, "index": {}}, 0)
        )
        for name, places in blocks.items():
            rows[name] = values[:, places]
        table = group.create_dataset("table", data=rows, chunks=(2,), compression="gzip")
        table.attrs["index_kind"] = np.bytes_(kind)
        for name, places in blocks.items():
            table.attrs[f"{name}_kind"] = np.bytes_(pickle.dumps([COLUMNS[place] for place in places], 0))
    return path


def _write_fixed(path: Path, pictures: Sequence[tuple[str, ...]]) -> Path:
    """The layout `fixed`, with the paths of pictures as an index of several levels."""
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs.update({"pandas_type": np.bytes_("frame"), "nblocks": 1, "ndim": 2})
        indices = {"axis0": COLUMNS, "block0_items": COLUMNS, "axis1": list(pictures)}
        for key, labels in indices.items():
            group.attrs[f"{key}_variety"] = np.bytes_("multi")
            group.attrs[f"{key}_nlevels"] = len(labels[0])
            for number, texts in enumerate(zip(*labels, strict=True)):
                level, codes = np.unique(np.array(texts, "S"), return_inverse=True)
                group[f"{key}_level{number}"] = level
                group[f"{key}_level{number}"].attrs["kind"] = np.bytes_("string")
                group[f"{key}_level{number}"].attrs["name"] = np.bytes_("N." if key == "axis1" else LEVELS[number])
                group[f"{key}_label{number}"] = codes.astype(np.int8)
        group["block0_values"] = _values(len(pictures))
        group["block0_values"].attrs["transposed"] = np.uint8(1)
    return path


def _check_values(path: Path) -> None:
    found = read_keypoints(path)
    values = _values(found.num_frames).astype(np.float32)
    assert found.format == "deeplabcut-h5" and found.tracks == ("a", "b") and found.skeleton.names == ("nose", "tail")
    np.testing.assert_array_equal(found.keypoints[0, :, 0], values[:, :2])
    np.testing.assert_array_equal(found.keypoints[1, :, 0], values[:, 4:])
    assert np.isnan(found.keypoints[0, 1, 1]).all() and not found.visible()[1, :, 1].any()


@pytest.mark.parametrize(
    ("index", "kind", "frames", "fps"),
    [
        ([0, 1, 2], "integer", None, None),
        ([7, 8, 9], "integer", [7, 8, 9], None),
        ([4.0, 5.0, 6.0], "float", [4, 5, 6], None),
        ([0.0, 0.033333, 0.066667], "float", None, 30),
        ([0.0, 33.333, 66.667], "float", None, 30),
        (
            [b"labeled-data/a/img04.png", b"labeled-data/a/img10.png", b"labeled-data/a/img11.png"],
            "string",
            [4, 10, 11],
            None,
        ),
        ([1_600_000_000_000_000_000, 1_600_000_000_040_000_000, 1_600_000_000_080_000_000], "datetime64", None, 25),
        ([0, 20_000, 40_000], "timedelta64[us]", None, 50),
    ],
)
def test_table_layout_with_each_kind_of_index(
    tmp_path: Path, index: list[Any], kind: str, frames: list[int] | None, fps: float | None
) -> None:
    path = _write_table(tmp_path / "clip.h5", index, kind)
    _check_values(path)
    found = read_keypoints(path)
    assert (None if found.frames is None else found.frames.tolist()) == frames and found.fps == fps
    assert any("marked by times" in note for note in found.notes) == (fps is not None)


def test_gaps_between_times_become_hidden_frames(tmp_path: Path) -> None:
    path = _write_table(tmp_path / "clip.h5", [0.5, 0.55, 0.6, 0.7, 0.75], "float")
    found = read_keypoints(path)
    assert found.fps == 20 and found.frames is not None and found.frames.tolist() == [10, 11, 12, 13, 14, 15]
    assert found.visible().any(axis=(0, 2)).tolist() == [True, True, True, False, True, True]


def test_times_that_tell_no_frames_are_told(tmp_path: Path) -> None:
    found = read_keypoints(_write_table(tmp_path / "clip.h5", [0.0, 0.1, 0.1, 0.25], "float"))
    assert found.frames is None and found.fps is None
    assert found.warnings == ("rows are marked by times without a steady rate: they count as frames 0, 1, …",)


def test_fixed_layout_with_picture_paths_in_three_levels(tmp_path: Path) -> None:
    pictures = [("labeled-data", "clip", f"img{number}.png") for number in (3, 8, 9)]
    path = _write_fixed(tmp_path / "CollectedData_me.h5", pictures)
    _check_values(path)
    found = read_keypoints(path)
    assert found.frames is not None and found.frames.tolist() == [3, 8, 9]


def test_several_tables_are_told_apart_by_their_keys(tmp_path: Path) -> None:
    path = _write_table(tmp_path / "two.h5", [0, 1, 2], "integer", "before")
    _write_table(path, [0, 1, 2], "integer", "after")
    with pytest.raises(InputError, match=r"two\.h5: holds 2 tables, after, before: save the one to read"):
        read_keypoints(path)
    _write_table(path, [5, 6, 7], "integer")
    found = read_keypoints(path)
    assert found.frames is not None and found.frames.tolist() == [5, 6, 7], "DeepLabCut's own key"
    with h5py.File(path, "a") as file:
        del file["df_with_missing"]
        file["after"].attrs["info"] = np.bytes_(pickle.dumps({1: {"names": ["column"]}}, 0))
    assert read_keypoints(path).format == "deeplabcut-h5", "the only one of body parts"


def test_other_tables_of_pandas_are_refused(tmp_path: Path) -> None:
    path = _write_table(tmp_path / "other.h5", [0, 1, 2], "integer")
    with h5py.File(path, "a") as file:
        labels = [f"column{number}" for number in range(len(COLUMNS))]
        file["df_with_missing"].attrs["non_index_axes"] = np.bytes_(pickle.dumps([(1, labels)], 0))
        file["df_with_missing"].attrs["info"] = np.bytes_(pickle.dumps({1: {"names": [None]}}, 0))
        table = file["df_with_missing/table"]
        for name, places in {"values_block_0": [0, 1, 3, 4], "values_block_1": [5, 2]}.items():
            table.attrs[f"{name}_kind"] = np.bytes_(pickle.dumps([labels[place] for place in places], 0))
    message = r"columns must be scorer, \[individuals,\] bodyparts, coords, or named as nose_x and nose_y, got column0"
    with pytest.raises(InputError, match=message):
        read_keypoints(path)
    with h5py.File(path, "a") as file:
        file["df_with_missing"].attrs["pandas_type"] = np.bytes_("series_table")
    with pytest.raises(InputError, match=r"holds no table of pandas, but 'df_with_missing' \(series_table\)"):
        read_keypoints(path)


def test_filters_of_pytables_are_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    with h5py.File(_write_table(path, [0, 1, 2], "integer"), "a") as file:
        group = file["df_with_missing"]
        rows = group["table"][:]
        del group["table"]
        space, kind = h5py.h5s.create_simple((len(rows),)), h5py.h5t.py_create(rows.dtype, logical=True)
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((2,))
        settings.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (2, 2, 40, 65520))
        h5py.h5d.create(group.id, b"table", kind, space, settings)
    with pytest.raises(
        InputError, match=r"/df_with_missing/table is compressed with Blosc, .* ptrepack --complib=zlib"
    ):
        read_keypoints(path)


class _Hostile:
    """A pickle of it makes a folder when it is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("attribute", ["non_index_axes", "values_block_0_kind", "info"])
@pytest.mark.parametrize("protocol", [0, 2])
def test_hostile_pickles_are_refused_and_nothing_runs(tmp_path: Path, attribute: str, protocol: int) -> None:
    path = _write_table(tmp_path / "clip.h5", [0, 1, 2], "integer")
    trap = tmp_path / "trap"
    with h5py.File(path, "a") as file:
        node = file["df_with_missing/table" if attribute.startswith("values") else "df_with_missing"]
        node.attrs[attribute] = np.void(pickle.dumps([(1, _Hostile(trap))], protocol))
    if attribute == "info":
        _check_values(path)
    else:
        with pytest.raises(InputError, match=rf"{attribute} is a pickle that asks for \w+\.mkdir, which is not run"):
            read_keypoints(path)
    assert not trap.exists()
    pickle.loads(pickle.dumps(_Hostile(trap), protocol))
    assert trap.exists(), "the pickle would have run"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps(print, 0), "asks for .*print, which is not run"),
        (pickle.dumps(np.zeros(3), 2), "asks for numpy.*, which is not run"),
        (pickle.dumps({1, 2}, 4), "operation (EMPTY_SET|ADDITEMS), which is not run"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "operation LONG_BINPUT, which is not run"),
        (b"\x80\x05\x96\x00\x00\x00\x00\x01\x00\x00\x00.", "not a readable pickle|BYTEARRAY8"),
        (b"(lp0\nVa\n", "labels is not a readable pickle"),
        (b"", "labels is not a readable pickle"),
        (bytes(2**24 + 1), "a pickle of 16,777,217 bytes"),
    ],
)
def test_pickles_of_anything_but_plain_values_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_plain(data, "labels")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("protocol", range(5))
def test_pickles_of_plain_values_read_exactly(protocol: int) -> None:
    value = [(1, [("net", "nose", "x"), ("net", "näse", "y")]), {"names": [None, "a"], 2: 3.5}, True, -(2**70)]
    assert load_plain(pickle.dumps(value, protocol), "labels") == value
    assert load_plain(pickle.dumps([(np.str_("nöse"), "x")], protocol), "labels") == [("nöse", "x")]


@pytest.fixture(scope="module")
def pandas() -> Any:
    pytest.importorskip("tables", reason="needs the extra io")
    return pytest.importorskip("pandas", reason="needs the extra io")


def _indices(pandas: Any) -> dict[str, Any]:
    pictures = [("labeled-data", "clip", f"img{number}.png") for number in (3, 8, 9)]
    return {
        "range": pandas.RangeIndex(3),
        "integer": pandas.Index([4, 5, 6]),
        "seconds": pandas.Index([0.0, 1 / 30, 2 / 30]),
        "dates": pandas.date_range("2024-01-01", periods=3, freq="40ms"),
        "paths": pandas.Index(["/".join(levels) for levels in pictures]),
        "levels": pandas.MultiIndex.from_tuples(pictures),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "index"),
    [
        *(
            (layout, index)
            for layout in ("table", "fixed")
            for index in ("range", "integer", "seconds", "dates", "paths")
        ),
        # pandas doesn't write columns and rows of several levels as a table.
        ("fixed", "levels"),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "mixed"])
def test_tables_of_pandas_read_as_pandas_reads_them(
    pandas: Any, tmp_path: Path, layout: str, index: str, dtype: str
) -> None:
    columns = pandas.MultiIndex.from_tuples(COLUMNS, names=LEVELS)
    frame = pandas.DataFrame(_values(), columns=columns, index=_indices(pandas)[index])
    if dtype == "mixed":
        frame[COLUMNS[0]] = [1, 2, 3]
        frame = frame[COLUMNS]
    else:
        frame = frame.astype(dtype)
    path = tmp_path / "clip.h5"
    frame.to_hdf(path, key="df_with_missing", mode="w", format=layout)
    _same_as_pandas(pandas, path)
    found = read_keypoints(path)
    frames = {"integer": [4, 5, 6], "paths": [3, 8, 9], "levels": [3, 8, 9]}
    assert (None if found.frames is None else found.frames.tolist()) == frames.get(index)
    assert found.fps == {"seconds": 30, "dates": 25}.get(index)


def _same_as_pandas(pandas: Any, path: Path) -> None:
    wanted = pandas.read_hdf(path)
    with h5py.File(path) as file:
        found = read_table(file)
    assert found.columns == [tuple(map(str, column)) for column in wanted.columns]
    assert found.levels is None or found.levels == tuple(map(str, wanted.columns.names))
    np.testing.assert_array_equal(found.values, wanted.to_numpy(dtype=np.float32))
    index = ["/".join(label) if isinstance(label, tuple) else label for label in wanted.index]
    assert [str(label) for label in pandas.Index(found.index)] == [str(label) for label in index]


@pytest.mark.slow
@pytest.mark.parametrize("complib", ["zlib", "blosc", "blosc2:zstd", "lzo", "bzip2"])
def test_compressed_tables_read_or_are_refused_by_name(pandas: Any, tmp_path: Path, complib: str) -> None:
    frame = pandas.DataFrame(_values(), columns=pandas.MultiIndex.from_tuples(COLUMNS, names=LEVELS))
    path = tmp_path / "clip.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame.to_hdf(path, key="df_with_missing", mode="w", format="table", complib=complib, complevel=5)
    with h5py.File(path) as file:
        settings = file["df_with_missing/table"].id.get_create_plist()
        codes = {settings.get_filter(place)[0] for place in range(settings.get_nfilters())}
    if codes <= {1, 2}:
        _same_as_pandas(pandas, path)
    else:
        with pytest.raises(InputError, match=r"is compressed with (Blosc2?|LZO|bzip2), which h5py lacks"):
            read_keypoints(path)


@pytest.mark.slow
def test_every_real_table_reads_as_pandas_reads_it(pandas: Any, real_data: Path) -> None:
    paths = sorted((real_data / "keypoints2d").rglob("*.h5"))
    checked = 0
    for path in paths:
        with h5py.File(path) as file:
            ours = any("pandas_type" in group.attrs for group in file.values())
        if ours:
            _same_as_pandas(pandas, path)
            checked += 1
    assert checked > 0


def test_real_table_holds_the_numbers_of_its_csv(real_data: Path) -> None:
    folder = real_data / "keypoints2d/deeplabcut_h5"
    table, binary = (read_keypoints(folder / f"DLC_sample_tracks.{suffix}") for suffix in ("csv", "h5"))
    assert binary.format == "deeplabcut-h5" and binary.skeleton == table.skeleton
    np.testing.assert_array_equal(binary.keypoints, table.keypoints)
    np.testing.assert_array_equal(binary.confidence, table.confidence)


@pytest.mark.parametrize("frames", [None, np.arange(10, 15)])
@pytest.mark.parametrize("tracks", [["solo"], ["left, fly", "b"]])
def test_written_tables_keep_frame_numbers_and_every_bit(
    make_lifted: Callable[..., LiftedTracks], tmp_path: Path, tracks: list[str], frames: npt.NDArray[np.int64] | None
) -> None:
    result = make_lifted(tracks, frames=frames)
    path = write_lifted(result, tmp_path / "lifted.h5")
    with h5py.File(path) as file:
        table = read_table(file)
    assert table.levels == (LEVELS if len(tracks) > 1 else ("scorer", "bodyparts", "coords"))
    assert table.index.tolist() == (list(range(5)) if frames is None else frames.tolist())
    np.testing.assert_array_equal(table.values, result.joints.transpose(1, 0, 2, 3).reshape(5, -1))
    assert table.columns[0] == ("olift-fast small 1.0", *tracks[:-1], "nose", "x") and table.columns[-1][-2:] == (
        "tail",
        "z",
    )
    with pytest.raises(InputError, match=r"lifted\.h5: holds 3D points"):
        read_keypoints(path)


@pytest.mark.slow
@pytest.mark.parametrize("tracks", [["solo"], ["left, fly", "b"], [f"mouse{number}" for number in range(200)]])
def test_written_tables_open_with_pandas(
    pandas: Any, make_lifted: Callable[..., LiftedTracks], tmp_path: Path, tracks: list[str]
) -> None:
    result = make_lifted(tracks, frames=np.arange(10, 15))
    frame = pandas.read_hdf(write_lifted(result, tmp_path / "lifted.h5"))
    assert list(frame.columns.names) == list(LEVELS if len(tracks) > 1 else ("scorer", "bodyparts", "coords"))
    assert frame.index.tolist() == [10, 11, 12, 13, 14] and set(frame.dtypes) == {np.dtype(np.float32)}
    np.testing.assert_array_equal(frame.to_numpy(), result.joints.transpose(1, 0, 2, 3).reshape(5, -1))
    assert list(frame.columns.get_level_values("bodyparts")[:12:3]) == ["nose", "ear_l", "ear_r", "tail"]
    if len(tracks) > 1:
        assert list(dict.fromkeys(frame.columns.get_level_values("individuals"))) == tracks
    importlib.import_module("tables").file._open_files.close_all()


def _frame(pandas: Any, animals: bool = False) -> Any:
    columns = [("net", part, axis) for part in ("nose", "tail") for axis in ("x", "y", "likelihood")]
    if animals:
        columns = [("net", who, *rest) for who in ("a", "b") for _, *rest in columns]
    names = ["scorer", *["individuals"] * animals, "bodyparts", "coords"]
    values = np.random.default_rng(3).uniform(0.1, 99, (4, len(columns)))
    values[:, 2::3] /= 100
    return pandas.DataFrame(values, columns=pandas.MultiIndex.from_tuples(columns, names=names), index=range(10, 14))


@pytest.mark.parametrize("layout", ["fixed", "table"])
@pytest.mark.parametrize("animals", [False, True])
@pytest.mark.parametrize("change", ["no scorer", "no names", "some names", "neither", "index is a column"])
def test_tables_that_pandas_changed(pandas: Any, tmp_path: Path, layout: Any, animals: bool, change: str) -> None:
    whole = _frame(pandas, animals)
    nameless = [None] * (4 if animals else 3)
    changed = {
        "no scorer": lambda: whole.droplevel(0, axis=1),
        "no names": lambda: whole.rename_axis(columns=nameless),
        "some names": lambda: whole.rename_axis(columns=["scorer", *nameless[1:]]),
        "neither": lambda: whole.droplevel(0, axis=1).rename_axis(columns=nameless[1:]),
        "index is a column": whole.reset_index,
    }[change]()
    whole.to_hdf(tmp_path / "whole.h5", key="df", format=layout)
    changed.to_hdf(tmp_path / "changed.h5", key="df", format=layout)
    wanted, found = read_keypoints(tmp_path / "whole.h5"), read_keypoints(tmp_path / "changed.h5")
    assert found.tracks == wanted.tracks and found.skeleton.names == ("nose", "tail")
    assert found.frames is not None and found.frames.tolist() == [10, 11, 12, 13]
    np.testing.assert_array_equal(found.keypoints, wanted.keypoints)
    np.testing.assert_array_equal(found.confidence, wanted.confidence)
    assert any("have no names" in note for note in found.notes) == (change in ("no names", "some names", "neither"))


@pytest.mark.parametrize("layout", ["fixed", "table"])
def test_tables_with_one_row_of_names_are_read_as_flat_tables(pandas: Any, tmp_path: Path, layout: Any) -> None:
    whole = _frame(pandas)
    whole.to_hdf(tmp_path / "whole.h5", key="df")
    wanted = read_keypoints(tmp_path / "whole.h5")
    flat = whole.set_axis(["_".join(label[1:]) for label in whole.columns], axis=1)
    for changed in (flat, flat.reset_index(names="frame"), flat.set_index(np.arange(10, 14) / 25)):
        changed.to_hdf(tmp_path / "flat.h5", key="df", format=layout, mode="w")
        found = read_keypoints(tmp_path / "flat.h5")
        assert found.frames is not None and found.frames.tolist() == [10, 11, 12, 13]
        np.testing.assert_array_equal(found.keypoints, wanted.keypoints)
        np.testing.assert_array_equal(found.confidence, wanted.confidence)
    assert found.fps == 25
    pandas.DataFrame({"a": [1.0], "b": [2.0]}).to_hdf(tmp_path / "flat.h5", key="df", mode="w")
    with pytest.raises(InputError, match="or named as nose_x and nose_y, got a, b"):
        read_keypoints(tmp_path / "flat.h5")


def test_tables_of_python_objects_are_refused_with_the_way_out(pandas: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _frame(pandas).astype(object).to_hdf(tmp_path / "clip.h5", key="df")
    with pytest.raises(InputError, match=r"net / nose / x holds Python objects.*df = df.astype\(float\)"):
        read_keypoints(tmp_path / "clip.h5")
