"""The plain-PyTorch backend of `rff_encode` and `rff_linear`: the reference itself."""

from __future__ import annotations

from olift_fast.reference import rff_encode as eager_rff_encode
from olift_fast.reference import rff_linear as eager_rff_linear

__all__ = ["eager_rff_encode", "eager_rff_linear"]
