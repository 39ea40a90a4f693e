"""The precision that a training chooses by itself."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from olift_fast.model import Lifter, LifterConfig
from olift_fast.train import precision
from olift_fast.train.config import load_config
from olift_fast.train.fitting import fit
from olift_fast.train.precision import faster, resolved
from olift_fast.train.state import precision_of


@pytest.fixture
def lifter() -> Lifter:
    return Lifter(LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, frequencies=8, mlp_ratio=1))


def delayed(lifter: Lifter, slow: bool) -> None:
    """Makes the forward pass take longer in bfloat16, or in float32."""

    def wait(*_: Any) -> None:
        if torch.is_autocast_enabled("cpu") is slow:
            time.sleep(0.1)

    lifter.register_forward_pre_hook(wait)


@pytest.mark.parametrize(("slow", "wanted"), [(True, "float32"), (False, "bfloat16")])
def test_the_faster_precision_is_chosen(lifter: Lifter, slow: bool, wanted: str) -> None:
    delayed(lifter, slow)
    before = [parameter.clone() for parameter in lifter.parameters()]
    random = torch.get_rng_state()
    assert faster(lifter, clips=1, frames=2, joints=3) == wanted
    assert all(torch.equal(*pair) for pair in zip(before, lifter.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in lifter.parameters())
    assert torch.equal(random, torch.get_rng_state()), "a training with a seed must not depend on the timing"


def test_a_processor_without_bfloat16_is_not_timed(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "faster", lambda _: "bfloat16")
    monkeypatch.setattr(precision, "why_not_products", lambda dtype: "no AVX512-BF16")
    assert resolved("auto", lifter) == "float32"
    monkeypatch.setattr(precision, "why_not_products", lambda dtype: None)
    assert resolved("auto", lifter) == "bfloat16"
    assert resolved("float32", lifter) == "float32"


def test_bfloat16_that_the_processor_lacks_is_warned_about(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "why_not_products", lambda dtype: "no AVX512-BF16")
    with pytest.warns(RuntimeWarning, match="many times slower than in float32: no AVX512-BF16"):
        assert resolved("bfloat16", lifter) == "bfloat16"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(precision, "why_not_products", lambda dtype: None)
        assert resolved("bfloat16", lifter) == "bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize("first", precision.PRECISIONS)
def test_a_run_that_resumes_keeps_its_precision(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: precision.Precision
) -> None:
    monkeypatch.setattr(precision, "why_not_products", lambda dtype: None)
    monkeypatch.setattr(precision, "faster", lambda lifter: first)
    fit(load_config(tiny, ["run.precision=auto", "run.stop_after=1"]))
    other = next(name for name in precision.PRECISIONS if name != first)
    monkeypatch.setattr(precision, "faster", lambda lifter: other)
    fit(load_config(tiny, ["run.precision=auto", "run.stop_after=2"]), resume=True)
    assert precision_of(tmp_path / "out") == first
