"""The operations: one public function each, with several backends. `use_backend` chooses one for a block of code."""

from olift_fast.ops.backends import use_backend, why_not
from olift_fast.ops.banded_attention import banded_attention, banded_attention_packed
from olift_fast.ops.banded_attention_step import banded_attention_step
from olift_fast.ops.joint_attention import joint_attention, joint_attention_packed
from olift_fast.ops.layers import linear_residual, norm_linear, norm_mlp
from olift_fast.ops.procrustes import (
    orthographic_procrustes,
    procrustes,
    procrustes_align,
    procrustes_mse,
)
from olift_fast.ops.rff import rff_encode, rff_linear
from olift_fast.ops.token_block import token_block
from olift_fast.ops.warmup import warmup, warmup_model

__all__ = [
    "banded_attention",
    "banded_attention_packed",
    "banded_attention_step",
    "joint_attention",
    "joint_attention_packed",
    "linear_residual",
    "norm_linear",
    "norm_mlp",
    "orthographic_procrustes",
    "procrustes",
    "procrustes_align",
    "procrustes_mse",
    "rff_encode",
    "rff_linear",
    "token_block",
    "use_backend",
    "warmup",
    "warmup_model",
    "why_not",
]
