"""Names with newlines, quotes, commas and the like: what is written is read back, or refused before it is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints, read_lifted, read_skeleton, write_lifted
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

Make = Callable[..., LiftedTracks]
Names = tuple[list[str], list[str]]

ODD = ("nose\ntip", "a\rb", "a\r\nb", 'a"b', '"', "a,b", "=1+1", " a ", "\t", "a\x0bb", "a\x85b", "a\u2028b", "\u202ea")
NO_TEXT = ("a\0b", "a\0", "\0", "\ud800", "a\udfff")


def texts(**options: object) -> st.SearchStrategy[str]:
    """Any names that a file can hold."""
    signs = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.text(st.one_of(st.sampled_from('ab,"\n\r=;\t '), signs), max_size=8)


def with_names(make: Make, names: list[str], tracks: list[str]) -> LiftedTracks:
    """A result of two joints with these names."""
    result = make(tracks)
    cut = {name: getattr(result, name)[:, :, :2] for name in ("joints", "keypoints", "confidence", "visible")}
    return replace(result, skeleton=Skeleton(tuple(names), ((0, 1),)), **cut)


def read_npz(path: Path) -> Names:
    result = read_lifted(path)
    return list(result.skeleton.names), list(result.tracks)


def read_wide(path: Path) -> Names:
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row[0]: row[1:] for row, _ in zip(csv.reader(file), range(4), strict=False)}
    return list(dict.fromkeys(rows["bodyparts"])), list(dict.fromkeys(rows["individuals"]))


def read_long(path: Path) -> Names:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return list(dict.fromkeys(row["joint"] for row in rows)), list(dict.fromkeys(row["track"] for row in rows))


def read_pandas(path: Path) -> Names:
    with h5py.File(path) as file:
        levels = [file[f"df_with_missing/axis0_level{level}"][()] for level in (2, 1)]
    names, tracks = ([text.decode() for text in level] for level in levels)
    return names, tracks


READERS: dict[str, Callable[[Path], Names]] = {
    ".npz": read_npz,
    ".csv": read_wide,
    ".long.csv": read_long,
    ".h5": read_pandas,
}


@pytest.mark.parametrize("suffix", READERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(texts(), min_size=2, max_size=2, unique=True),
    tracks=st.lists(texts(), min_size=2, max_size=2, unique=True),
)
def test_all_names_are_read_back(
    make_lifted: Make, tmp_path: Path, suffix: str, names: list[str], tracks: list[str]
) -> None:
    path = write_lifted(with_names(make_lifted, names, tracks), tmp_path / f"out{suffix}")
    assert READERS[suffix](path) == (names, tracks)


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_read_back(make_lifted: Make, tmp_path: Path, name: str) -> None:
    for suffix, read in READERS.items():
        path = write_lifted(with_names(make_lifted, [name, "tail"], [name, "dog"]), tmp_path / f"out{suffix}")
        assert read(path) == ([name, "tail"], [name, "dog"]), suffix


@pytest.mark.parametrize("name", ODD)
def test_odd_names_come_back_out_of_netcdf(make_lifted: Make, tmp_path: Path, name: str) -> None:
    pytest.importorskip("movement", reason="needs the extra io")
    xarray = pytest.importorskip("xarray")
    path = write_lifted(with_names(make_lifted, [name, "tail"], [name, "dog"]), tmp_path / "out.nc")
    with xarray.open_dataset(path) as dataset:
        axes = [dataset.coords[axis].values.tolist() for axis in dataset.position.dims if axis not in ("time", "space")]
    assert sorted(map(sorted, axes)) == sorted([sorted([name, "tail"]), sorted([name, "dog"])])


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "."])
def test_names_that_nwb_cannot_hold_are_refused(make_lifted: Make, tmp_path: Path, name: str) -> None:
    pytest.importorskip("movement", reason="needs the extra io")
    with pytest.raises(InputError, match=r"out\.nwb: NWB can't hold these names of the tracks and their joints: "):
        write_lifted(with_names(make_lifted, [name, "tail"], ["dog"]), tmp_path / "out.nwb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["nose\ntip", 'a"b', "=1", "a,b"])
def test_nwb_holds_the_others(make_lifted: Make, tmp_path: Path, name: str) -> None:
    pytest.importorskip("movement", reason="needs the extra io")
    path = write_lifted(with_names(make_lifted, [name, "tail"], ["dog"]), tmp_path / "out.nwb")
    with h5py.File(path) as file:
        nodes = file["processing/behavior/Skeletons/skeleton_dog/nodes"][()]
    assert [node.decode() for node in nodes] == [name, "tail"]


@settings(max_examples=100, deadline=None)
@given(names=st.lists(texts(), min_size=1, max_size=5, unique=True))
def test_skeletons_come_back_out_of_json(names: list[str]) -> None:
    skeleton = Skeleton(tuple(names))
    assert Skeleton.from_json(skeleton.to_json()) == skeleton


def _cells(name: str, kind: str) -> list[list[object]]:
    """The same three frames of two joints as the formats of tables have them."""
    frames = range(3)
    if kind == "numbered":
        return [["" if number < 3 else number - 3, *row] for number, row in enumerate(_cells(name, "deeplabcut"))]
    if kind == "deeplabcut":
        head = [
            ["scorer", *["net"] * 6],
            ["bodyparts", *[name] * 3, *["tail"] * 3],
            ["coords", *["x", "y", "likelihood"] * 2],
        ]
        return [*head, *([frame, 10 + frame, 2, 0.9, 30, 4, 0.8] for frame in frames)]
    if kind == "flat":
        head = [["frame", *(f"{joint}_{part}" for joint in (name, "tail") for part in "xy")]]
        return [*head, *([frame, 10 + frame, 2, 30, 4] for frame in frames)]
    rows = ([frame, joint, 10 * place + frame, 2] for frame in frames for place, joint in enumerate((name, "tail"), 1))
    return [["frame", "keypoint", "x", "y"], *rows]


@pytest.mark.parametrize("kind", ["deeplabcut", "numbered", "flat", "long"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text("ab\"\n\r,=;'", min_size=1, max_size=8).map(lambda text: f"j{text}j"))
def test_tables_with_odd_names_are_read(tmp_path: Path, kind: str, end: str, name: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_NONNUMERIC).writerows(_cells(name, kind))
    (tmp_path / "table.csv").write_bytes(text.getvalue().encode())
    found = read_keypoints(tmp_path / "table.csv")
    assert found.skeleton.names == (name, "tail") and found.num_frames == 3
    np.testing.assert_array_equal(found.keypoints[0, :, 0, 0], [10, 11, 12])


@pytest.mark.parametrize("note", ['5" wide', 'a"b"c"', 'it is 3"', 'x""y"'])
def test_quotes_that_do_not_begin_a_cell_leave_the_lines_apart(tmp_path: Path, note: str) -> None:
    lines = ["frame,nose_x,nose_y,note", *(f"{frame},{frame},2,{note}" for frame in range(31))]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    np.testing.assert_array_equal(read_keypoints(tmp_path / "table.csv").keypoints[0, :, 0, 0], np.arange(31))


def test_a_lone_quote_leaves_the_lines_apart(tmp_path: Path) -> None:
    lines = ['frame,nose_x,nose_y,note"', *(f"{frame},1,2,x" for frame in range(30))]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    assert read_keypoints(tmp_path / "table.csv").num_frames == 30


@pytest.mark.parametrize("name", NO_TEXT)
def test_names_that_no_file_holds_are_refused_at_once(make_lifted: Make, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="joint names must be text without NUL"):
        Skeleton((name, "b"))
    with pytest.raises(InputError, match="name must be text without NUL"):
        Skeleton(("a", "b"), name=name)
    points = np.ones((1, 1, 2, 2), np.float32)
    with pytest.raises(InputError, match=r"^file: track names must be text without NUL"):
        KeypointTracks(points, np.ones((1, 1, 2)), Skeleton(("a", "b")), (name,), source="file")
    with pytest.raises(InputError, match="track names must be text without NUL"):
        make_lifted([name])
    path = tmp_path / "skeleton.json"
    path.write_bytes(b'{"names": ["a", "b' + (b"\\ud800" if name > "b" or "\udfff" in name else b"\\u0000") + b'"]}')
    with pytest.raises(InputError, match=r"skeleton\.json: .*without NUL"):
        read_skeleton(path)


def test_a_source_that_is_no_text_is_written(make_lifted: Make, tmp_path: Path) -> None:
    source = b"clip\xff.csv".decode("utf-8", "surrogateescape")
    result = make_lifted(source=source)
    assert read_lifted(write_lifted(result, tmp_path / "out.npz")).source == source
    for suffix in (".csv", ".long.csv", ".h5"):
        write_lifted(result, tmp_path / f"out{suffix}")


def test_a_source_that_is_no_text_is_shown(make_lifted: Make, tmp_path: Path) -> None:
    result = make_lifted(source=b"clip\xff.csv".decode("utf-8", "surrogateescape"))
    pytest.importorskip("plotly", reason="needs the extra view")
    from olift_fast.view import write_html

    assert r"clip\udcff.csv" in write_html(result, tmp_path / "page.html").read_text(encoding="utf-8")
    pytest.importorskip("movement", reason="needs the extra io")
    with h5py.File(write_lifted(result, tmp_path / "out.nc")) as file:
        assert file.attrs["source_file"] in (r"clip\udcff.csv", rb"clip\udcff.csv")
