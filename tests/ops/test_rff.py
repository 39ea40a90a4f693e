"""Random Fourier features: the formula, masks, large phases, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from olift_fast.ops import rff_encode, rff_linear


def test_encode_is_cosines_then_sines() -> None:
    rng = np.random.default_rng(0)
    x, freqs = rng.normal(size=(4, 7, 2)), rng.normal(size=(2, 5))
    phase = 2 * math.pi * x @ freqs
    wanted = np.concatenate([np.cos(phase), np.sin(phase)], axis=-1)
    got = rff_encode(torch.from_numpy(x), torch.from_numpy(freqs))
    assert np.abs(got.numpy() - wanted).max() < 1e-12


def test_linear_is_encode_then_linear_with_a_token_for_what_is_hidden() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, 2, dtype=torch.float64, generator=generator)
    freqs, weight = (torch.randn(*s, dtype=torch.float64, generator=generator) for s in ((2, 8), (5, 16)))
    bias, token = torch.randn(2, 5, dtype=torch.float64, generator=generator)
    visible = torch.rand(3, 6, generator=generator) > 0.4
    x[~visible] = torch.nan
    leaves = [t.requires_grad_() for t in (x, freqs, weight, bias, token)]
    out = rff_linear(x, freqs, weight, bias, visible=visible, token=token)
    wanted = rff_encode(x.detach()[visible], freqs) @ weight.T + bias
    assert torch.allclose(out[visible], wanted, atol=1e-13)
    assert torch.equal(out[~visible], token.detach().expand(int((~visible).sum()), 5))
    out.square().sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    assert (x.grad[~visible] == 0).all()
    assert rff_linear(x.detach(), freqs, weight, bias, visible=visible)[~visible].abs().max() == 0


def test_gradcheck() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, 3, 2), (2, 4), (3, 8), (3,), (3,))
    leaves = [torch.randn(*s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]
    visible = torch.tensor([[True, False, True], [True, True, False]])

    def function(x, freqs, weight, bias, token):
        return rff_linear(x, freqs, weight, bias, visible=visible, token=token)

    assert torch.autograd.gradcheck(function, leaves)


def test_whole_turns_do_not_matter_to_float32() -> None:
    freqs = torch.tensor([[1.0, 2.0, 5.0]])
    x = torch.tensor([[0.25], [0.125]])
    near, far = rff_encode(x, freqs), rff_encode(x + 1024, freqs)
    assert torch.allclose(near, far, atol=1e-6)


def test_phases_stay_float32_under_autocast() -> None:
    generator = torch.Generator().manual_seed(2)
    x, freqs = torch.randn(50, 2, generator=generator), torch.randn(2, 16, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = rff_encode(x, freqs)
    assert torch.equal(got, rff_encode(x, freqs))


def test_wrong_arguments_are_named() -> None:
    x, freqs = torch.zeros(4, 2), torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"freqs must be \(C, F\) for x \(..., C\), got \(3, 3\) for \(4, 2\)"):
        rff_encode(x, torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"visible must be \(4,\), got \(3,\)"):
        rff_encode(x, freqs, visible=torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"weight must be \(5, 6\), got \(5, 4\)"):
        rff_linear(x, freqs, torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"token must be \(5,\), got \(4,\)"):
        rff_linear(x, freqs, torch.zeros(5, 6), token=torch.zeros(4))
