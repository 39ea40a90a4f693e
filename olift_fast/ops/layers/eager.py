"""The plain-PyTorch backend of `norm_linear`, `linear_residual` and `norm_mlp`: the reference itself."""

from __future__ import annotations

from olift_fast.reference import linear_residual as eager_linear_residual
from olift_fast.reference import norm_linear as eager_norm_linear
from olift_fast.reference import norm_mlp as eager_norm_mlp

__all__ = ["eager_linear_residual", "eager_norm_linear", "eager_norm_mlp"]
