"""The fuzzer of checkpoints: a short run finds nothing, an input can be made again, and what is wrong is seen."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import fuzz_checkpoints
import pytest
import torch
from fuzz_checkpoints import KINDS, Fuzzer, Target, judge, main, peak_memory, write

from olift_fast.errors import InputError


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return Target(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.slow
def test_some_damaged_checkpoints_of_every_kind(target: Target, tmp_path: Path) -> None:
    """A short run with a seed that stays; `make fuzz` runs longer, with another one each time."""
    fuzzer = Fuzzer(1, target, KINDS, tmp_path)
    assert fuzzer.fuzz(120, 400) == 400
    assert fuzzer.failures == {}
    for kind, tally in fuzzer.tallies.items():
        assert tally.read > 0 and tally.refused > 50 and tally.read + tally.refused == 100, kind
        assert len(tally.reasons) > 15, kind


@pytest.mark.slow
def test_a_whole_input_of_each_kind_is_read(target: Target, tmp_path: Path) -> None:
    whole = {"config": target.models[0], "weights": target.models[1], "state": {"training.safetensors": target.state}}
    whole["toml"] = {"input.toml": fuzz_checkpoints.TINY.encode()}
    for kind in KINDS:
        assert judge(target, kind, write(tmp_path / kind, whole[kind]), peak_memory()).kind == "read"


@pytest.mark.slow
def test_inputs_are_the_same_each_time(target: Target, tmp_path: Path) -> None:
    again = Target(tmp_path)
    assert again.models == target.models
    for kind in KINDS:
        made = [target.make(3, kind, number) for number in range(40)]
        assert made == [target.make(3, kind, number) for number in range(40)]
        assert len({str(files) for files in made}) > 30
        assert made != [target.make(4, kind, number) for number in range(40)]


def refusing(message: str) -> Callable[[str, Path], None]:
    def read(kind: str, folder: Path) -> None:
        raise InputError(message.format(folder))

    return read


def compute(kind: str, folder: Path) -> None:
    while True:
        pass


def fill(kind: str, folder: Path) -> None:
    torch.ones(10**8)


def warn(kind: str, folder: Path) -> None:
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def raise_key_error(kind: str, folder: Path) -> None:
    raise KeyError("width")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("read", "told"),
    [
        (refusing("{}: two\nlines"), "control characters"),
        (refusing("{}: \x1b[2J"), "control characters"),
        (refusing("{}: " + "x" * 5000), "refusal of 50"),
        (refusing("no file"), "refusal without the file"),
        (compute, "took over 0.2 s"),
        (fill, "took .* MB"),
        (warn, "RuntimeWarning: overflow"),
        (raise_key_error, "KeyError: 'width'"),
        (refusing("{}: a reason"), None),
    ],
)
def test_what_is_wrong_is_seen(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[str, Path], None], told: str | None
) -> None:
    monkeypatch.setattr(target, "read", read)
    monkeypatch.setattr(fuzz_checkpoints, "SECONDS", 0.2)
    monkeypatch.setattr(fuzz_checkpoints, "MEMORY", 10**8)
    base = fuzz_checkpoints.peak_memory()
    outcome = judge(target, "config", tmp_path, base)
    assert outcome.kind == ("failed" if told else "refused")
    assert told is None or pytest.raises(InputError, match=told).matches(InputError(outcome.message))


def end_process(kind: str, folder: Path) -> None:
    if b"sigma" not in (folder / "config.json").read_bytes():
        os.kill(os.getpid(), signal.SIGSEGV)
    raise InputError(f"{folder}: refused")


@pytest.mark.slow
def test_a_process_that_ends_is_a_failure_and_the_run_goes_on(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(target, "read", end_process)
    fuzzer = Fuzzer(5, target, ["config"], tmp_path)
    assert fuzzer.fuzz(60, 120) == 120
    tally = fuzzer.tallies["config"]
    assert tally.failed > 0 and tally.refused > 50 and tally.failed + tally.refused == 120
    (failure,) = fuzzer.failures.values()
    number = failure["numbers"][0]
    saved = (tmp_path / f"config-5-{number}" / "config.json").read_bytes()
    assert saved == target.make(5, "config", number)["config.json"]
    assert f"FAILED --seed 5 --kind config --number {number}" in capsys.readouterr().out


@pytest.mark.slow
def test_counts_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "counts.json"
    assert main(["--seed", "2", "--inputs", "8", "--save", str(tmp_path), "--out", str(out)]) == 0
    assert '"inputs": 8' in out.read_text() and '"failures": []' in out.read_text()
    assert main(["--seed", "2", "--kind", "weights", "--number", "5", "--save", str(tmp_path)]) == 0
