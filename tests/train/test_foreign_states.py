"""Saved states of trainings: damage of any kind is told in one line, and nothing damaged is trained on."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load as parse
from safetensors.torch import save
from safetensors_headers import header, with_header

from olift_fast.errors import InputError
from olift_fast.io.in_child import in_child
from olift_fast.train import Config, fit, load_config
from olift_fast.train.fitting import build, optimizers_of
from olift_fast.train.state import CHECKSUM, FILE, State, load_state, save_state
from olift_fast.train.state_checks import checksum

Damage = Callable[[bytes], bytes]


def fresh(config: Config) -> State:
    torch.manual_seed(1)
    lifter = build(config.model)
    return State(lifter, build(config.model).eval(), optimizers_of(lifter, config.schedule))


@pytest.fixture(scope="module", params=["adamw", "muon"])
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A training that is never run, with an early stop, so that its state has the best weights, too."""
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(
        "[model]\nname = 'tiny'\nchanges = { width = 8, heads = 2, motion_layers = 1, space_layers = 1, window = 2, "
        f"frequencies = 4 }}\n[schedule]\nsteps = 40\noptimizer = '{request.param}'\n[run]\nout = 'out'\n[early_stop]\n"
    )
    return load_config(path)


@pytest.fixture(scope="module")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a state after a step."""
    state, folder = fresh(config), tmp_path_factory.mktemp("state")
    loss = sum(parameter.square().sum() for parameter in state.lifter.parameters())
    assert isinstance(loss, torch.Tensor)
    loss.backward()  # type: ignore[no-untyped-call]
    for optimizer in state.optimizers:
        optimizer.step()
    state.step, state.losses, state.score, state.best_score, state.stale = 3, [loss.detach()] * 2, 30.5, 29.5, 1
    state.best = build(config.model).eval()
    save_state(state, config, 1, folder)
    return (folder / FILE).read_bytes()


def facts(**changes: Any) -> Damage:
    """Other facts in the header, with the right checksum: what was written by another program."""
    return told(lambda known: known.update(changes))


def told(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(data: bytes) -> bytes:
        held, known = parse(data), facts_of(data)
        change(known)
        return save(held, metadata={"training": json.dumps(known | {CHECKSUM: checksum(known, held)})})

    return damage


def facts_of(data: bytes) -> dict[str, Any]:
    """The facts without the checksum."""
    known: dict[str, Any] = json.loads(header(data)["__metadata__"]["training"])
    del known[CHECKSUM]
    return known


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    """Other tensors, with the right checksum."""

    def damage(data: bytes) -> bytes:
        held, known = parse(data), facts_of(data)
        change(held)
        return save(held, metadata={"training": json.dumps(known | {CHECKSUM: checksum(known, held)})})

    return damage


def put(name: str, value: torch.Tensor) -> Damage:
    return tensors(lambda held: held.update({name: value}))


def written(text: str) -> Damage:
    """Other text in place of the facts."""
    return lambda data: with_header(data, lambda entries: entries["__metadata__"].update(training=text))


def summed(value: Any) -> Damage:
    """Another checksum, or none, where it is None."""

    def damage(data: bytes) -> bytes:
        known = facts_of(data)
        return written(json.dumps(known if value is None else known | {CHECKSUM: value}))(data)

    return damage


STEP = "optimizer.0.0.step"
VARIANTS: dict[str, tuple[Damage, str]] = {
    "empty": (lambda data: b"", "can't be read as safetensors: its header must end within its 0 bytes"),
    "cut": (lambda data: data[: len(data) // 2], "can't be read as safetensors"),
    "longer": (lambda data: data + b"x", "can't be read as safetensors"),
    "a checkpoint": (
        lambda data: with_header(data, lambda entries: entries.update(__metadata__={"format": "pt"})),
        "is not the state of a training",
    ),
    "facts that are no JSON": (written("{"), "is not the state of a training"),
    "facts in a list": (written("[]"), "is not the state of a training"),
    "a bomb in the facts": (written("[" * 10**6), "is not the state of a training"),
    "half a letter in the facts": (written('{"format": "\ud800"}'), "is not the state of a training"),
    "facts twice": (written('{"format": 1, "format": 2}'), "is not the state of a training"),
    "version": (facts(version="0.0\x1b[2J"), r"is of another run: version is '0.0\\x1b\[2J' there"),
    "version missing": (told(lambda known: known.pop("version")), "version is None there"),
    "format version": (facts(format_version=[2]), r"format_version must be 2, got \[2\]"),
    "format version huge": (facts(format_version="9" * 5000), "format_version must be 2, got '99999"),
    "processes": (facts(processes=2), "processes is 2 there, 1 here"),
    "device": (facts(device="cuda"), "device is 'cuda' there, 'cpu' here"),
    "config is a number": (facts(config=5), "config is 5 there, {.* here"),
    "config with codes": (
        told(lambda known: known["config"].update({"\x1b[2J\n": 1})),
        r"\\x1b\[2J\\n is 1 there, None here",
    ),
    "config of another training": (
        told(lambda known: known["config"]["schedule"].update({f"x{number}": 1 for number in range(1000)})),
        r"schedule.x0 is 1 there, None here; .*; … \(1000 in all\)",
    ),
    "step negative": (facts(step=-1), "step must be a whole number from 0 to 40, got -1"),
    "step beyond the end": (facts(step=10**30), "step must be a whole number from 0 to 40, got 1000"),
    "step is text": (facts(step="3"), "step must be a whole number from 0 to 40, got '3'"),
    "step is a fraction": (facts(step=3.5), "step must be a whole number from 0 to 40, got 3.5"),
    "step is true": (facts(step=True), "step must be a whole number from 0 to 40, got True"),
    "step missing": (told(lambda known: known.pop("step")), "step must be a whole number .*, got None"),
    "stale negative": (facts(stale=-1), "stale must be a whole number from 0 to 3, got -1"),
    "stale is null": (facts(stale=None), "stale must be a whole number from 0 to 3, got None"),
    "score is text": (facts(score="low"), "score must be a number or null, got 'low'"),
    "score missing": (told(lambda known: known.pop("score")), "score must be a number or null, got None"),
    "best score is a list": (facts(best_score=[1]), r"best_score must be a number or null, got \[1\]"),
    "best score without weights": (tensors(lambda held: _drop(held, "best.")), "must hold 'best.decoder"),
    "best weights without score": (facts(best_score=None), "no other tensors than the model has, got 'best.decoder"),
    "a weight missing": (tensors(lambda held: _drop(held, "lifter.encoder.side")), "must hold 'lifter.encoder.side'"),
    "all averages missing": (tensors(lambda held: _drop(held, "average.")), "must hold 'average.decoder"),
    "a tensor more": (put("\x1b[2J", torch.ones(1)), r"no other tensors than the model has, got '\\x1b\[2J'"),
    "a weight of another shape": (put("lifter.encoder.side", torch.ones(9)), r"of shape \(8,\), got \(9,\)"),
    "a weight in halves": (put("lifter.encoder.side", torch.ones(8).half()), "of dtype F32, got F16"),
    "a weight NaN": (put("lifter.encoder.side", torch.full((8,), float("nan"))), "must hold finite numbers, got nan"),
    "a moment infinite": (put(STEP, torch.tensor(float("inf"))), f"'{STEP}' must hold finite numbers, got inf"),
    "a moment missing": (tensors(lambda held: _drop(held, STEP)), f"must hold '{STEP}'"),
    "a moment of another shape": (put(STEP, torch.ones(3)), r"must be of shape \(\), got \(3,\)"),
    "a moment of nobody": (put("optimizer.0.9999.step", torch.tensor(1.0)), "no other tensors .*9999.step'"),
    "a moment of no number": (put("optimizer.0.x.step", torch.tensor(1.0)), "no other tensors .*0.x.step'"),
    "a moment of another optimizer": (put("optimizer.7.0.step", torch.tensor(1.0)), "no other tensors .*7.0.step'"),
    "losses missing": (tensors(lambda held: _drop(held, "losses")), "losses must be one float32 a step at most, got N"),
    "losses too many": (put("losses", torch.ones(4)), "losses must be one float32 a step at most"),
    "losses in a matrix": (put("losses", torch.ones(1, 1)), "losses must be one float32 a step at most"),
    "losses of whole numbers": (put("losses", torch.ones(2).long()), "losses must be one float32 a step at most"),
    "no random numbers": (tensors(lambda held: _drop(held, "random.cpu")), "must hold 'random.cpu'"),
    "few random numbers": (put("random.cpu", torch.ones(7).byte()), r"'random.cpu' must be of shape \(\d+,\), got"),
    "random numbers of a GPU": (put("random.cuda", torch.ones(16).byte()), "no other tensors .*'random.cuda'"),
    "wrong random numbers": (put("random.cpu", torch.full((5056,), 255).byte()), "does not hold a whole training"),
    "another checksum": (summed("\x1b[2J" * 9), rf"is damaged: its {CHECKSUM} must be [0-9a-f]{{64}}, got '\\x1b\[2J"),
    "a checksum in a list": (summed([[[]]]), r"is damaged: .*, got \[\[\[\]\]\]"),
    "an empty checksum": (summed(""), "is damaged: .*, got ''"),
}


def _drop(held: dict[str, torch.Tensor], prefix: str) -> None:
    for name in [name for name in held if name.startswith(prefix)]:
        del held[name]


def load(config: Config, folder: Path) -> None:
    torch.set_num_threads(1)
    load_state(fresh(config), config, 1, folder)


def refusal(config: Config, folder: Path) -> str:
    with pytest.raises(InputError) as error:
        in_child(load, config, folder, seconds=5.0, memory=150 * 2**20)
    return str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_wrong_with_a_state_is_told_in_one_line(
    tmp_path: Path, config: Config, whole: bytes, name: str
) -> None:
    damage, message = VARIANTS[name]
    (tmp_path / FILE).write_bytes(damage(whole))
    told = refusal(config, tmp_path)
    assert re.search(message, told), told
    assert told.startswith(f"{tmp_path / FILE}: ") and told.isprintable() and len(told) < 900 + len(str(tmp_path))


def test_a_whole_state_is_loaded_with_a_checksum_and_without(tmp_path: Path, config: Config, whole: bytes) -> None:
    """Earlier versions wrote none."""
    old = summed(None)(whole)
    assert CHECKSUM.encode() in whole and CHECKSUM.encode() not in old
    loaded = []
    for number, data in enumerate((whole, old)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / FILE).write_bytes(data)
        state = fresh(config)
        load_state(state, config, 1, folder)
        save_state(state, config, 1, folder)
        loaded.append((folder / FILE).read_bytes())
    assert loaded == [whole, whole]


def test_any_byte_that_changes_is_noticed(tmp_path: Path, config: Config, whole: bytes) -> None:
    draw = random.Random(4)
    head, noticed = 8 + int.from_bytes(whole[:8], "little"), 0
    places = [*draw.sample(range(head), 60), *draw.sample(range(head, len(whole)), 60)]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << draw.randrange(8)
        (tmp_path / FILE).write_bytes(changed)
        # Only what is between the words of the header may differ.
        if json_alike(bytes(changed), whole):
            continue
        with pytest.raises(InputError):
            load_state(fresh(config), config, 1, tmp_path)
        noticed += 1
    assert noticed > 100


def json_alike(one: bytes, other: bytes) -> bool:
    try:
        length = 8 + int.from_bytes(other[:8], "little")
        return header(one) == header(other) and one[:8] == other[:8] and one[length:] == other[length:]
    except (ValueError, RecursionError):
        return False


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices")
@pytest.mark.parametrize("resume", [True, False])
def test_a_state_that_is_no_regular_file_is_refused_before_training(tiny: Path, tmp_path: Path, resume: bool) -> None:
    path = tmp_path / "out" / FILE
    path.parent.mkdir()
    for make, kind in (
        (lambda: os.mkfifo(path), "a pipe"),
        (lambda: path.symlink_to("/dev/zero"), "a device"),
        (path.mkdir, "a folder"),
    ):
        make()
        with pytest.raises(InputError, match=rf"{FILE}: is {kind}, wanted a file"):
            fit(load_config(tiny), resume=resume)
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (b"step,loss,learning_rate,clips_per_second,score\n\xff,1,1,1,\n", "is not the log of a training"),
        (b"step,loss,learning_rate,clips_per_second,score\nx\x1b[2J,1,1,1,\n", r"lines must begin with a step .*\\x1b"),
        (b"step,loss,learning_rate,clips_per_second,score\n1,1,1,1,1,1,1\n", "at most 5 values"),
        (b"step,\x1b[2J\n1,1\n", r"columns must be step, .*, got step, \\x1b\[2J"),
        (b'step,loss,learning_rate,clips_per_second,score\n"' + b"1" * 200_000 + b"\n", "is not the log of a training"),
        ("step,loss,learning_rate,clips_per_second,score\n٣,1,1,1,\n".encode(), "lines must begin with a step"),
    ],
)
def test_a_damaged_log_is_told_in_one_line(tiny: Path, tmp_path: Path, log: bytes, message: str) -> None:
    fit(load_config(tiny, ["run.stop_after=1"]))
    (tmp_path / "out" / "log.csv").write_bytes(log)
    with pytest.raises(InputError, match=rf"log\.csv: .*{message}") as error:
        fit(load_config(tiny, ["run.stop_after=1"]), resume=True)
    assert str(error.value).isprintable()


def test_what_a_killed_training_left_is_removed_but_nothing_through_a_link(tiny: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").write_text("x")
    (out / ".writing-1" / "deep").mkdir(parents=True)
    (out / ".writing-2").symlink_to(mine)
    (out / ".writing-3").write_text("x")
    for name in (f".{FILE}.1234.tmp.safetensors", ".log.csv.1234.tmp.csv"):
        (out / name).write_text("x")
    fit(load_config(tiny, ["run.stop_after=1"]), resume=True)
    assert (mine / "precious").read_text() == "x"
    assert {path.name for path in out.glob(".*")} <= {".writing-2", ".writing-3"}
