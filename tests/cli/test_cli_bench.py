"""`olift bench`: what it times, prints and writes; nothing here depends on how fast the machine is."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import needs_native

from olift_fast.cli.stage_timing import Shape, write_random
from olift_fast.io import read_keypoints
from olift_fast.model import inference
from olift_fast.ops import backends, native_module
from olift_fast.ops.backends import asked_backend

from .conftest import Run, walk, write_table
from .test_cli_errors import assert_one_line, files_under

STAGES = ["read", "normalize", "lift", "align", "write"]
START = ["import", "model", "first_lift"]
TINY = ("--frames", 20, "--joints", 3)


@pytest.fixture
def bench(run: Run, random_model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `olift bench` with the random model and two rounds; its temporary folder lies in one that is checked."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.delenv("OLIFT_BACKEND", raising=False)

    def bench(*arguments: object) -> Any:
        outcome = run("bench", "--model", random_model, "--rounds", 2, *arguments)
        assert not list(scratch.iterdir())
        return outcome

    return bench


def cells(stdout: str, name: str) -> list[str]:
    """What the table's row of this name holds."""
    (row,) = (line.strip() for line in stdout.splitlines() if line.strip().startswith(f"{name}  "))
    return row.removeprefix(name).split()


def note_backends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backends that `inference.run_together` is called under from now on, call by call."""
    used: list[str] = []
    run = inference.run_together

    def noted(*arguments: Any, **options: Any) -> Any:
        used.append(asked_backend())
        return run(*arguments, **options)

    monkeypatch.setattr(inference, "run_together", noted)
    return used


def assert_percentiles(times: dict[str, float]) -> None:
    assert list(times) == ["p20", "median", "p80"]
    assert 0 < times["p20"] <= times["median"] <= times["p80"]


@pytest.mark.slow
@needs_native
def test_file_is_timed_and_left_as_it_is(bench: Run, mouse: Path) -> None:
    before = mouse.read_bytes(), mouse.stat().st_mtime_ns
    outcome = bench(mouse, "--json")
    assert outcome.exit_code == 0 and outcome.stderr == ""
    content = json.loads(outcome.stdout)
    assert list(content["stages"]) == STAGES and list(content["start"]) == START
    for times in (*content["stages"].values(), content["whole"], content["reference"]["lift"]):
        assert_percentiles(times)
    assert all(seconds > 0 for seconds in content["start"].values())
    assert content["input"] == str(mouse) and content["format"] == "deeplabcut"
    assert (content["tracks"], content["frames"], content["joints"], content["rounds"]) == (1, 30, 4, 2)
    assert content["hidden_share"] == pytest.approx(10 / 120, abs=1e-6)
    assert (content["model"], content["backend"]) == ("random", "native")
    assert 0 <= content["reference"]["error"] < 1e-4
    assert (mouse.read_bytes(), mouse.stat().st_mtime_ns) == before
    assert files_under(mouse.parent) == {Path("mouse.csv")}
    assert "OLIFT_BACKEND" not in os.environ


@pytest.mark.slow
@needs_native
def test_figures_follow_from_the_times(bench: Run) -> None:
    content = json.loads(bench(*TINY, "--tracks", 2, "--json").stdout)
    lift, reference = content["stages"]["lift"]["median"], content["reference"]
    assert content["input"] is None and (content["tracks"], content["frames"]) == (2, 20)
    assert content["frames_per_second"]["lift"] == pytest.approx(40 / lift, rel=1e-4)
    assert content["frames_per_second"]["whole"] == pytest.approx(40 / content["whole"]["median"], rel=1e-4)
    assert reference["frames_per_second"] == pytest.approx(40 / reference["lift"]["median"], rel=1e-4)
    assert reference["times_as_long"] == pytest.approx(reference["lift"]["median"] / lift, rel=1e-4)
    # Of two rounds the median is the mean, and the mean of the whole is the sum of the stages' means.
    assert content["whole"]["median"] == pytest.approx(sum(s["median"] for s in content["stages"].values()), rel=1e-4)
    machine = content["machine"]
    assert machine["torch"] == torch.__version__ and machine["threads"] == torch.get_num_threads()
    assert machine["simd"] == native_module.native_module().info()["simd"]  # type: ignore[union-attr]


@pytest.mark.slow
@needs_native
def test_table_and_file_hold_the_same(bench: Run, mouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    out.write_text("old")
    outcome = bench(mouse, "--out", out)
    assert outcome.exit_code == 0, outcome.stderr
    content = json.loads(out.read_text())
    assert "mouse.csv: 1 track of 30 frames and 4 joints (deeplabcut), 8.3% hidden" in outcome.stdout
    rows = {**content["stages"], "all stages": content["whole"], "lift, eager": content["reference"]["lift"]}
    for name, times in rows.items():
        shown = [float(cell.replace(",", "")) for cell in cells(outcome.stdout, name)[:3]]
        assert shown == pytest.approx([1e3 * times[key] for key in ("median", "p20", "p80")], rel=0.01, abs=6e-4)
    for name, seconds in content["start"].items():
        (shown_once,) = cells(outcome.stdout, f"once: {name.replace('_', ' ')}")
        assert float(shown_once.replace(",", "")) == pytest.approx(1e3 * seconds, rel=0.01, abs=6e-4)
    assert cells(outcome.stdout, "lift")[3] == f"{content['frames_per_second']['lift']:,.0f}"
    assert cells(outcome.stdout, "all stages")[3] == f"{content['frames_per_second']['whole']:,.0f}"
    machine = content["machine"]
    for words in (machine["processor"], machine["simd"], torch.__version__, f"{machine['threads']} thread"):
        assert words in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == f"written: {out}"


@pytest.mark.slow
def test_json_goes_to_stdout_and_to_a_file(bench: Run, tmp_path: Path) -> None:
    outcome = bench(*TINY, "--skip-reference", "--json", "-o", tmp_path / "figures.json")
    assert outcome.exit_code == 0 and outcome.stderr == ""
    assert (tmp_path / "figures.json").read_text() == outcome.stdout


@pytest.mark.slow
def test_json_with_a_file_name_still_works(bench: Run, mouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    written = bench(mouse, "--skip-reference", "--json", out)
    assert written.exit_code == 0 and written.stdout.splitlines()[-1] == f"written: {out}"
    assert f"--json {out} is now --out {out}" in written.stderr
    assert json.loads(out.read_text())["input"] == str(mouse)
    printed = bench(mouse, "--skip-reference", "--json", "-")
    assert json.loads(printed.stdout)["input"] == str(mouse) and "--json - is now --json" in printed.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "given", ["figures.json again", "figures.txt", "--json=figures.json", "--json=-", "without a file to lift"]
)
def test_every_old_form_of_json_still_works(
    bench: Run, mouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file: list[object] = [mouse]
    options = given.split() if given.startswith("--json=") else ["--json", given]
    if given == "figures.json again":
        options = ["--json", "figures.json"]
        Path("figures.json").write_text("old")
    elif given == "without a file to lift":
        # What an earlier `olift bench` wrote is no keypoint file.
        file, options = [*TINY], ["--json", "figures.json"]
        Path("figures.json").write_text('{"stages": {}, "machine": {}}')
    for arguments in ([*file, *options], [*options, *file]):
        outcome = bench(*arguments, "--skip-reference")
        value = options[-1].removeprefix("--json=")
        assert outcome.exit_code == 0 and f"--json {value} is now " in outcome.stderr
        content = json.loads(outcome.stdout if value == "-" else Path(value).read_text())
        assert content["input"] == (None if file == [*TINY] else str(mouse))


@pytest.mark.slow
def test_file_to_lift_may_stand_behind_json(bench: Run, mouse: Path) -> None:
    table = mouse.read_bytes()
    outcome = bench("--skip-reference", "--json", mouse)
    assert json.loads(outcome.stdout)["input"] == str(mouse) and outcome.stderr == ""
    keypoints = mouse.with_name("keypoints.json")
    keypoints.write_text('[{"image_id": 1}]')
    assert_one_line(bench("--json", keypoints), str(keypoints))
    assert mouse.read_bytes() == table and keypoints.read_text() == '[{"image_id": 1}]'


@pytest.mark.slow
def test_reference_can_be_left_out(bench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    used = note_backends(monkeypatch)
    monkeypatch.setattr(backends, "why_not", lambda _: None)
    content = json.loads(bench(*TINY, "--skip-reference", "--json").stdout)
    assert content["reference"] is None and list(content["stages"]) == STAGES
    assert "eager" not in used and len(used) == 1 + 1 + 2
    assert "eager" not in bench(*TINY, "--skip-reference").stdout


@pytest.mark.slow
@needs_native
def test_backends_take_turns(bench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    used = note_backends(monkeypatch)
    assert bench(*TINY).exit_code == 0
    # The first lift, `lift_tracks`, the comparison, and two rounds.
    assert used == ["auto", "auto", "eager", "auto", "eager", "eager", "auto"]


@pytest.mark.slow
def test_edges_are_inferred_as_for_lift(bench: Run, mouse: Path) -> None:
    for option, edges in ((), 3), (("--no-infer",), 0):
        content = json.loads(bench(mouse, "--rounds", 1, "--skip-reference", "--json", *option).stdout)
        assert content["edges"] == content["inferred_edges"] == edges


@pytest.mark.slow
def test_stages_end_with_the_result_of_lift_tracks(bench: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[np.ndarray] = []
    place = inference.place_together

    def noted(*arguments: Any) -> Any:
        placed.append(place(*arguments)[0][0])
        return place(*arguments)

    monkeypatch.setattr(inference, "place_together", noted)
    assert bench(mouse, "--skip-reference").exit_code == 0
    by_lift_tracks, *by_rounds = placed
    assert len(by_rounds) == 2
    for joints in by_rounds:
        np.testing.assert_array_equal(joints, by_lift_tracks)


@pytest.mark.slow
def test_page_is_timed_where_it_is_asked_for(bench: Run, mouse: Path) -> None:
    pytest.importorskip("plotly", reason="the viewer needs the extra `view`")
    content = json.loads(bench(mouse, "--html", "--skip-reference", "--json").stdout)
    assert list(content["stages"]) == [*STAGES, "draw"]
    assert_percentiles(content["stages"]["draw"])


@pytest.mark.slow
def test_without_native_module_plain_pytorch_is_timed(bench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "why_not", lambda _: "built for another planet")
    outcome = bench(*TINY, "--json")
    content = json.loads(outcome.stdout)
    assert content["backend"] == "eager" and content["reference"] is None
    assert "built for another planet" in outcome.stderr and outcome.stderr.count("\n") == 1


@pytest.mark.slow
def test_track_that_shows_nothing_is_passed_over(bench: Run, tmp_path: Path) -> None:
    keypoints, _ = walk()
    source = tmp_path / "two.npy"
    np.save(source, np.stack([np.full_like(keypoints, np.nan), keypoints]))
    outcome = bench(source, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["tracks"] == 2


@pytest.mark.slow
@needs_native
def test_nothing_is_timed_where_backends_disagree(bench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = inference.run_together

    def wrong(*arguments: Any, **options: Any) -> Any:
        bend = np.float32([1, 1, 2]) if asked_backend() == "eager" else np.float32(1)
        return [bend * joints for joints in run(*arguments, **options)]

    monkeypatch.setattr(inference, "run_together", wrong)
    outcome = bench(*TINY)
    assert outcome.exit_code == 1 and outcome.stdout == "" and isinstance(outcome.exception, RuntimeError)
    assert "the eager backend disagree" in str(outcome.exception)


def test_generated_keypoints_repeat_themselves_and_show_something(tmp_path: Path) -> None:
    found = []
    for name in ("a.npz", "b.npz"):
        write_random(tmp_path / name, Shape(frames=50, joints=7, tracks=3))
        found.append(read_keypoints(tmp_path / name))
    tracks = found[0]
    assert tracks.keypoints.shape == (3, 50, 7, 2) and len(tracks.skeleton.edges) == 6
    np.testing.assert_array_equal(tracks.keypoints, found[1].keypoints)
    visible = tracks.visible()
    assert visible[:, 0].all() and 0.01 < 1 - visible.mean() < 0.1
    assert (np.nanstd(tracks.keypoints, axis=1) > 0).all()
    write_random(tmp_path / "least.npz", Shape(frames=1, joints=2, tracks=1))
    assert read_keypoints(tmp_path / "least.npz").visible().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["absent.csv"], ["absent.csv", "no such file"]),
        (["--frames", 0], ["--frames", ">= 1", "got 0"]),
        (["--joints", 1], ["--joints", ">= 2", "got 1"]),
        (["--tracks", -2], ["--tracks", ">= 1", "got -2"]),
        (["--rounds", 0], ["--rounds", ">= 1", "got 0"]),
        (["--threads", 0], ["--threads", ">= 1", "got 0"]),
        (["--dtype", "float16"], ["--dtype float16", "GPUs"]),
        (["--device", "gpu"], ["--device must be", "got 'gpu'"]),
        (["--frames", 10**12], [f"{10**12} frames", "at most"]),
        (["--min-confidence", 2], ["--min-confidence", "got 2"]),
        (["mouse.csv", "--frames", 9], ["mouse.csv", "--frames 9"]),
        (["mouse.csv", "--out", "mouse.csv"], ["mouse.csv", "the input itself", "-o"]),
        (["--out", "nowhere/figures.json"], ["nowhere/figures.json", "folder"]),
        (["-o", "."], ["folder"]),
        (["--model", "no-such-model"], ["no-such-model"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_unusable_argument_is_one_line(
    bench: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch, options: list[object], words: list[str]
) -> None:
    monkeypatch.chdir(mouse.parent)
    content = mouse.read_bytes()
    assert_one_line(bench(*options), *words)
    assert files_under(mouse.parent) == {Path("mouse.csv")} and mouse.read_bytes() == content


def test_file_without_visible_keypoints_is_one_line(bench: Run, tmp_path: Path) -> None:
    keypoints, likelihood = walk()
    source = write_table(tmp_path / "hidden.csv", keypoints, 0.01 * likelihood)
    assert_one_line(bench(source), str(source), "no keypoint reaches --min-confidence 0.3")


def test_page_without_plotly_says_what_to_install(bench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_one_line(bench(*TINY, "--html"), "pip install 'olift-fast[view]'")


@pytest.mark.slow
@pytest.mark.parametrize("old", [None, "old"])
def test_full_disk_leaves_nothing_of_the_figures(
    bench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str | None
) -> None:
    out = tmp_path / "results" / "figures.json"
    out.parent.mkdir()
    if old is not None:
        out.write_text(old)
    write = Path.write_text

    def full(path: Path, text: str, **options: Any) -> int:
        if "figures.json" not in path.name:
            return write(path, text, **options)
        write(path, text[:10], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    outcome = bench(*TINY, "--skip-reference", "--out", out)
    assert outcome.exit_code == 2 and outcome.stderr.startswith(f"olift: {out}: ")
    assert "disk is full" in outcome.stderr and "Traceback" not in outcome.stderr
    assert (out.read_text() if out.exists() else None) == old
    assert files_under(out.parent) == ({Path("figures.json")} if old else set())
