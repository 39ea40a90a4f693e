"""TOML files of trainings: what is read, and errors of one line that name file, key, value and what is wanted."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import WEIGHTS
from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.train import EarlyStop, Mixture, ModelPlan, load_config
from olift_fast.train.config import recipes
from olift_fast.train.fitting import build
from olift_fast.train.mixture import REAL_WEIGHTS
from olift_fast.train.toml import differences, plain


def test_all_kinds_of_values_arrive_as_what_they_are(tiny: Path) -> None:
    tiny.write_text(
        tiny.read_text()
        + """
[early_stop]
every = 20
min_gain = 1
data = "recordings"
"""
    )
    config = load_config(
        tiny,
        [
            "data.speed=[1, 2.5]",
            "data.real=motion 3d",
            "data.corruption.clean=1",
            "data.real_weights={mine=3}",
            "schedule.learning_rate=3e-4",
            "run.compile=true",
        ],
    )
    assert config.data.speed == (1.0, 2.5) and config.data.real == Path("motion 3d")
    assert config.data.corruption == Corruption(clean=1.0) and config.data.real_weights == {"mine": 3.0}
    assert config.schedule.learning_rate == 3e-4 and config.schedule.look_ahead == {0: 1.0, 2: 1.0}
    assert config.run.compile is True and config.run.out == tiny.parent / "out"
    assert config.early_stop == EarlyStop(every=20, min_gain=1.0, data=Path("recordings"))
    assert build(config.model).config == LifterConfig(16, 2, 1, 1, (2, 2), frequencies=8)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("schedule.stepz=3", "there is no key schedule.stepz (= 3), wanted one of steps, optimizer, learning_rate,"),
        ("schedule.steps=3.5", "schedule.steps must be a whole number, got 3.5"),
        ("schedule.steps=true", "schedule.steps must be a whole number, got True"),
        ("schedule.steps=many", "schedule.steps must be a whole number, got 'many'"),
        ("schedule.steps=0", "schedule: steps must be >= 1, got 0"),
        ("schedule.learning_rate=nan", "schedule.learning_rate must be a finite number, got nan"),
        ("schedule.look_ahead.soon=1", "schedule.look_ahead.soon must have a whole number as its key, got 'soon'"),
        ("schedule.look_ahead={}", "look_ahead must be frames >= 0 with shares >= 0, not all 0, got {}"),
        ("data.speed=[1]", "data.speed must be an array of 2, got [1]"),
        ("data.speed=[1, 'fast']", "data.speed[1] must be a number, got 'fast'"),
        ("data.camera=3", "data.camera must be a table, got 3"),
        ("data.families={cat='many'}", "data.families.cat must be a number, got 'many'"),
        ("data.seed=3", "data.seed follows run.seed: set that, got data.seed = 3"),
        ("data.lengths={}", "lengths must be frames >= 1 with shares >= 0, not all 0, got {}"),
        ("data.lengths={0=1}", "lengths must be frames >= 1 with shares >= 0, not all 0, got {0: 1.0}"),
        ("data.real_frames={mine=0}", "real_frames.mine must be >= 1, got 0"),
        ("schedule.optimizer=sgd", "schedule.optimizer must be one of 'adamw', 'muon', got 'sgd'"),
        ("schedule.alignment=joint", "schedule.alignment must be one of 'sequence', 'frame', got 'joint'"),
        ("run.precision=int8", "run.precision must be one of 'auto', 'float32', 'bfloat16', got 'int8'"),
        ("run.compile=1", "run.compile must be true or false, got 1"),
        ("run.out=3", "run.out must be a path as a string, got 3"),
        ("run.workers=-1", "run: workers must be >= 0, got -1"),
        ("early_stop.patience=0", "early_stop: patience must be >= 1, got 0"),
        ("run.seed=9223372036854775808", "run: seed must be <= 9223372036854775807, got 9223372036854775808"),
        ("run.workers=5000", "run: workers must be <= 1024, got 5000"),
        ("run.out=a\0b", "run.out must be a path as a string, got 'a\\x00b'"),
        (f"schedule.clip=1{'0' * 400}", "schedule.clip must be a number that a float can hold, got 1000"),
        (f"schedule.steps={'9' * 5000}", "schedule.steps must be a whole number, got '9999"),
        (f"schedule.steps={'[' * 5000}", "schedule.steps must be a whole number, got '[[[["),
        (f"schedule.steps=[{'1,' * 5000}]", "schedule.steps must be a whole number, got [1, 1, 1"),
        (f"model.name={'x' * 301}", "model: name must be a string of at most 300 characters, got 'xxx"),
        (f"data.camera.views={{level=1, {'x' * 9000}=1}}", "level, top, below, not all 0, got {'level': 1.0, 'xxxx"),
        ("\x1b[2Jx=1", "there is no key \\x1b[2Jx (= 1), wanted one of schedule, run"),
        ("optimizer=1", "there is no key optimizer (= 1), wanted one of schedule, run, model, data, early_stop"),
        ("schedule=1", "schedule must be a table, got 1"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tiny: Path, change: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        load_config(tiny, [change])
    assert told in str(error.value) and "--set" in str(error.value)
    assert str(error.value).isprintable() and len(str(error.value)) < 600 + len(str(tiny))


def test_errors_name_the_file(tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace("steps = 40", "steps = '40'"))
    with pytest.raises(InputError, match=rf"{tiny}: schedule.steps must be a whole number, got '40'"):
        load_config(tiny)
    tiny.write_text(tiny.read_text().replace("steps = '40'\n", ""))
    with pytest.raises(InputError, match=rf"{tiny}: schedule.steps is missing, wanted a whole number"):
        load_config(tiny)
    for text in (b"[run\n", b"a = " + b"9" * 5000, b"\xff", b"\x1b[2J", b"a = [" * 20_000, b"a = 2026-13-45"):
        tiny.write_bytes(text)
        with pytest.raises(InputError, match=rf"{tiny}: is not TOML") as error:
            load_config(tiny)
        assert str(error.value).isprintable()
    tiny.write_text("#" * 2**20 + "\n")
    with pytest.raises(InputError, match=rf"{tiny}: must be a file of at most 1,048,576 bytes, got more"):
        load_config(tiny)
    with pytest.raises(InputError, match=rf"{tiny.parent}: can't be read: Is a directory"):
        load_config(tiny.parent)
    tiny.write_text("[run\n")
    with pytest.raises(InputError, match=rf"{tiny}: is not TOML"):
        load_config(tiny)
    with pytest.raises(InputError, match=r"absent: no such file, nor a recipe of this package \(finetune, small, "):
        load_config("absent")


@pytest.mark.parametrize("change", ["schedule.steps", "=3", "schedule..steps=3", "schedule.steps.most=3"])
def test_unreadable_changes_are_told(tiny: Path, change: str) -> None:
    with pytest.raises(InputError, match="--set"):
        load_config(tiny, [change])


@pytest.mark.parametrize("name", recipes())
def test_recipes_are_complete(name: str) -> None:
    config = load_config(name)
    assert config.schedule.optimizer == "muon" and config.run.precision == "auto"
    if not name.startswith("small"):
        return
    assert config.run.out == Path(name)
    assert config.data.real == Path("motion3d") and set(config.data.real_weights) >= set(REAL_WEIGHTS)
    assert config.data.families is None or set(config.data.families) >= set(WEIGHTS)
    if not config.data.real_whole:
        assert set(config.data.real_weights) == set(REAL_WEIGHTS)
    assert config.data.skeletons * config.data.clips * config.data.longest == 4 * 2 * 48


def test_the_recipe_of_small_causal_starts_from_what_is_shipped() -> None:
    config = load_config("small-causal")
    lifter = build(config.model)
    assert lifter.config.window == (8, 0) and lifter.name == "small-causal"
    assert config.schedule.look_ahead == {0: 4.0, 1: 1.0, 2: 1.0, 4: 2.0, 8: 2.0}


def test_a_started_model_must_be_what_the_preset_says(tmp_path: Path, tiny: Path) -> None:
    folder = Lifter(LifterConfig(width=32, heads=4), name="mine").save_pretrained(tmp_path / "mine")
    text = tiny.read_text()
    tiny.write_text(text[text.index("[data]") :] + f"\n[model]\nstart = '{folder}'\n")
    started = build(load_config(tiny).model)
    assert started.name == "mine" and started.config == LifterConfig(width=32, heads=4)
    with pytest.raises(InputError, match=r"is not of preset 'small': width is 32 there, 128 here"):
        build(load_config(tiny, ["model.preset=small"]).model)
    assert build(load_config(tiny, ["model.changes.window=[4, 0]"]).model).config.window == (4, 0)
    assert build(load_config(tiny, ["model.changes.kinds=4"]).model).config.kinds == 4
    with pytest.raises(InputError, match=r"must be of window, pitch, kinds, uncertainty with .*, got width"):
        build(load_config(tiny, ["model.changes.width=64"]).model)
    assert load_config(tiny, ["model.share=0.6"]).model.share == 0.6
    for share in ("0", "1.5", "-0.5"):
        with pytest.raises(InputError, match=r"share must be above 0, at most 1, got"):
            load_config(tiny, [f"model.share={share}"])
    with pytest.raises(InputError, match=r"share must be 1 without start, got 0.5"):
        ModelPlan(share=0.5)
    with pytest.raises(InputError, match=r"model.changes: unknown keys widht"):
        build(
            load_config(tiny, ["model.start=small", "model.changes.window=[4, 0]"]).model.__class__(
                changes={"widht": 3}
            )
        )


def test_a_config_as_json_tells_what_differs(tiny: Path) -> None:
    one, other = load_config(tiny), load_config(tiny, ["schedule.look_ahead={0=1, 2=3}", "data.real=there"])
    text = json.dumps(plain(one))
    assert differences(json.loads(text), plain(one)) == []
    assert differences(json.loads(text), plain(other)) == [
        ("schedule.look_ahead.2", 1.0, 3.0),
        ("data.real", None, "there"),
    ]


def test_unknown_families_are_told_before_any_process_starts(tiny: Path) -> None:
    from olift_fast.train import fit

    config = load_config(tiny, ["data.families={unicorn=1}", "run.workers=2"])
    assert isinstance(config.data, Mixture)
    with pytest.raises(InputError, match=r"data: families must be some of quadruped.*got unicorn"):
        fit(config)


@pytest.mark.skipif(os.name != "posix", reason="needs devices and pipes")
def test_a_device_and_a_large_file_are_refused_and_a_pipe_is_read(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/dev/zero: is a device, wanted a file"):
        load_config("/dev/zero")
    large, pipe = tmp_path / "large.toml", tmp_path / "pipe"
    large.write_text("#" * (2**20 + 1))
    with pytest.raises(InputError, match=r"large.toml: must be a file of at most 1,048,576 bytes, got more"):
        load_config(large)
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(tiny.read_bytes(),))
    writer.start()
    assert load_config(pipe) == load_config(tiny)
    writer.join()
