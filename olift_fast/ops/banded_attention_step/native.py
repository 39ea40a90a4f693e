"""The native CPU backend of `banded_attention_step`: reads the rings in place."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.banded_attention_step.registration import register
from olift_fast.ops.native_module import loaded_module


def step_into(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    frames: Tensor,
    lengths: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    scale: float,
    out: Tensor,
) -> None:
    """`banded_attention_step` into `out`, contiguous; nothing is checked.

    bias is float32 and contiguous, frames and lengths int64 and contiguous.
    """
    native = loaded_module()
    threads = torch.get_num_threads()
    native.banded_attention_step(q, k, v, frames, lengths, left, right, bias, visible, scale, out, threads)


native_step = register("banded_attention_step", step_into, "cpu")
