"""`olift skeleton`: a draft to correct, which the other commands take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from olift_fast.io import read_keypoints, read_lifted, read_skeleton
from olift_fast.view import picture

from .conftest import JOINTS, Run, walk, write_table
from .test_cli_errors import assert_one_line


@pytest.fixture
def half_coded(tmp_path: Path) -> Path:
    """A table of 40 frames: two of its joints have names of a body, two have not."""
    return write_table(tmp_path / "half.csv", *walk(40), names=("nose", "p1", "p2", "tail"))


@pytest.mark.slow
def test_draft_is_taken_by_the_other_commands(run: Run, random_model: str, mouse: Path, tmp_path: Path) -> None:
    outcome = run("skeleton", mouse, "-o", tmp_path / "draft.json")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.splitlines()[0] == "edges: 3 inferred from names"
    assert f"olift lift {mouse} --skeleton {tmp_path / 'draft.json'}" in outcome.stdout
    draft = read_skeleton(tmp_path / "draft.json")
    assert draft.names == JOINTS and draft.sides == (0, 1, -1, 0) and draft.inferred == (True,) * 3
    lifted = run(
        "lift", mouse, "-o", tmp_path / "out.npz", "--skeleton", tmp_path / "draft.json", "--model", random_model
    )
    assert lifted.exit_code == 0 and "inferred" not in lifted.stderr
    assert read_lifted(tmp_path / "out.npz").skeleton == draft


def test_draft_is_easy_to_correct(run: Run, mouse: Path, tmp_path: Path) -> None:
    """An edge a line, by name; what is changed was not inferred, and nothing else needs a change."""
    path = tmp_path / "draft.json"
    assert run("skeleton", mouse, "-o", path).exit_code == 0
    lines = path.read_text().splitlines()
    edges = lines.index('  "edges": [')
    place = next(place for place in range(edges, len(lines)) if "nose" in lines[place] and "tail" in lines[place])
    lines[place] = '    ["tail", "left_paw"],' if lines[place].endswith(",") else '    ["tail", "left_paw"]'
    path.write_text("\n".join(lines))
    corrected = read_skeleton(path)
    given = [edge for edge, guessed in zip(corrected.edges, corrected.inferred, strict=True) if not guessed]
    assert [{corrected.names[a], corrected.names[b]} for a, b in given] == [{"tail", "left_paw"}]


def test_motion_completes_the_draft_and_says_how_sure_it_is(run: Run, half_coded: Path) -> None:
    outcome = run("skeleton", half_coded)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.startswith("edges: 1 inferred from names, 2 from motion")
    assert "from motion" in outcome.stdout and "confidence" in outcome.stdout
    written = read_skeleton(half_coded.parent / "half.skeleton.json")
    assert len(written.pieces()) == 1 and len(written.edges) == 3


def test_names_alone_leave_pieces_and_say_so(run: Run, half_coded: Path, tmp_path: Path) -> None:
    outcome = run("skeleton", half_coded, "-o", tmp_path / "draft.json", "--infer", "names")
    assert outcome.stdout.startswith("edges: 1 inferred from names\n")
    assert "warning: the skeleton is in 3 pieces; apart from the largest: p1; p2; --infer motion" in outcome.stderr


def test_given_edges_are_written_as_they_are(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "given.npz"
    np.savez(source, keypoints=walk(30)[0], names=np.array(JOINTS), edges=np.array([[0, 1], [1, 2], [2, 3]]))
    outcome = run("skeleton", source, "-o", tmp_path / "draft.json")
    assert outcome.stdout.startswith(f"edges: 3, given by {source}\n")
    assert "inferred" not in json.loads((tmp_path / "draft.json").read_text())
    assert read_skeleton(tmp_path / "draft.json") == read_keypoints(source).skeleton


def test_corrections_are_not_overwritten(run: Run, mouse: Path, tmp_path: Path) -> None:
    path = tmp_path / "draft.json"
    path.write_text("mine")
    assert_one_line(run("skeleton", mouse, "-o", path), f"{path}: is there already, and may hold corrections")
    assert path.read_text() == "mine"


@pytest.mark.slow
def test_what_cannot_be_drafted_is_one_line(run: Run, tmp_path: Path) -> None:
    short = write_table(tmp_path / "short.csv", *walk(12), names=("p1", "p2", "p3", "p4"))
    out = tmp_path / "draft.json"
    assert_one_line(
        run("skeleton", short, "-o", out),
        f"{short}: the names tell no bones, and bones by motion need at least 20 frames",
    )
    assert_one_line(run("skeleton", tmp_path / "absent.csv", "-o", out), "absent.csv: no such file or folder")
    assert_one_line(run("skeleton", short, "-o", tmp_path / "no" / "draft.json"), "is not a folder")
    assert_one_line(run("skeleton", short, "-o", out, "--min-confidence", 2), "--min-confidence must be within 0 … 1")
    assert_one_line(
        run("skeleton", short, "-o", out, "--png", tmp_path / "picture.gif"), "must end in .png, got '.gif'"
    )
    assert not out.exists()


def test_picture_without_matplotlib_names_the_extra(
    run: Run, mouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: None)
    outcome = run("skeleton", mouse, "-o", tmp_path / "draft.json", "--png", tmp_path / "picture.png")
    assert_one_line(outcome, "drawing a picture needs: pip install 'olift-fast[bench]'")
    assert not (tmp_path / "draft.json").exists()


@pytest.mark.slow
def test_picture_is_drawn_on_the_clearest_frame(run: Run, mouse: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `bench`")
    outcome = run("skeleton", mouse, "-o", tmp_path / "draft.json", "--png", tmp_path / "picture.png")
    assert outcome.exit_code == 0, outcome.stderr
    # The tail is hidden in every third frame, from the first on.
    assert f"drawn: {tmp_path / 'picture.png'}, on frame 1\n" in outcome.stdout
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
