"""Short recordings are lifted together and long ones from disk to disk; each gets what it gets alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from archives import Run, alone, as_lifted_alone, records, same, table

from olift_fast.archive import lifting, long_files
from olift_fast.archive.plan import PACK_FILES, Job, in_shard, packs
from olift_fast.archive.sources import Entry
from olift_fast.io import read_lifted
from olift_fast.model import Lifter, LifterConfig, lift_tracks, load
from olift_fast.tracks import KeypointTracks, rig


def job(number: int, size: int) -> Job:
    return Job(Entry(f"{number}.csv", str(number), size, ""), f"{number}.lifted.npz", "new")


def test_packs_hold_each_job_once_long_files_first_and_alone() -> None:
    sizes = [10, 5_000_000, 2**18, 0, 20, *[2000] * 40, 9_000_000]
    jobs = [job(number, size) for number, size in enumerate(sizes)]
    found = list(packs(jobs))
    assert sorted(int(one.entry.name) for pack in found for one in pack) == list(range(len(jobs)))
    assert [len(pack) for pack in found[:3]] == [1, 1, 1]
    assert [pack[0].entry.bytes for pack in found[:2]] == [9_000_000, 5_000_000]
    assert max(map(len, found)) == PACK_FILES
    assert all(sum(one.entry.bytes for one in pack) <= 2**20 for pack in found if len(pack) > 1)
    # What has cost a worker goes alone.
    assert [len(pack) for pack in packs([one.again() for one in jobs])] == [1] * len(jobs)


def test_shards_part_the_names_and_stay_as_they_are() -> None:
    names = [f"cage {number}/mouse" for number in range(400)]
    for count in (1, 3, 7):
        parts = [[name for name in names if in_shard(name, (part, count))] for part in range(1, count + 1)]
        assert sorted(name for part in parts for name in part) == sorted(names)
        assert max(map(len, parts)) < 2 * len(names) / count
    # Another value would lift every archive anew on the other machines.
    assert [in_shard("mouse", (part, 5)) for part in range(1, 6)] == [False, False, True, False, False]


def test_short_files_share_a_pass_and_get_what_they_get_alone(
    run: Run, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, frames in enumerate((5, 255, 1, 100, 256, 400, 30)):
        table(tmp_path / "in" / f"{number}.csv", frames=frames, seed=number)
    together: list[int] = []
    lift = lifting.lift_recordings

    def counted(model: Any, recordings: Any, **options: Any) -> Any:
        together.append(len(recordings))
        return lift(model, recordings, **options)

    monkeypatch.setattr(lifting, "lift_recordings", counted)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert sorted(together) == [1, 1, 5] and summary.done == 7
    assert as_lifted_alone(tmp_path / "out", summary, model)


def test_an_error_in_a_pack_is_found_file_by_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        table(tmp_path / "in" / f"{number}.csv", seed=number)
    lift = lifting.lift_recordings

    def broken(model: Any, recordings: Any, **options: Any) -> Any:
        if any("2.csv" in tracks.source for tracks in recordings):
            raise RuntimeError("oops")
        return lift(model, recordings, **options)

    monkeypatch.setattr(lifting, "lift_recordings", broken)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert (summary.done, summary.failed) == (3, 1)
    assert "oops" in records(tmp_path / "out")["2.csv"]["error"]


def test_what_a_format_cannot_hold_fails_before_it_is_lifted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    two_animals(tmp_path / "in" / "two.npy", frames=600)
    monkeypatch.setattr(lifting, "lift_recordings", lambda *_, **__: pytest.fail("was lifted"))
    assert run(tmp_path / "in", tmp_path / "out", suffix=".trc", fps=30.0).failed == 1
    told = records(tmp_path / "out")["two.npy"]["error"]
    assert told.startswith("TRC holds one track a file, got 2 ('track_0', 'track_1'): write an .npz, from which"), told


def two_animals(path: Path, frames: int = 3000) -> Path:
    """An array of two tracks; the second never has the last joint, and neither is there in the middle."""
    rng = np.random.default_rng(4)
    keypoints = 300 + 40 * rng.normal(size=(2, 1, 5, 2)) + np.cumsum(rng.normal(size=(2, frames, 5, 2)), axis=1)
    keypoints[1, :, 4] = np.nan
    keypoints[:, frames // 2 : frames // 2 + 500] = np.nan
    np.save(path, keypoints.astype(np.float32))
    return path


@pytest.mark.parametrize("uncertainty", [False, True])
@pytest.mark.parametrize("frame", ["camera", "object"])
def test_long_recordings_are_lifted_from_disk_within_a_millionth_of_the_scale(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: str, uncertainty: bool
) -> None:
    torch.manual_seed(1)
    config = LifterConfig(width=32, heads=2, motion_layers=1, space_layers=1, uncertainty=uncertainty)
    model = str(tmp_path / "model")
    Lifter(config, name="random").save_pretrained(model)
    (tmp_path / "in").mkdir()
    path = two_animals(tmp_path / "in" / "week.npy")
    wanted = alone(model, path, frame=frame)
    called: list[int] = []
    lift = long_files.lift_long
    monkeypatch.setattr(long_files, "lift_long", lambda *a, **more: called.append(len(a[1])) or lift(*a, **more))
    assert run(tmp_path / "in", tmp_path / "out", long=1000, frame=frame, model=model).done == 1
    assert called == [3000, 3000]
    got = read_lifted(tmp_path / "out" / "week.lifted.npz")
    size = np.ones(2) if frame == "object" else wanted.scale
    for name in ("joints", "uncertainty", "uncertainty_xy", "centers"):
        mine, theirs = getattr(got, name), getattr(wanted, name)
        assert (mine is None) == (theirs is None) == (not uncertainty and "uncertainty" in name)
        if mine is not None:
            unit = size.reshape(-1, *[1] * (mine.ndim - 1))
            np.testing.assert_allclose(mine / unit, theirs / unit, rtol=0, atol=1e-5 if name == "centers" else 1e-6)
    np.testing.assert_allclose(got.scale, wanted.scale, rtol=1e-6)
    np.testing.assert_allclose(got.rotation, wanted.rotation, atol=1e-6)
    assert np.array_equal(got.visible, wanted.visible) and got.skeleton == wanted.skeleton
    assert not (tmp_path / "out" / "work").exists()


def test_long_recordings_of_hands_are_told_which_hand_each_track_is(model: str) -> None:
    keypoints = np.random.default_rng(0).normal(300, 50, (2, 700, 21, 2)).astype(np.float32)
    ones, hands = np.ones(keypoints.shape[:3], np.float32), ("left_hand", "right_hand")
    tracks = KeypointTracks(keypoints, ones, rig("mediapipe_hand_21"), hands, source="hands.json")
    lifter = load(model)
    options = {"min_confidence": 0.3, "frame": "camera", "mirror": False, "pitch": None}
    with long_files.lift_on_disk(lifter, tracks, None, **options) as found:  # type: ignore[arg-type]
        for index, scale in enumerate(found.scale):
            wanted = lift_tracks(lifter, tracks).joints[index]
            np.testing.assert_allclose(found.joints[index], wanted, atol=1e-5 * scale)
            unsaid = lift_tracks(lifter, replace(tracks, tracks=("a", "b"))).joints[index]
            assert abs(found.joints[index] - unsaid).max() > 1e-3 * scale


def test_a_long_recording_is_taken_up_where_a_kill_stopped_it(
    run: Run, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from olift_fast.streaming import long_recordings

    (tmp_path / "in").mkdir()
    path = two_animals(tmp_path / "in" / "week.npy")
    chunks: list[int] = []
    lift = long_recordings.run

    class Killed(BaseException):
        pass

    def dying(*arguments: Any, **options: Any) -> Any:
        chunks.append(1)
        if len(chunks) == 3:
            raise Killed
        return lift(*arguments, **options)

    monkeypatch.setattr(long_recordings, "run", dying)
    monkeypatch.setattr(long_files.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(Killed):
        run(tmp_path / "in", tmp_path / "out", long=1000)
    monkeypatch.undo()
    assert list((tmp_path / "out" / "work").iterdir())
    before = len(chunks)
    counted: list[int] = []
    monkeypatch.setattr(long_recordings, "run", lambda *a, **more: counted.append(1) or lift(*a, **more))
    from archives import lift_with

    from olift_fast.archive import archiving

    def here(packs: Any, setup: Any, stop: Any) -> Any:
        worker = lifting.Lifting(setup)
        for pack in packs:
            yield from worker.lift(pack)

    monkeypatch.setattr(archiving, "_executor", lambda *_: here)
    assert lift_with(model, tmp_path / "in", tmp_path / "out", long=1000).done == 1
    assert before == 3 and len(counted) == 2 * 3 - 2
    got, wanted = read_lifted(tmp_path / "out" / "week.lifted.npz"), alone(model, path)
    assert same(got, got) and np.allclose(got.joints, wanted.joints, atol=1e-6 * wanted.scale.max(), equal_nan=True)
