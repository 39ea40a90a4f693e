"""What a run lifts, what it leaves, and what it says: in this process, without workers."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
from archives import Run, archive_of, as_lifted_alone, lasting, records, table

from olift_fast.archive import archiving, lifting
from olift_fast.archive.archiving import LOCK
from olift_fast.errors import InputError, MissingExtraError
from olift_fast.folder_lock import InUseError


def counts(summary: Any) -> tuple[int, int, int, int]:
    return summary.done, summary.failed, summary.skipped, summary.failed_before


def test_every_file_gets_the_result_that_it_gets_alone_and_a_bad_one_its_row(
    run: Run, model: str, tmp_path: Path
) -> None:
    source, out = archive_of(tmp_path / "in"), tmp_path / "out"
    summary = run(source, out)
    assert counts(summary) == (5, 1, 0, 0) and summary.frames == sum(20 + 7 * number for number in range(5))
    assert as_lifted_alone(out, summary, model)
    found = records(out)
    bad = found["broken.csv"]
    assert bad["status"] == "failed" and not bad["error"].startswith(str(source)) and "\n" not in bad["error"]
    assert summary.errors == {bad["error"]: 1}
    good = found["mouse 1.csv"]
    assert good["output"] == "a/mouse 1.lifted.npz" and good["tracks"][0]["frames"] == 27
    assert 0 < good["tracks"][0]["hidden_share"] < 0.3 and good["tracks"][0]["bone_drift"] > 0
    assert good["output_bytes"] == (out / good["output"]).stat().st_size
    assert {path.name for path in out.iterdir()} >= {"a", "b c", "manifest", "manifest.csv"}
    assert not list(out.rglob("*.tmp*")) and not (out / LOCK).exists()


def test_the_same_again_lifts_nothing_and_changes_no_file(run: Run, tmp_path: Path) -> None:
    source, out = archive_of(tmp_path / "in"), tmp_path / "out"
    run(source, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert counts(run(source, out)) == (0, 0, 5, 1)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_what_has_changed_is_lifted_anew_and_says_why(run: Run, model: str, tmp_path: Path) -> None:
    source, out = archive_of(tmp_path / "in"), tmp_path / "out"
    run(source, out)
    table(source / "a" / "mouse 1.csv", seed=99)
    os.utime(source / "a" / "mouse 3.csv")
    (out / "b c" / "mouse 0.lifted.npz").unlink()
    (out / "b c" / "mouse 2.lifted.npz").write_bytes(b"x")
    table(source / "new.csv")
    summary = run(source, out)
    assert counts(summary) == (4, 0, 2, 1)
    why = {name: record["why"] for name, record in records(out).items()}
    assert why["mouse 1.csv"] == "the input changed" and why["new.csv"] == "new"
    assert why["mouse 0.csv"] == "its result is missing" and why["mouse 2.csv"] == "its result was changed"
    # A file that was only touched has the same content.
    assert why["mouse 3.csv"] == "new"
    assert as_lifted_alone(out, summary, model)
    summary = run(source, out, fps=30.0)
    assert counts(summary)[0] == 6 and summary.reasons == {"the settings changed": 7}
    assert records(out)["new.csv"]["why"] == "the settings changed: fps was None, is 30.0"


def test_another_model_or_version_lifts_all_anew(
    run: Run, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from olift_fast.model import Lifter

    source, out = archive_of(tmp_path / "in", count=2), tmp_path / "out"
    run(source, out)
    monkeypatch.setattr(archiving, "__version__", "99.0")
    run(source, out)
    assert records(out)["mouse 1.csv"]["why"].endswith(", is 99.0")
    other = Lifter.from_pretrained(model)
    other.name = "other"
    next(other.parameters()).data.mul_(1.01)
    other.save_pretrained(tmp_path / "other")
    summary = run(source, out, model=str(tmp_path / "other"))
    assert summary.reasons == {"the model changed": 3}


def test_failed_files_are_left_until_they_are_asked_for_or_change(run: Run, tmp_path: Path) -> None:
    source, out = archive_of(tmp_path / "in", count=1), tmp_path / "out"
    run(source, out)
    assert counts(run(source, out)) == (0, 0, 1, 1)
    assert counts(run(source, out, retry_failed=True)) == (0, 1, 1, 0)
    table(source / "a" / "broken.csv")
    assert counts(run(source, out)) == (1, 0, 1, 0)


def test_a_row_of_a_list_has_its_settings(run: Run, tmp_path: Path) -> None:
    table(tmp_path / "a.csv")
    table(tmp_path / "b.csv")
    (tmp_path / "list.csv").write_text("path,fps,frame\na.csv,25,object\nb.csv,,\nmissing.csv,,\n")
    summary = run(tmp_path / "list.csv", tmp_path / "out", fps=50.0)
    found = records(tmp_path / "out")
    assert found["a.csv"]["settings"]["fps"] == 25 and found["b.csv"]["settings"]["fps"] == 50
    assert found["a.csv"]["settings"]["frame"] == "object" and found["b.csv"]["settings"]["frame"] == "camera"
    assert counts(summary) == (2, 1, 0, 0) and found["missing.csv"]["error"] == "no such file"
    (tmp_path / "list.csv").write_text("path,fps,frame\na.csv,26,object\nb.csv,,\n")
    assert counts(run(tmp_path / "list.csv", tmp_path / "out", fps=50.0)) == (1, 0, 1, 0)


def test_a_dry_run_counts_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    source = archive_of(tmp_path / "in")
    summary = run(source, tmp_path / "out", dry_run=True)
    assert (summary.to_do, summary.done) == (6, 0)
    assert summary.bytes == sum(path.stat().st_size for path in source.rglob("*.csv"))
    assert summary.estimated_hours is not None and 0 < summary.estimated_hours < 1
    assert not (tmp_path / "out").exists()


def test_fail_fast_stops_after_the_first_failure(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in"
    for number in range(4):
        # Large enough to be lifted alone.
        (source / f"{number}").mkdir(parents=True)
        (source / f"{number}" / "bad.csv").write_text("no,keypoints\n1,2\n" + "x" * 300_000)
    summary = run(source, tmp_path / "out", fail_fast=True)
    assert (summary.failed, summary.interrupted) == (1, True)
    assert run(source, tmp_path / "out").failed == 3


def test_where_results_can_not_go(run: Run, tmp_path: Path) -> None:
    source = archive_of(tmp_path / "in", count=1)
    for out in (source, source / "lifted"):
        with pytest.raises(InputError, match=r"lies in .*, which is to be lifted"):
            run(source, out)
    with pytest.raises(InputError, match="lies in "):
        run(str(source / "**" / "*.csv"), source / "lifted")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file, wanted a folder"):
        run(source, tmp_path / "file")


def test_one_file_may_be_lifted_to_its_own_folder(run: Run, tmp_path: Path) -> None:
    table(tmp_path / "mouse.csv")
    assert run(tmp_path / "mouse.csv", tmp_path).done == 1 and (tmp_path / "mouse.lifted.npz").exists()


def test_a_format_whose_extra_is_missing_is_told_before_anything_is_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "movement" else find(name, *rest)
    )
    with pytest.raises(MissingExtraError, match=r"olift-fast\[io\]"):
        run(archive_of(tmp_path / "in", count=1), tmp_path / "out", suffix=".nc")
    assert not (tmp_path / "out").exists()


def test_reasons_of_failures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "_REASONS", 3)
    summary = archiving.Summary(0, 0, 0, 0, 0, 0, {})
    for number in (0, 1, 2, 3, 4, 1):
        summary.count({"status": "failed", "error": f"line {number}"})
    assert summary.errors == {"line 0": 1, "line 1": 2, "line 2": 1, "other reasons": 2}


def test_two_rows_that_would_be_one_result_are_refused(run: Run, tmp_path: Path) -> None:
    table(tmp_path / "a.csv")
    (tmp_path / "list.csv").write_text("path,output\na.csv,x\nb.csv,X\n")
    with pytest.raises(InputError, match=r"a\.csv and .*b\.csv would both be lifted to X\.lifted\.npz"):
        run(tmp_path / "list.csv", tmp_path / "out")
    (tmp_path / "list.txt").write_text("a.csv\n./a.csv\n")
    with pytest.raises(InputError, match=r"a\.csv: is listed twice"):
        run(tmp_path / "list.txt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="there is no lock")
def test_two_runs_at_once_are_refused_but_for_different_shards(run: Run, tmp_path: Path) -> None:
    from olift_fast.archive.archiving import alone_in
    from olift_fast.archive.destination import Destination

    source, out = archive_of(tmp_path / "in", count=1), Destination(str(tmp_path / "out"))
    for held, refused, allowed in (
        (None, (None, (1, 2)), ()),
        ((1, 2), (None, (1, 2)), ((2, 2), (1, 3))),
    ):
        with alone_in(out, held):
            for shard in refused:
                with pytest.raises(InUseError, match=rf"writes into it \(process {os.getpid()} on "):
                    run(source, tmp_path / "out", shard=shard)
            for shard in allowed:
                with alone_in(out, shard):
                    pass
    run(source, tmp_path / "out")


def test_an_error_of_the_program_is_a_row_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = archive_of(tmp_path / "in", count=3)
    quality = lifting.quality_of

    def broken(result: Any, *rest: Any) -> Any:
        if "mouse 1" in result.source:
            raise ZeroDivisionError("oops")
        return quality(result, *rest)

    read = lifting.read_liftable

    def reading(path: Path, *rest: Any, **more: Any) -> Any:
        if path.name == "mouse 2.csv":
            raise MemoryError
        return read(path, *rest, **more)

    monkeypatch.setattr(lifting, "quality_of", broken)
    monkeypatch.setattr(lifting, "read_liftable", reading)
    assert counts(run(source, tmp_path / "out")) == (1, 3, 0, 0)
    found = records(tmp_path / "out")
    assert "ZeroDivisionError: oops" in found["mouse 1.csv"]["error"]
    assert found["mouse 2.csv"]["error"] == "needs more memory than there is"


def test_a_full_disk_is_a_row_and_others_go_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = archive_of(tmp_path / "in", count=3)
    write = lifting.write_lifted

    def writing(result: Any, path: Path) -> Any:
        if path.name == "mouse 1.lifted.npz":
            raise InputError(f"{path}: cannot be written: the disk is full")
        return write(result, path)

    monkeypatch.setattr(lifting, "write_lifted", writing)
    assert counts(run(source, tmp_path / "out")) == (2, 2, 0, 0)
    assert records(tmp_path / "out")["mouse 1.csv"]["error"].endswith("the disk is full")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_a_pipe_in_a_list_is_a_row(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    table(tmp_path / "a.csv")
    (tmp_path / "list.txt").write_text("pipe.csv\na.csv\n")
    assert counts(run(tmp_path / "list.txt", tmp_path / "out")) == (1, 1, 0, 0)
    assert "is a pipe, wanted a file" in records(tmp_path / "out")["pipe.csv"]["error"]


def test_settings_and_models_that_cannot_be_are_told_before_anything_is_made(run: Run, tmp_path: Path) -> None:
    source = archive_of(tmp_path / "in", count=1)
    for options, told in (
        ({"skeleton": "absent.json"}, "absent.json"),
        ({"model": "absent"}, "model 'absent' is neither"),
        ({"pitch": 30.0}, "does not take the camera's pitch"),
        ({"pitch": 100.0}, "pitch must be from -90"),
        ({"suffix": ".mp4"}, "the name must end in"),
        ({"fps": -1.0}, "fps must be a positive number"),
        ({"shard": (3, 2)}, "shard must be K/N"),
        ({"workers": 0}, "workers must be >= 1"),
    ):
        with pytest.raises(InputError, match=told):
            run(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_events_tell_of_the_plan_each_file_and_the_end(run: Run, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    run(archive_of(tmp_path / "in", count=2), tmp_path / "out", on_event=events.append)
    assert [event["event"] for event in events] == ["planned", "file", "file", "file", "done"]
    assert (events[0]["to_do"], events[-1]["done"], events[-1]["failed"]) == (3, 2, 1)
    assert {event["path"]: event["status"] for event in events[1:-1]} == {
        record["path"]: record["status"] for record in records(tmp_path / "out").values()
    }


def test_a_cut_off_manifest_costs_the_file_that_was_in_work(run: Run, tmp_path: Path) -> None:
    source, out = archive_of(tmp_path / "in"), tmp_path / "out"
    run(source, out)
    before = {name: lasting(record) for name, record in records(out).items()}
    part = next((out / "manifest").glob("*.jsonl"))
    part.write_bytes(part.read_bytes()[:-30])
    assert counts(run(source, out))[:2] in ((1, 0), (0, 1))
    assert {name: lasting(record) for name, record in records(out).items()} == before
