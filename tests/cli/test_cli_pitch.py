"""`--pitch` and `--view`: what the model is told of the camera, and the old meaning of `--view`."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import Result

from olift_fast import Lifter, LifterConfig, lift_tracks, load, read_keypoints, read_lifted
from olift_fast.tracks import with_inferred_skeleton
from olift_fast.tracks.kinds import KINDS

from .conftest import Run
from .stream_client import Stream, assert_lifted
from .test_cli_errors import assert_one_line


@pytest.fixture(scope="session")
def told_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a small untrained lifter that takes the pitch."""
    folder = tmp_path_factory.mktemp("models") / "told"
    with torch.random.fork_rng():
        torch.manual_seed(8)
        config = LifterConfig(width=32, heads=2, motion_layers=1, space_layers=1, pitch=True, kinds=len(KINDS))
        Lifter(config, name="told").save_pretrained(folder)
    return str(folder)


def joints_told(outcome: Result, path: Path, pitch: float | None) -> np.ndarray:
    """The joints of a result that says that it was lifted at this pitch."""
    assert outcome.exit_code == 0, outcome.stderr
    result = read_lifted(path)
    assert result.pitch == pitch
    return result.joints


@pytest.mark.parametrize("mirror", [False, True], ids=["", "--mirror"])
def test_lift_gives_what_lift_tracks_gives(run: Run, told_model: str, mouse: Path, tmp_path: Path, mirror) -> None:
    out = tmp_path / "out.npz"
    options = ["--model", told_model, "-o", out, *(["--mirror"] if mirror else [])]
    tracks = with_inferred_skeleton(read_keypoints(mouse))
    lifter = load(told_model)
    told = {"--pitch=60": 60.0, "--pitch=-30": -30.0, "--view=top": 90.0, "--view=below": -90.0, "--view=level": 15.0}
    for option, pitch in told.items():
        joints = joints_told(run("lift", mouse, *options, *option.split("=")), out, pitch)
        np.testing.assert_array_equal(joints, lift_tracks(lifter, tracks, mirror=mirror, pitch=pitch).joints)
    hidden = joints_told(run("lift", mouse, *options), out, None)
    assert np.abs(hidden - joints).max() > 1e-2


def test_what_the_model_was_told_is_noted(run: Run, told_model: str, mouse: Path, tmp_path: Path) -> None:
    options = ["--model", told_model, "-o", tmp_path / "out.npz"]
    content = json.loads(run("lift", mouse, *options, "--pitch", 47.5, "--json").stdout)
    assert content["pitch"] == 47.5 and content["notes"][-1] == "given to the model: camera looks down by 47.5°"
    content = json.loads(run("lift", mouse, *options, "--json").stdout)
    assert content["pitch"] is None and "--pitch DEGREES, or --view top, level or below" in content["notes"][-1]


@pytest.mark.slow
def test_replay_told_the_pitch_equals_lifting_the_file(told_model: str, mouse: Path, tmp_path: Path) -> None:
    record = tmp_path / "record.npz"
    tracks = with_inferred_skeleton(read_keypoints(mouse))
    wanted = lift_tracks(Lifter.from_pretrained(told_model), tracks, frame="object", pitch=90)
    options = ("--model", told_model, "--frame", "object", "--record", record, "--fit-frames", 30)
    stream = Stream("--replay", mouse, "--fps", 0, *options, "--view", "top")
    stream.communicate(b"")
    assert stream.process.returncode == 0, stream.told
    result = read_lifted(record)
    assert_lifted(result.joints, wanted.joints)
    assert result.pitch == 90.0


@pytest.mark.slow
def test_bench_lifts_at_the_pitch(run: Run, told_model: str, mouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from olift_fast.model import inference

    used: list[float | None] = []
    real = inference.lift_together
    monkeypatch.setattr(
        inference, "lift_together", lambda *a, pitch, **k: used.append(pitch) or real(*a, pitch=pitch, **k)
    )
    outcome = run("bench", mouse, "--model", told_model, "--rounds", 1, "--pitch", -20)
    assert outcome.exit_code == 0, outcome.stderr
    assert len(used) > 2 and set(used) == {-20.0}


@pytest.mark.parametrize("command", ["lift FILE", "bench FILE", "stream --skeleton coco_17"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pitch", "91"), ["--pitch must be from -90", "got 91"]),
        (("--pitch", "nan"), ["--pitch must be from -90", "got nan"]),
        (("--pitch", "10", "--view", "top"), ["--pitch 10 and --view top", "leave out one"]),
        (("--pitch", "60"), ["'random' does not take the camera's pitch, got 60"]),
        (("--view", "below"), ["'random' does not take the camera's pitch, got -90"]),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_unusable_pitch_is_one_line(run: Run, random_model: str, mouse: Path, command, options, words) -> None:
    arguments = [str(mouse) if argument == "FILE" else argument for argument in command.split()]
    assert_one_line(run(*arguments, "--model", random_model, *options), *words)
    assert list(mouse.parent.iterdir()) == [mouse]


@pytest.mark.parametrize("arguments", [("FILE", "--view", "side"), ("--view", "side", "FILE"), ("FILE", "--view=side")])
def test_unknown_view_is_refused(lift: Run, mouse: Path, arguments: tuple[str, ...]) -> None:
    outcome = lift(*(str(mouse) if argument == "FILE" else argument for argument in arguments))
    assert outcome.exit_code == 2 and "--view must be top, level or below, got 'side'" in outcome.stderr


@pytest.mark.parametrize("arguments", [("FILE", "--view"), ("--view", "FILE"), ("FILE", "--view", "--mirror")])
def test_old_view_still_opens_the_page(
    lift: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    pytest.importorskip("plotly", reason="the viewer needs the extra `view`")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    outcome = lift(*(str(mouse) if argument == "FILE" else argument for argument in arguments))
    assert outcome.exit_code == 0, outcome.stderr
    assert "--view is now --open" in outcome.stderr
    assert opened == [(mouse.parent / "mouse.lifted.html").as_uri()]
