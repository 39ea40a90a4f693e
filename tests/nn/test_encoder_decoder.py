"""The keypoint encoder and the decoder: equal to the reference's in parameters, values and gradients."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from helpers import error
from torch import Tensor, nn

from olift_fast import reference
from olift_fast.nn import KeypointEncoder, MotionLayer, ProcrustesLoss, SpaceLayer
from olift_fast.nn.decoder import Decoder
from olift_fast.nn.loss import Alignment
from olift_fast.ops.procrustes import ProcrustesKind
from olift_fast.runtime.encoder import Encoding

B, T, J, D = 2, 13, 7, 12


def same_start(own: type[nn.Module], oracle: type[nn.Module], *arguments: object) -> tuple[nn.Module, nn.Module]:
    """Both modules from the same random numbers; their parameters are checked to be the same."""
    torch.manual_seed(0)
    mine = own(*arguments)
    torch.manual_seed(0)
    theirs = oracle(*arguments)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in mine.state_dict().items())
    return mine, theirs


def agree(own: nn.Module, oracle: nn.Module, inputs: tuple[Tensor, ...], tolerance: float) -> None:
    """Values, and gradients of all parameters and of the first input where it is finite."""
    mine, theirs = (inputs[0].clone().requires_grad_() for _ in range(2))
    out, wanted = own(mine, *inputs[1:]), oracle(theirs, *inputs[1:])
    upstream = torch.randn(out.shape, dtype=out.dtype)
    out.backward(upstream)
    wanted.backward(upstream)
    assert out.isfinite().all() and error(out, wanted) < tolerance
    assert mine.grad.isfinite().all() and error(mine.grad, theirs.grad) < 2 * tolerance
    for (name, parameter), other in zip(own.named_parameters(), oracle.parameters(), strict=True):
        assert error(parameter.grad, other.grad) < 2 * tolerance, name


@pytest.mark.parametrize("time_encoding", ["relative", "absolute", "table", "none"])
@pytest.mark.parametrize("encoding", get_args(Encoding))
@pytest.mark.parametrize("frequencies", [1, 5, 16])
def test_encoder_equals_the_reference(encoding, time_encoding, frequencies) -> None:
    given = (D, encoding, frequencies, 0.7, time_encoding, T)
    own, oracle = (module.double() for module in same_start(KeypointEncoder, reference.KeypointEncoder, *given))
    visible = torch.rand(B, T, J) > 0.3
    keypoints = torch.where(visible[..., None], torch.randn(B, T, J, 2, dtype=torch.float64), torch.nan)
    sides = torch.randint(-1, 2, (B, J)).double()
    agree(own, oracle, (keypoints, visible, sides), 1e-13)


@pytest.mark.parametrize("shape", [(1, 1, 1), (B, T, J), (3, 1, 50)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_decoder_equals_the_reference(shape, dtype, tolerance) -> None:
    own, oracle = (module.to(dtype) for module in same_start(Decoder, reference.Decoder, D))
    agree(own, oracle, (torch.randn(*shape, D, dtype=dtype),), tolerance)


def test_layers_start_from_the_same_random_numbers() -> None:
    same_start(MotionLayer, reference.MotionLayer, D, 3, (2, 5), 2, True)
    same_start(SpaceLayer, reference.SpaceLayer, D, 3, 3)


def test_options_are_those_of_the_reference() -> None:
    assert get_args(Encoding) == get_args(reference.Encoding)
    assert get_args(Alignment) == get_args(reference.Alignment)
    assert get_args(ProcrustesKind) == get_args(reference.ProcrustesKind)
    for alignment in get_args(Alignment):
        for kind in get_args(ProcrustesKind):
            ProcrustesLoss(kind, alignment)
