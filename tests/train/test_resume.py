"""A training that stops or is killed, and resumes, gives the same weights bit for bit; and what is refused."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from olift_fast.errors import InputError
from olift_fast.model import Lifter
from olift_fast.train import fit, load_config
from olift_fast.train.state import FILE


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a run: weights, average, moments, random numbers."""
    return load_file(folder / FILE)


def assert_same(folder: Path, other: Path) -> None:
    one, two = weights(folder), weights(other)
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    shipped = [load_file(path / "model.safetensors") for path in (folder, other)]
    assert all(torch.equal(shipped[0][name], shipped[1][name]) for name in shipped[0])


def losses(folder: Path) -> list[tuple[str, str]]:
    with (folder / "log.csv").open() as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "optimizer"), [(0, "adamw"), (2, "adamw"), (0, "muon")])
def test_resumed_is_uninterrupted_to_the_bit(tiny: Path, tmp_path: Path, workers: int, optimizer: str) -> None:
    same = ["schedule.optimizer=muon", "data.lengths={2=1, 4=1}"] if optimizer == "muon" else []
    fit(load_config(tiny, [f"run.out='{tmp_path / 'whole'}'", *same]))
    for stop in (13, 20, 40):
        torch.manual_seed(stop)
        fit(load_config(tiny, [f"run.stop_after={stop}", f"run.workers={workers}", *same]), resume=True)
    assert_same(tmp_path / "whole", tmp_path / "out")
    # A run that stops between two lines of the log writes one, and the means of the next line begin after it.
    assert [step for step, _ in losses(tmp_path / "out")] == ["10", "13", "20", "30", "40"]
    assert losses(tmp_path / "out")[-2:] == losses(tmp_path / "whole")[-2:]


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_is_uninterrupted_to_the_bit(
    tiny: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    out, changes = tmp_path / "out", ["schedule.steps=200", "run.save_every=7", "run.report_every=20"]
    arguments = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "olift_fast", "train", str(tiny), *arguments]
    whole = subprocess.Popen([*command, "--set", f"run.out='{tmp_path / 'whole'}'"], env=environment)
    kills = 0
    for pause in (0.0, 0.171):
        before = (out / FILE).stat().st_mtime_ns if (out / FILE).is_file() else 0
        process = subprocess.Popen([*command, "--resume"], env=environment, start_new_session=True)
        while process.poll() is None and not ((out / FILE).is_file() and (out / FILE).stat().st_mtime_ns != before):
            time.sleep(0.002)
        time.sleep(pause)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    assert subprocess.run([*command, "--resume"], env=environment, timeout=120).returncode == 0
    assert whole.wait(timeout=120) == 0
    assert_same(tmp_path / "whole", out)
    assert losses(tmp_path / "whole") == losses(out)
    assert not list(out.glob(".*"))


@pytest.mark.slow
def test_no_disk_space_keeps_the_state_before(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(load_config(tiny, [f"run.out='{tmp_path / 'whole'}'"]))
    fit(load_config(tiny, ["run.stop_after=10"]))
    before = weights(tmp_path / "out")
    whole = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        whole(path, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(InputError, match=rf"{FILE}: cannot be written: the disk is full"):
        fit(load_config(tiny), resume=True)
    monkeypatch.undo()
    after = weights(tmp_path / "out")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not list((tmp_path / "out").glob(".*"))
    fit(load_config(tiny), resume=True)
    assert_same(tmp_path / "whole", tmp_path / "out")


@pytest.mark.slow
def test_the_new_state_is_on_disk_before_it_takes_the_old_ones_place(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(load_config(tiny, ["run.stop_after=10"]))
    before = (tmp_path / "out" / FILE).read_bytes()

    whole = os.replace

    def refused(one: Path, other: Path) -> None:
        if other.name != FILE:
            return whole(one, other)
        assert one.stat().st_size > 0.9 * len(before)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.replace", refused)
    with pytest.raises(InputError, match=rf"{FILE}: cannot be written: Input/output error"):
        fit(load_config(tiny), resume=True)
    assert (tmp_path / "out" / FILE).read_bytes() == before


@pytest.mark.slow
def test_resume_of_another_run_is_refused_by_what_differs(tiny: Path, tmp_path: Path) -> None:
    fit(load_config(tiny, ["run.stop_after=5"]))
    with pytest.raises(InputError, match=rf"{tmp_path / 'out'}' holds a run: --resume goes on with it"):
        fit(load_config(tiny))
    with pytest.raises(
        InputError, match=r"schedule.steps is 40 there, 50 here; model.changes.width is 16 there, 32 here"
    ):
        fit(load_config(tiny, ["schedule.steps=50", "model.changes.width=32"]), resume=True)
    fit(load_config(tiny, ["run.stop_after=6", "run.save_every=1", "run.workers=1"]), resume=True)


@pytest.mark.slow
def test_resume_of_another_version_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(load_config(tiny, ["run.stop_after=5"]))
    monkeypatch.setattr("olift_fast.train.state.__version__", "99.0")
    with pytest.raises(InputError, match=r"version is '.*' there, '99.0' here"):
        fit(load_config(tiny), resume=True)
    monkeypatch.undo()
    monkeypatch.setattr("olift_fast.train.state.FORMAT_VERSION", 99)
    with pytest.raises(InputError, match="format_version must be 99, got 2"):
        fit(load_config(tiny), resume=True)


@pytest.mark.slow
def test_resume_where_there_is_nothing_starts(tiny: Path, tmp_path: Path) -> None:
    fit(load_config(tiny, ["run.stop_after=1"]), resume=True)
    assert (tmp_path / "out" / FILE).is_file()


@pytest.mark.parametrize("name", ["weights.ckpt", "weights.pt", "weights.safetensors"])
def test_pickled_start_is_refused_with_the_way_to_convert(tiny: Path, tmp_path: Path, name: str) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / name)
    told = r"weights\..*: is a pickle, which can run code, .* Convert it once: .*torch.load.*save_pretrained"
    with pytest.raises(InputError, match=told):
        fit(load_config(tiny, [f"model.start='{tmp_path / name}'", "model.changes={}"]))
    folder = tmp_path / "theirs"
    folder.mkdir()
    torch.save({"weights": torch.zeros(3)}, folder / "last.ckpt")
    with pytest.raises(InputError, match=r"last.ckpt: is a pickle"):
        fit(load_config(tiny, [f"model.start='{folder}'", "model.changes={}"]))


@pytest.mark.parametrize("name", [FILE, "last.ckpt"])
def test_pickled_state_is_refused(tiny: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    torch.save({"step": 3}, tmp_path / "out" / name)
    with pytest.raises(InputError, match=rf"{name}: is a pickle"):
        fit(load_config(tiny), resume=True)


@pytest.mark.slow
def test_a_state_that_is_cut_off_or_of_something_else_is_refused(tiny: Path, tmp_path: Path) -> None:
    fit(load_config(tiny, ["run.stop_after=1"]))
    path = tmp_path / "out" / FILE
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="can't be read as safetensors"):
        fit(load_config(tiny), resume=True)
    path.write_bytes((tmp_path / "out" / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match="is not the state of a training"):
        fit(load_config(tiny), resume=True)
    assert isinstance(Lifter.from_pretrained(tmp_path / "out"), Lifter)
