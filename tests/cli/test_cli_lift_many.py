"""`olift lift` of several files: where the results lie, what is printed, and files that can't be lifted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from olift_fast.cli.lift_many import Several, recordings_in
from olift_fast.io import read_lifted

from .conftest import Run
from .test_cli_errors import assert_one_line


@pytest.fixture
def recordings(mouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three recordings in two folders, and a file that is none; the folder is named as a user would, from beside it."""
    for name in ("a/monday.csv", "a/deep/tuesday.csv", "b/monday.csv"):
        (tmp_path / "rec" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mouse, tmp_path / "rec" / name)
    (tmp_path / "rec" / "notes.txt").write_text("no recording")
    monkeypatch.chdir(tmp_path)
    return Path("rec")


def _below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_folder_is_lifted_as_each_file_alone(lift: Run, recordings: Path, mouse: Path) -> None:
    outcome = lift(recordings, "-o", "out")
    assert outcome.exit_code == 0, outcome.stderr
    assert _below(Path("out")) == ["a/deep/tuesday.lifted.npz", "a/monday.lifted.npz", "b/monday.lifted.npz"]
    assert "[3/3] rec/b/monday.csv: 1 track of 30 frames and 4 joints" in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == "lifted: 3 files, 90 frames; 0 failed; 1 other file passed over"
    assert lift(mouse, "-o", "alone.npz").exit_code == 0
    alone = read_lifted("alone.npz").joints
    for name in _below(Path("out")):
        assert np.array_equal(read_lifted(Path("out") / name).joints, alone)


@pytest.mark.slow
def test_results_lie_beside_the_files_without_a_folder_and_are_not_lifted_again(lift: Run, recordings: Path) -> None:
    before = _below(recordings)
    for _ in range(2):
        assert lift(recordings / "a", recordings / "b/monday.csv").exit_code == 0
        new = {"a/deep/tuesday.lifted.npz", "a/monday.lifted.npz", "b/monday.lifted.npz"}
        assert set(_below(recordings)) == {*before, *new}


@pytest.mark.slow
def test_the_structure_below_the_shared_folder_is_kept(lift: Run, recordings: Path) -> None:
    files = (recordings / "b/monday.csv", recordings / "a/monday.csv", recordings / "a/monday.csv")
    assert lift(*files, "-o", "out", "--format-out", ".long.csv").exit_code == 0
    assert _below(Path("out")) == ["a/monday.lifted.long.csv", "b/monday.lifted.long.csv"]
    assert lift("rec/*/*.csv", "-o", "globbed").exit_code == 0
    assert _below(Path("globbed")) == ["a/monday.lifted.npz", "b/monday.lifted.npz"]


@pytest.mark.slow
def test_files_that_differ_in_their_endings_have_results_of_their_own(lift: Run, recordings: Path) -> None:
    shutil.copy(recordings / "b/monday.csv", recordings / "b/monday.tsv")
    (recordings / "b/monday.tsv").write_text((recordings / "b/monday.csv").read_text().replace(",", "\t"))
    outcome = lift(recordings / "b/monday.csv", recordings / "b/monday.tsv", "-o", "out")
    assert _below(Path("out"))[0] == "monday.csv.lifted.npz", outcome.stderr


@pytest.mark.slow
def test_the_others_go_on_where_one_fails(lift: Run, recordings: Path) -> None:
    (recordings / "a/broken.csv").write_text("no table")
    outcome = lift(recordings, "-o", "out")
    assert outcome.exit_code == 3
    assert "warning: not lifted: rec/a/broken.csv: " in outcome.stderr
    assert outcome.stdout.splitlines()[-1] == "lifted: 3 files, 90 frames; 1 failed; 1 other file passed over"
    assert not any("broken" in name for name in _below(Path("out")))
    outcome = lift(recordings, "-o", "out", "--json")
    told = json.loads(outcome.stdout)
    assert outcome.exit_code == 3 and (told["done"], told["failed"], told["passed_over"]) == (3, 1, 1)
    errors = {facts["input"]: facts["error"] for facts in told["files"] if "error" in facts}
    assert list(errors) == ["rec/a/broken.csv"] and errors["rec/a/broken.csv"].startswith("rec/a/broken.csv: ")
    assert {facts["output"] for facts in told["files"] if "output" in facts} == {
        f"out/{name}" for name in _below(Path("out"))
    }


@pytest.mark.slow
def test_a_warning_of_many_files_is_told_once(lift: Run, recordings: Path) -> None:
    outcome = lift(recordings, "-o", "out", "--no-infer")
    assert [line for line in outcome.stderr.splitlines() if "no skeleton edges are known" in line] == [
        "warning: 3 files: no skeleton edges are known: depth is less sure, no bones are drawn; "
        "--skeleton FILE or RIG gives them, and `olift skeleton` drafts such a FILE"
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rec", "-o", "out.npz"), "out.npz: is the name of one result; for several recordings -o must name a folder"),
        (("rec", "-o", "rec/notes.txt"), "rec/notes.txt: is the name of one result"),
        (("rec", "nosuch"), "nosuch: no such file or folder"),
        (("no*such",), "no*such: no recordings in it"),
        (("rec", "--html", "page.html"), "--html draws one result: leave it out, or name one file"),
        (("rec", "--open"), "--open draws one result"),
        (("rec", "--format-out", ".xyz"), "--format-out must end in"),
        (("rec", "--min-confidence", "2"), "--min-confidence must be within 0 … 1, got 2"),
        (("rec/b/monday.csv", "--format-out", ".csv"), "--format-out is for several files"),
    ],
)
def test_bad_arguments_are_one_line_and_nothing_is_written(
    lift: Run, recordings: Path, arguments: tuple[str, ...], words: str
) -> None:
    before = _below(Path())
    outcome = lift(*arguments)
    assert_one_line(outcome, words)
    assert _below(Path()) == before


def test_a_model_that_is_none_is_told_once(run: Run, recordings: Path) -> None:
    assert_one_line(run("lift", recordings, "-o", "out", "--model", "nosuch"), "nosuch")
    assert not Path("out").exists()


@pytest.mark.slow
def test_a_folder_of_frames_is_one_recording_still(lift: Run, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    points = [value for k in range(25) for value in (100.0 + 9 * k % 70, 80.0 + 13 * k % 90, 0.9)]
    for frame in range(3):
        people = [{"person_id": [-1], "pose_keypoints_2d": points}]
        (folder / f"clip_{frame:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    assert lift(folder).exit_code == 0
    assert (tmp_path / "frames.lifted.npz").is_file()
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(next(folder.iterdir()), alone)
    assert lift(alone).exit_code == 0
    assert (tmp_path / "alone.lifted.npz").is_file()


POINTS = [[100.0 + 3 * k, 50.0 + 7 * k] for k in range(17)]
POSE = {"keypoints": POINTS, "keypoint_scores": [0.9] * 17}
FLAT = {"keypoints": [value for x, y in POINTS for value in (x, y, 0.9)]}
LABEL = "0 0.5 0.5 0.2 0.3 " + " ".join(f"{x / 300:.3f} {y / 300:.3f} 0.9" for x, y in POINTS)
FRAMES_OF = {  # the name of a frame's file, a frame, and one without any animal
    "openpose": ("clip_{}_keypoints.json", json.dumps({"people": []}), "{}"),
    "labelme": ("clip_{}.json", json.dumps({"shapes": [], "imagePath": "0.png"}), "{}"),
    "mediapipe": ("clip_{}.json", json.dumps({"pose_landmarks": []}), "{}"),
    "mmpose": ("{}.json", json.dumps([POSE]), "[]"),
    "sapiens": ("{}.json", json.dumps({"instance_info": [POSE]}), "{}"),
    "openpifpaf": ("{}.jpg.predictions.json", json.dumps([FLAT]), "[]"),
    "ultralytics": ("clip_{}.txt", LABEL, ""),
}
RECORDINGS_OF = {  # the name of a file, and what it holds
    "mmpose": ("{}.json", json.dumps({"instance_info": [{"frame_id": 0, "instances": [POSE]}]})),
    "mmpose inferencer": ("{}.json", json.dumps([{"predictions": [[POSE]]}])),
    "mmpose lists": ("{}.json", json.dumps([[POSE]])),
    "coco results": ("{}.json", json.dumps([{"image_id": 1, **FLAT}])),
    "coco": ("{}.json", json.dumps({"images": [], "annotations": [], "categories": []})),
}


@pytest.mark.parametrize("tool", FRAMES_OF)
def test_frames_in_a_folder_are_one_recording(tmp_path: Path, tool: str) -> None:
    name, frame, nobody = FRAMES_OF[tool]
    for number in range(4):
        (tmp_path / name.format(f"{number:06d}")).write_text(nobody if number == 0 else frame)
    (tmp_path / "classes.txt").write_text("person\n")
    assert recordings_in([tmp_path]) == tmp_path
    (tmp_path / "other.csv").touch()
    if tool == "ultralytics":
        assert recordings_in([tmp_path]) != tmp_path


@pytest.mark.parametrize("tool", RECORDINGS_OF)
def test_recordings_in_a_folder_are_several(tmp_path: Path, tool: str) -> None:
    name, content = RECORDINGS_OF[tool]
    for number in (1, 2):
        (tmp_path / name.format(number)).write_text(content)
    found = recordings_in([tmp_path])
    assert isinstance(found, Several)
    assert [entry.path for entry in found.entries] == [str(tmp_path / name.format(number)) for number in (1, 2)]
    (tmp_path / name.format(2)).unlink()
    assert recordings_in([tmp_path]) == tmp_path / name.format(1)


@pytest.mark.slow
def test_a_folder_with_one_json_file_is_lifted_as_that_file(lift: Run, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    folder.mkdir()
    instances = [{"frame_id": frame, "instances": [POSE]} for frame in range(3)]
    (folder / "walk.json").write_text(json.dumps({"instance_info": instances}))
    for place in (folder, folder / "walk.json"):
        assert lift(place, "-o", tmp_path / f"{place.name}.npz").exit_code == 0
    alone, given = (read_lifted(tmp_path / f"{name}.npz") for name in ("walk.json", "predictions"))
    assert np.array_equal(given.joints, alone.joints) and given.format == alone.format == "mmpose"
    assert lift(folder).exit_code == 0
    assert (tmp_path / "predictions.lifted.npz").is_file()


@pytest.mark.slow
def test_a_file_that_is_spelled_in_two_ways_is_lifted_once(lift: Run, recordings: Path) -> None:
    file = recordings / "b/monday.csv"
    outcome = lift(file, file.resolve(), recordings / "a/../b/monday.csv", "-o", "out")
    assert outcome.stdout.splitlines()[-1] == "lifted: 1 file, 30 frames; 0 failed", outcome.stderr
    assert _below(Path("out")) == ["monday.lifted.npz"]


@pytest.mark.slow
def test_results_that_a_shell_names_on_a_second_run_are_passed_over(lift: Run, recordings: Path) -> None:
    for passed_over in ("", "; 1 other file passed over"):
        outcome = lift(*sorted((recordings / "a").glob("*.*")), recordings / "b/monday.csv")
        assert outcome.exit_code == 0 and outcome.stdout.splitlines()[-1].endswith(f"0 failed{passed_over}")


def test_no_result_takes_the_place_of_a_recording_or_of_another_result(lift: Run, recordings: Path) -> None:
    link = recordings / "a/monday.lifted.npz"
    link.symlink_to((recordings / "b/monday.csv").resolve())
    before = (recordings / "b/monday.csv").read_bytes()
    assert_one_line(lift(recordings), "is one of the files to lift, and would be the result of rec/a/monday.csv")
    assert (recordings / "b/monday.csv").read_bytes() == before
    shutil.copy(recordings / "b/monday.csv", recordings / "b/Monday.csv")
    assert_one_line(lift(recordings / "b", "-o", "out"), "would both be lifted to out/")


@pytest.mark.parametrize("suffix", ["csv", "/x.csv", ".mp4", ""])
def test_a_format_that_is_no_ending_is_refused(lift: Run, recordings: Path, suffix: str) -> None:
    outcome = lift(recordings, "--format-out", suffix)
    if suffix == ".mp4":
        assert_one_line(outcome, "--format-out must end in .npz, ")
    elif suffix:
        assert_one_line(outcome, f"--format-out must be an ending, as .csv, got {suffix!r}")
    else:
        assert outcome.exit_code == 0


@pytest.mark.slow
def test_why_pytorch_was_needed_is_told_once(lift: Run, recordings: Path) -> None:
    outcome = lift(recordings, "-o", "out", "--backend", "eager")
    assert outcome.stderr.count("note: PyTorch was needed: ") == 1
