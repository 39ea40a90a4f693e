"""Checkpoints: a round trip, the shipped one, and one clear line for each broken file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.model.checkpoints import SHIPPED, as_model, shipped

TINY = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, window=(2, 1), frequencies=8)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return Lifter(TINY, name="tiny").save_pretrained(tmp_path / "tiny")


@pytest.mark.slow
def test_round_trip(saved: Path) -> None:
    loaded = Lifter.from_pretrained(saved)
    torch.manual_seed(0)
    original = Lifter(TINY, name="tiny").eval()
    keypoints = torch.randn(1, 9, 4, 2)
    assert torch.equal(loaded(keypoints), original(keypoints))
    assert (loaded.name, loaded.config, loaded.training) == ("tiny", TINY, False)
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]


def test_what_ships_is_small_and_loads() -> None:
    assert "small" in shipped()
    for name in shipped():
        lifter = Lifter.from_pretrained(name)
        assert lifter.name == name
        assert (SHIPPED / name / "README.md").is_file()
        assert sum(path.stat().st_size for path in (SHIPPED / name).iterdir()) < 10 * 2**20
    for name in ("small", "small-causal"):
        lifter = Lifter.from_pretrained(name)
        assert lifter.config == LifterConfig.preset(name) and lifter.name == name


def test_a_folder_of_a_shipped_name_is_not_taken_for_what_ships(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Lifter(TINY, name="mine").save_pretrained("small")
    assert Lifter.from_pretrained("small").name == Lifter.from_pretrained().name == "small"
    assert Lifter.from_pretrained("./small").name == Lifter.from_pretrained(Path("small")).name == "mine"
    assert [as_model(Path(name)) for name in ("small", "other", "a/small")] == ["./small", "other", "a/small"]


def test_broken_checkpoints_are_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"model 'nope' is neither a folder nor a checkpoint of this package \(.*small"
    ):
        Lifter.from_pretrained("nope")
    with pytest.raises(InputError, match=r"config.json: can't be read: No such file"):
        Lifter.from_pretrained(tmp_path)
    config = json.loads((saved / "config.json").read_text())
    for change, message in [
        ({"format": "other"}, "config.json: is not the config of a lifter"),
        ({"format_version": 3}, "config.json: format_version must be 1 to 2, got 3"),
        ({"lifter": {**config["lifter"], "width": 15}}, "width must be a multiple of heads"),
        ({"lifter": {**config["lifter"], "width": 32}}, "model.safetensors: weights don't fit config.json"),
    ]:
        (saved / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(InputError, match=message):
            Lifter.from_pretrained(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json: is not JSON"):
        Lifter.from_pretrained(saved)
    (saved / "config.json").write_text(json.dumps(config))
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match=r"model.safetensors: can't be read as safetensors"):
        Lifter.from_pretrained(saved)


def test_folder_that_can_not_be_written(saved: Path) -> None:
    with pytest.raises(InputError, match="can't write the checkpoint"):
        Lifter(TINY).save_pretrained(saved / "config.json")
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
