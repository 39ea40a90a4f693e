"""Attention over time in a band, over joints, random Fourier features, and the layers between, as Triton kernels.

Each function equals a few lines of plain PyTorch, which its docstring names and `reference` holds. On tensors that the
kernels don't take (on the CPU, in float64, with wider heads) plain PyTorch computes the same; ``why_not("triton")``
tells why this machine can't run them.
"""

from .backends import use_backend, why_not
from .banded_attention import banded_attention, banded_attention_packed
from .banded_attention_step import banded_attention_step
from .joint_attention import joint_attention, joint_attention_packed
from .rff import rff_encode, rff_linear
from .token_block import token_block
from .warmup import warmup, warmup_model

__all__ = [
    "banded_attention",
    "banded_attention_packed",
    "banded_attention_step",
    "joint_attention",
    "joint_attention_packed",
    "rff_encode",
    "rff_linear",
    "token_block",
    "use_backend",
    "warmup",
    "warmup_model",
    "why_not",
]
