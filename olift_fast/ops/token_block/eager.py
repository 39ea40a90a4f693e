"""The plain-PyTorch backend of `token_block`: the reference itself."""

from __future__ import annotations

from torch import Tensor

from olift_fast.ops.token_block.registration import Head, Linear, Mlp
from olift_fast.reference import token_block


def eager_block(
    tokens: Tensor,
    attended: Tensor | None,
    projection: Linear | None,
    mlp: Mlp | None,
    head: Head,
    epsilon: float,
    keep: bool,
) -> tuple[Tensor | None, Tensor]:
    """`token_block`, any dtype, any device; its second derivative, too."""
    changed, out = token_block(tokens, attended, projection, mlp, head, epsilon=epsilon)
    return changed.to(tokens.dtype) if keep else None, out if head[2] is None else out.to(tokens.dtype)
