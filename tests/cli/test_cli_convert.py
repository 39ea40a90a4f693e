"""`olift convert`, and `olift lift` into the formats of other programs: what is written, and what is refused first."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from olift_fast import read_lifted, write_lifted
from olift_fast.io.write import OUTPUT_FORMATS
from olift_fast.tracks import LiftedTracks, Skeleton

from .conftest import Run


@pytest.fixture
def dogs(tmp_path: Path) -> Path:
    """A result of two tracks with odd names."""
    rng = np.random.default_rng(0)
    shape = (2, 6, 4)
    result = LiftedTracks(
        joints=rng.normal(0, 50, (*shape, 3)),
        keypoints=rng.normal(0, 50, (*shape, 2)),
        confidence=np.ones(shape),
        visible=np.ones(shape),
        skeleton=Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3))),
        tracks=("rex/1", "REX 1"),
        fps=30.0,
        scale=[10, 10],
        centers=np.zeros((2, 6, 2)),
        rotation=np.tile(np.eye(3), (2, 1, 1)),
        model="small",
        version="1.0",
    )
    folder = tmp_path / "in"
    folder.mkdir()
    return write_lifted(result, folder / "dogs.npz")


def test_every_format_is_written_from_a_result(run: Run, dogs: Path, tmp_path: Path) -> None:
    for known in OUTPUT_FORMATS:
        if known.module is not None and importlib.util.find_spec(known.module) is None:
            continue
        if known.name == "nwb":
            continue  # a slash in the track's name
        out = tmp_path / f"dogs{known.suffix}"
        tracks = ("--track", "REX 1") if "one track" in known.wants else ()
        outcome = run("convert", dogs, "-o", out, *tracks)
        assert outcome.exit_code == 0 and out.stat().st_size > 0, outcome.output
        count = "1 track" if tracks else "2 tracks"
        assert outcome.output.startswith(f"written: {out} ({count}, 6 frames)\n"), outcome.output
        assert ("left out" in outcome.output) == (out.suffix != ".npz"), outcome.output


def test_tracks_are_chosen_and_the_rate_is_told(run: Run, dogs: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.npz"
    assert run("convert", dogs, "-o", out, "--track", "REX 1", "--fps", 12.5).exit_code == 0
    found, whole = read_lifted(out), read_lifted(dogs)
    assert found.tracks == ("REX 1",) and found.fps == 12.5
    np.testing.assert_array_equal(found.joints[0], whole.joints[1])


def test_each_track_gets_a_file_with_a_plain_name(run: Run, dogs: Path, tmp_path: Path) -> None:
    outcome = run("convert", dogs, "-o", tmp_path / "all.anipose.csv", "--each-track")
    assert outcome.exit_code == 0, outcome.output
    names = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert names == ["all.REX_1_2.anipose.csv", "all.rex_1.anipose.csv"]
    second = read_lifted(dogs).joints[1, 0, 0]
    first_row = (tmp_path / names[0]).read_text().splitlines()[1].split(",")
    np.testing.assert_array_equal(np.array(first_row[:3], np.float32), second)


def test_what_cannot_be_written_is_told_in_a_line(run: Run, dogs: Path, tmp_path: Path) -> None:
    unknown = write_lifted(replace(read_lifted(dogs), fps=None), tmp_path / "no_rate.npz")
    other = tmp_path / "other.npz"
    np.savez(other, keypoints=np.ones((3, 4, 2)))
    before = sorted(tmp_path.iterdir())
    for arguments, message in (
        ((dogs, "-o", tmp_path / "x.bvh"), "BVH holds one track a file, got 2 ('rex/1', 'REX 1'): write an .npz"),
        ((dogs, "-o", tmp_path / "x.xyz"), "the name must end in .npz, .long.csv"),
        ((dogs, "-o", dogs), "is the input itself"),
        ((dogs, "-o", tmp_path / "no" / "x.glb"), "cannot be written"),
        ((dogs, "-o", tmp_path / "x.npz", "--track", "cat"), "has no track 'cat'; it has rex/1, REX 1"),
        ((dogs, "-o", tmp_path / "x.npz", "--fps", 0), "--fps must be a positive number, got 0"),
        ((unknown, "-o", tmp_path / "x.glb"), "glTF needs the frames a second, which are not known"),
        ((other, "-o", tmp_path / "x.glb"), "not a lifted result"),
        ((tmp_path, "-o", tmp_path / "x.glb"), "is a folder, wanted what `olift lift` wrote"),
        ((tmp_path / "none.npz", "-o", tmp_path / "x.glb"), "no such file"),
    ):
        outcome = run("convert", *arguments)
        assert outcome.exit_code == 2 and message in outcome.output, outcome.output
        assert outcome.output.startswith("olift: ") and outcome.output.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_no_file_is_written_where_one_of_several_cannot_be(run: Run, dogs: Path, tmp_path: Path) -> None:
    (tmp_path / "all.REX_1_2.trc").mkdir()
    outcome = run("convert", dogs, "-o", tmp_path / "all.trc", "--each-track")
    assert outcome.exit_code == 2 and "it is a folder" in outcome.output
    assert not (tmp_path / "all.rex_1.trc").exists()


@pytest.mark.parametrize("suffix", [".bvh", ".glb", ".trc", ".points3d.h5"])
def test_lift_writes_the_format_of_the_ending(lift: Run, mouse: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"mouse{suffix}"
    outcome = lift(mouse, "-o", out, "--fps", 30)
    assert outcome.exit_code == 0 and out.stat().st_size > 0, outcome.output


def test_what_the_format_lacks_is_told_before_anything_is_lifted(run: Run, mouse: Path, tmp_path: Path) -> None:
    """The model that is named does not exist, and nobody asked for it."""
    for arguments, message in (
        (("-o", tmp_path / "mouse.trc"), "TRC needs the frames a second, which are not known: give them with --fps"),
        (("-o", tmp_path / "mouse.bvh", "--fps", 30, "--infer", "none"), "BVH needs the bones between the joints"),
    ):
        outcome = run("lift", mouse, *arguments, "--model", tmp_path / "no model")
        assert outcome.exit_code == 2 and message in outcome.output, outcome.output


def test_a_missing_library_is_told_before_anything_is_read(
    run: Run, dogs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ezc3d" else find(name))
    outcome = run("convert", dogs, "-o", tmp_path / "dogs.c3d")
    assert outcome.exit_code == 2 and "writing .c3d files needs: pip install 'olift-fast[io]'" in outcome.output


def test_the_page_is_named_like_the_result(lift: Run, mouse: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="needs the extra view")
    outcome = lift(mouse, "-o", tmp_path / "mouse.points3d.h5", "--html", tmp_path / "mouse.html")
    assert outcome.exit_code == 0 and (tmp_path / "mouse.html").exists()
