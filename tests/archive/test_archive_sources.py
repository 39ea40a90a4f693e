"""What a folder, a glob and a list stand for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from archives import table

from olift_fast.archive.lists import listed_in
from olift_fast.archive.sources import Entry, found_in
from olift_fast.errors import InputError

FRAME = {"version": 1.3, "people": [{"pose_keypoints_2d": [1.0, 2.0, 0.9] * 25}]}


def names(entries: list[Entry]) -> list[str]:
    return [entry.name for entry in entries]


def test_a_folder_is_taken_with_all_below_it_and_keeps_its_structure(tmp_path: Path) -> None:
    for name in ("cage 1/mouse.csv", "cage 1/day/rat.json", "ä/fish.analysis.h5", "fly.csv.gz"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    for other in ("cage 1/video.mp4", ".hidden.csv", ".git/a.csv", "cage 1/mouse.lifted.npz", "config.yaml"):
        path = tmp_path / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    found = found_in(str(tmp_path))
    assert names(found.entries) == ["cage 1/day/rat", "cage 1/mouse", "fly", "ä/fish.analysis"]
    assert found.passed_over == 3
    assert found.entries[0].bytes == 2 and found.entries[0].modified == str(
        (tmp_path / "cage 1/day/rat.json").stat().st_mtime_ns
    )


def test_what_commands_write_beside_recordings_is_passed_over(tmp_path: Path) -> None:
    made = ("a.lifted.npz", "a.lifted.csv", "a.world.npz", "a.skeleton.json", "skeleton.json", "body.json", "truth.npz")
    for name in ("a.csv", "world.npz", "myskeleton.json", "lifted.csv", *made):
        (tmp_path / name).touch()
    found = found_in(str(tmp_path))
    assert [Path(entry.path).name for entry in found.entries] == ["a.csv", "lifted.csv", "myskeleton.json", "world.npz"]
    assert found.passed_over == len(made)


def test_a_folder_of_frames_is_one_recording(tmp_path: Path) -> None:
    walk = tmp_path / "walk"
    walk.mkdir()
    for number in range(3):
        (walk / f"cam1_{number:012d}_keypoints.json").write_text(json.dumps(FRAME))
    for number in range(2):
        # Recordings that are numbered are no frames.
        (tmp_path / f"take{number}.json").write_text("[]")
    found = found_in(str(tmp_path)).entries
    assert names(found) == ["take0", "take1", "walk"]
    assert found[2].bytes == sum(file.stat().st_size for file in walk.iterdir())
    before = found[2].modified
    (walk / "cam1_000000000003_keypoints.json").write_text(json.dumps(FRAME))
    assert found_in(str(tmp_path)).entries[2].modified != before


def test_a_source_that_is_a_folder_of_frames_is_one_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = tmp_path / "walk"
    walk.mkdir()
    for number in range(3):
        (walk / f"cam1_{number:012d}_keypoints.json").write_text(json.dumps(FRAME))
    assert [(entry.path, entry.name) for entry in found_in(str(walk)).entries] == [(str(walk), "walk")]
    monkeypatch.chdir(walk)
    assert names(found_in(".").entries) == ["walk"]


def test_files_that_differ_in_their_endings_alone_keep_them(tmp_path: Path) -> None:
    for name in ("mouse.csv", "mouse.h5", "mouse.csv.gz", "rat.h5"):
        (tmp_path / name).write_text("x")
    assert names(found_in(str(tmp_path)).entries) == ["mouse.csv", "mouse.csv.gz", "mouse.h5", "rat"]


@pytest.mark.skipif(os.name != "posix", reason="makes symbolic links")
def test_links_that_lead_in_a_circle_are_taken_once(tmp_path: Path) -> None:
    table(tmp_path / "a" / "mouse.csv")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert names(found_in(str(tmp_path)).entries) == ["a/mouse"]


def test_a_glob_keeps_the_folders_below_its_fixed_part(tmp_path: Path) -> None:
    for name in ("x/1/a.csv", "x/2/b.csv", "x/2/b.h5", "x/2/b.lifted.npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert names(found_in(str(tmp_path / "x" / "**" / "*.csv")).entries) == ["1/a", "2/b"]
    assert names(found_in(str(tmp_path / "x" / "2" / "*")).entries) == ["b.csv", "b.h5"]


def test_file_urls_and_single_files(tmp_path: Path) -> None:
    table(tmp_path / "my mouse.csv")
    for source in ((tmp_path / "my mouse.csv").as_uri(), str(tmp_path / "my mouse.csv"), tmp_path.as_uri()):
        assert names(found_in(source).entries) == ["my mouse"]
    with pytest.raises(InputError, match="a file of another machine"):
        found_in("file://elsewhere/x.csv")


def test_sources_with_nothing_in_them(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_text("x")
    for source, told in (
        (tmp_path, r"no recordings in it \(1 other files\)"),
        (tmp_path / "*.csv", "no recordings in it, wanted"),
        (tmp_path / "nothing", "no such file or folder"),
    ):
        with pytest.raises(InputError, match=f"{Path(source).name.replace('*', '.')}: {told}"):
            found_in(str(source))


def test_a_list_of_paths(tmp_path: Path) -> None:
    inside, outside = table(tmp_path / "in" / "sub" / "mouse.csv"), table(tmp_path / "rat.csv")
    listing = tmp_path / "in" / "list.txt"
    listing.write_text(f"# mine\nsub/mouse.csv\n\n../rat.csv\nmissing.csv\n{inside}\n")
    found = listed_in(str(listing))
    assert found is not None
    whole = outside.with_suffix("").relative_to("/").as_posix()
    assert names(found.entries) == ["sub/mouse", whole, "missing", "sub/mouse"]
    assert [entry.bytes > 0 for entry in found.entries] == [True, True, False, True]
    assert found.entries[2].modified == "missing"


def test_a_table_of_recordings_has_settings_for_each(tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    (tmp_path / "mouse.json").write_text("{}")
    listing.write_text(
        "path,fps,skeleton,image_size,view,mirror,output,_animal\n"
        "a.csv,30,coco_17,1280x720,top,yes,cage/one,x\n"
        "b.csv,,mouse.json,,,,,y\n"
    )
    found = listed_in(str(listing))
    assert found is not None
    first, second = found.entries
    assert first.name == "cage/one" and second.name == "b"
    wanted = {"fps": 30.0, "skeleton": "coco_17", "image_size": (1280, 720), "pitch": 90.0, "mirror": True}
    assert first.changes == wanted
    assert second.changes == {"skeleton": str(tmp_path / "mouse.json")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,fsp\na.csv,30\n", "unknown column 'fsp'; known: path, output, format, skeleton"),
        ("path,fps\na.csv,fast\n", "line 2: fps must be a number, got 'fast'"),
        ("path,image_size\na.csv,big\n", "line 2: image_size must be WIDTHxHEIGHT, got 'big'"),
        ("path,fps\na.csv,30\nb.csv\n", "line 3: 1 cells, wanted 2"),
        ("path,output\na.csv,../x\n", r"line 2: output must be a name below DEST, got '\.\./x'"),
        ("path,fps\n,30\n", "line 2: path must not be empty"),
        ("path,fps\n", "an empty list"),
    ],
)
def test_lists_that_cannot_be(tmp_path: Path, text: str, told: str) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text(text)
    with pytest.raises(InputError, match=f"list.csv: {told}"):
        listed_in(str(listing))


def test_a_table_of_keypoints_is_no_list(tmp_path: Path) -> None:
    assert listed_in(str(table(tmp_path / "mouse.csv"))) is None
