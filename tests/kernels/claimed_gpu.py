"""A plugin of pytest that says there is a GPU: what would run on one can then be collected, not run."""

from __future__ import annotations

import os
from typing import Any

import torch

os.environ["TRITON_INTERPRET"] = "0"


def _capability(*_: Any) -> tuple[int, int]:
    return 9, 0


torch.cuda.is_available = lambda: True  # type: ignore[assignment]
torch.cuda.get_device_capability = _capability  # type: ignore[assignment]
