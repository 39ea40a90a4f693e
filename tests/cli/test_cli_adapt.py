"""`olift adapt`: keypoint files to a checkpoint that knows the body, and the body's file; errors in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from olift_fast.cli.console import SOME_FAILED
from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.train.label_free import Verdict

from .conftest import Run, walk, write_table
from .test_cli_errors import assert_one_line, files_under

BONES = {"names": ["nose", "left_paw", "right_paw", "tail"], "edges": [[0, 1], [0, 2], [0, 3]]}


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    path = tmp_path / "skeleton.json"
    path.write_text(json.dumps(BONES))
    return path


@pytest.fixture
def walks(tmp_path: Path) -> Path:
    """A folder of two recordings of 8 clips of 24 frames each."""
    folder = tmp_path / "walks"
    folder.mkdir()
    keypoints, likelihood = walk(200)
    for name, shift in (("monday", 0), ("tuesday", 7)):
        write_table(folder / f"{name}.csv", keypoints + shift, likelihood)
    return folder


def judge(monkeypatch: pytest.MonkeyPatch, helped: bool) -> None:
    monkeypatch.setattr("olift_fast.train.adapting.verdict", lambda *_signs: Verdict(helped, "so it was judged"))


def views(monkeypatch: pytest.MonkeyPatch, shown: float, along: float) -> None:
    monkeypatch.setattr("olift_fast.train.adapting.shown_share", lambda *_clips: shown)
    monkeypatch.setattr("olift_fast.train.adapting.share_along_view", lambda *_clips: along)


def test_files_become_a_checkpoint_a_card_and_a_body(
    run: Run, random_model: str, walks: Path, skeleton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(monkeypatch, helped=True)
    views(monkeypatch, shown=0.97, along=0.2)
    out = tmp_path / "mine"
    options = ("--out", out, "--model", random_model, "--skeleton", skeleton)
    outcome = run("adapt", walks, *options, "--bone", "nose-tail=40mm")
    assert outcome.exit_code == 0, outcome.stderr
    assert "learned from 13 clips of 24 frames of 2 tracks, 3 held out; 180 steps" in outcome.stdout
    assert "it helped: so it was judged" in outcome.stdout
    lift = f"olift lift FILE --skeleton {skeleton} --model {out} --body {out}/body.json"
    assert outcome.stdout.endswith(f"written: {out}, with body.json; {lift}\n")
    assert files_under(out) == {Path(name) for name in ("config.json", "model.safetensors", "README.md", "body.json")}
    adapted, before = Lifter.from_pretrained(out), Lifter.from_pretrained(random_model)
    assert adapted.name == "mine" and adapted.config == before.config
    assert any(not old.equal(new) for old, new in zip(before.parameters(), adapted.parameters(), strict=True))
    bones = json.loads((out / "body.json").read_text())["bones"]
    assert [bone["joints"] for bone in bones] == [["nose", "left_paw"], ["nose", "right_paw"], ["nose", "tail"]]
    assert bones[2]["millimeters"] == 40 and bones[2]["frames"] < bones[0]["frames"] == 13 * 24
    card = (out / "README.md").read_text()
    assert "`monday.csv`, `tuesday.csv`" in card and str(tmp_path) not in card.replace(random_model, "")
    steadied = run("lift", walks / "monday.csv", "--model", out, "--body", out / "body.json", "--skeleton", skeleton)
    assert steadied.exit_code == 0, steadied.stderr
    assert f"note: bones: lengths of {out}/body.json; joints moved by" in steadied.stderr
    assert_one_line(run("adapt", walks, *options), f"{out}: holds a checkpoint; give another folder with --out")


def test_individuals_are_told_apart_by_the_names_of_their_tracks_or_recordings(
    run: Run, random_model: str, skeleton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(monkeypatch, helped=True)
    keypoints, likelihood = walk(300)
    for name, wide in (("mona", 1.0), ("lisa", 1.6)):
        write_table(tmp_path / f"{name}.csv", keypoints * [wide, 1], likelihood)
    options = ("--model", random_model, "--skeleton", skeleton, "--bone", "nose-tail=40mm")
    out = tmp_path / "mine"
    outcome = run("adapt", tmp_path / "mona.csv", tmp_path / "lisa.csv", "--out", out, *options)
    assert outcome.exit_code == 0, outcome.stderr
    assert "  lengths of 2 individuals: mona.csv, lisa.csv\n" in outcome.stdout
    assert "whose lengths are in `body.json`, with those of 2 individuals\n" in (out / "README.md").read_text()
    content = json.loads((out / "body.json").read_text())
    assert [own["name"] for own in content["individuals"]] == ["mona.csv", "lisa.csv"]
    assert "millimeters" in content["bones"][0] and "millimeters" not in content["individuals"][0]["bones"][0]
    lifted = run(
        "lift", tmp_path / "lisa.csv", "--model", random_model, "--skeleton", skeleton, "--body", out / "body.json"
    )
    assert f"note: bones: lengths of {out}/body.json: lisa.csv; joints moved by" in lifted.stderr
    facts = json.loads(
        run("adapt", tmp_path / "mona.csv", tmp_path / "lisa.csv", "--out", tmp_path / "two", *options, "--json").stdout
    )
    assert facts["individuals"] == ["mona.csv", "lisa.csv"]


def test_filtered_copies_count_once_and_one_view_is_warned_of(
    run: Run, random_model: str, walks: Path, skeleton: Path, tmp_path: Path
) -> None:
    keypoints, likelihood = walk(200)
    smooth = keypoints.copy()
    smooth[1:-1] = (keypoints[:-2] + keypoints[1:-1] + keypoints[2:]) / 3
    write_table(walks / "monday_filtered.csv", smooth, likelihood)
    outcome = run("adapt", walks, "--out", tmp_path / "mine", "--model", random_model, "--skeleton", skeleton)
    copy = f"1 file with the keypoints of another, which count once: {walks / 'monday_filtered.csv'}"
    assert f"warning: {copy}\n" in outcome.stderr
    assert "learned from 13 clips of 24 frames of 2 tracks, 3 held out" in outcome.stdout


def test_several_animals_under_one_name_and_inferred_bones_are_said(
    run: Run, random_model: str, walks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("olift_fast.train.adapting.mixed_names", lambda *_clips: [("mona", 0.21), ("", 0.3)])
    outcome = run("adapt", walks, "--out", tmp_path / "mine", "--model", random_model, "--infer", "motion")
    assert outcome.exit_code in (0, SOME_FAILED), outcome.stderr
    several = "have other lengths in some of the clips than in others, by"
    assert f"warning: bones of mona {several} 21%: several individuals under one name, or views" in outcome.stderr
    assert f"warning: bones {several} 30%: " in outcome.stderr
    assert "inferred; `olift skeleton FILE` drafts them, to correct\n" in outcome.stderr


def test_a_known_length_that_the_2d_cannot_tell_is_refused_before_the_training(
    run: Run, random_model: str, walks: Path, skeleton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keypoints, likelihood = walk(200)
    likelihood[:, 3] = 0.1
    for name, shift in (("monday", 0), ("tuesday", 7)):
        write_table(walks / f"{name}.csv", keypoints + shift, likelihood)
    monkeypatch.setattr("olift_fast.train.adapting._train", lambda *_args, **_options: pytest.fail("it was trained"))
    options = ("--out", tmp_path / "mine", "--model", random_model, "--skeleton", skeleton)
    before = files_under(tmp_path)
    assert_one_line(
        run("adapt", walks, *options, "--bone", "nose-tail=40mm"),
        "olift: --bone nose-tail=40mm: the 2D does not tell how long that bone is beside the others",
    )
    assert files_under(tmp_path) == before


def test_what_is_known_before_the_training_is_said_before_it(
    run: Run, random_model: str, walks: Path, skeleton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [False, True, False]
    monkeypatch.setattr("olift_fast.train.adapting.seen_in_full", lambda *_clips: torch.tensor(full))
    monkeypatch.setattr("olift_fast.train.adapting.shown_share", lambda *_clips: 0.85)

    def failing(*_args: object, **_options: object) -> None:
        raise InputError("the training began")

    monkeypatch.setattr("olift_fast.train.adapting._train", failing)
    options = ("--out", tmp_path / "mine", "--model", random_model, "--skeleton", skeleton)
    told = run("adapt", walks, *options, "--bone", "nose-tail=40mm").stderr
    lines = told.splitlines()
    assert lines[-1] == "olift: the training began"
    hidden = "2 bones never seen at full length (nose-left_paw, nose-tail): the 2D can't tell how long"
    assert sum(line.startswith(f"warning: {hidden}") for line in lines) == 1
    assert "warning: --bone nose-tail=40mm: no view shows that bone at full length, so all millimeters" in told
    few = "bones show 85.0% of their lengths (wanted: 92%): views from above, below or end-on hide how long bones are"
    assert f"{few}; it learns without these lengths" in told
    seen = run("adapt", walks, *options, "--bone", "nose-right_paw=40mm").stderr
    assert "2 bones never seen at full length" in seen and "--bone" not in seen


@pytest.mark.parametrize(
    ("along", "options", "words"),
    [
        (
            0.43,
            (),
            "bones point along the view (43% of their squared lengths; wanted: 36%): views from above, below or",
        ),
        (
            0.2,
            ("--pitch", "60"),
            "the camera looks down by 60°: views from above, below or end-on hide how long bones are",
        ),
        (0.43, ("--view", "below"), "the camera looks up by 90° and bones point along the view (43% of their squared"),
        (0.36, ("--pitch", "44"), None),
        (0.36, (), None),
    ],
)
def test_views_from_above_are_warned_of_before_the_training(
    run: Run,
    walks: Path,
    skeleton: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    along: float,
    options: tuple[str, ...],
    words: str | None,
) -> None:
    model = tmp_path / "told"
    torch.manual_seed(0)
    config = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=2, window=(2, 2), frequencies=8, pitch=True)
    Lifter(config, name="told").eval().save_pretrained(model)
    views(monkeypatch, shown=0.97, along=along)

    def failing(*_args: object, **_options: object) -> None:
        raise InputError("the training began")

    monkeypatch.setattr("olift_fast.train.adapting._train", failing)
    given = ("--out", tmp_path / "mine", "--model", model, "--skeleton", skeleton, *options)
    told = run("adapt", walks, *given).stderr
    assert told.endswith("olift: the training began\n")
    hiding = [line for line in told.splitlines() if "hide how long bones are" in line]
    assert [line.startswith(f"warning: {words}") for line in hiding] == ([] if words is None else [True])
    used = "these lengths are still learned from" if along <= 0.36 else "it learns without these lengths"
    assert all(used in line for line in hiding)


def test_lengths_that_no_view_shows_are_not_advised(
    run: Run, random_model: str, walks: Path, skeleton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(monkeypatch, helped=True)
    views(monkeypatch, shown=0.85, along=0.2)
    outcome = run("adapt", walks, "--out", tmp_path / "mine", "--model", random_model, "--skeleton", skeleton)
    assert outcome.exit_code == 0, outcome.stderr
    assert "--body" not in outcome.stdout and (tmp_path / "mine" / "body.json").exists()
    assert "learned without these lengths" in (tmp_path / "mine" / "README.md").read_text()


def test_nothing_is_written_where_it_did_not_help(
    run: Run, random_model: str, walks: Path, skeleton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(monkeypatch, helped=False)
    before = files_under(tmp_path)
    options = ("--out", tmp_path / "mine", "--model", random_model, "--skeleton", skeleton)
    outcome = run("adapt", walks, *options)
    assert outcome.exit_code == SOME_FAILED, outcome.stderr
    assert outcome.stdout.endswith("nothing is written; --keep writes the new weights all the same\n")
    assert files_under(tmp_path) == before
    kept = run("adapt", walks / "monday.csv", walks / "tuesday.csv", *options, "--keep", "--json")
    assert kept.exit_code == 0, kept.stderr
    facts = json.loads(kept.stdout)
    assert facts["helped"] is False and facts["output"] == str(tmp_path / "mine")
    assert facts["clips"] == 13 and facts["before"].keys() == facts["after"].keys()
    assert "not judged better: so it was judged" in (tmp_path / "mine" / "README.md").read_text()


def test_copies_links_and_files_named_twice_count_once(
    run: Run, random_model: str, walks: Path, skeleton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(monkeypatch, helped=False)
    monday = walks / "monday.csv"
    shutil.copy(monday, walks / "MONDAY.copy.csv")
    (tmp_path / "link.csv").symlink_to(monday)
    options = ("--out", tmp_path / "mine", "--model", random_model, "--skeleton", skeleton)
    outcome = run("adapt", walks, tmp_path / "link.csv", monday, *options)
    assert "learned from 13 clips of 24 frames of 2 tracks, 3 held out" in outcome.stdout
    copy = f"1 file with the keypoints of another, which count once: {monday}"
    assert outcome.stderr.count("keypoints of another") == 1 and f"warning: {copy}\n" in outcome.stderr
    facts = json.loads(run("adapt", walks, *options, "--json").stdout)
    assert facts["warnings"][0] == copy and len(facts["inputs"]) == 3


def test_a_length_of_no_bone_is_refused_before_anything_is_learned(
    run: Run, random_model: str, walks: Path, skeleton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("olift_fast.train.adapt", lambda *_args, **_options: pytest.fail("it was learned from"))
    options = ("--out", tmp_path / "mine", "--model", random_model, "--skeleton", skeleton)
    for said, why in (
        ("left_paw-right_paw=3mm", "left_paw and right_paw are not the ends of one bone"),
        ("nose-tail=3", "wanted a unit"),
    ):
        assert_one_line(run("adapt", walks, *options, "--bone", said), f"olift: --bone {said}: {why}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent.csv", "--out", "OUT"), "absent.csv: no such file or folder"),
        (
            ("WALKS", "--out", "OUT", "--infer", "none"),
            "monday.csv: no bones are known, and a body is their lengths",
        ),
        (("WALKS", "--out", "OUT", "--minutes", "0"), "--minutes must be above 0, got 0"),
        (("WALKS", "--out", "OUT", "--min-confidence", "2"), "--min-confidence must be within 0 … 1"),
        (("WALKS", "--out", "WALKS/monday.csv", "--skeleton", "BONES"), "monday.csv: is a file, wanted a folder"),
        (("WALKS", "--out", "MODEL", "--skeleton", "BONES"), "--out must be another folder than --model"),
        (("WALKS", "--out", "OUT", "--skeleton", "BONES", "--bone", "nose-knee=3mm"), "knee"),
        (("WALKS", "--out", "OUT", "--skeleton", "BONES", "--pitch", "90"), "does not take the camera's pitch"),
        (("SHORT", "--out", "OUT", "--skeleton", "BONES"), "adapt needs 10 clips of 24 frames"),
    ],
)
def test_errors_take_one_line_and_nothing_is_written(
    run: Run,
    random_model: str,
    walks: Path,
    skeleton: Path,
    mouse: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    places = {"WALKS": walks, "BONES": skeleton, "OUT": tmp_path / "mine", "MODEL": random_model, "SHORT": mouse}
    given = [str(places.get(word, word)).replace("WALKS/", f"{walks}/") for word in arguments]
    before = files_under(tmp_path)
    assert_one_line(run("adapt", *given, "--model", random_model), words)
    assert files_under(tmp_path) == before
