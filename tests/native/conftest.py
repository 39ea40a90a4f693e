"""The binding's tests need the compiled module; without it they skip, except where CI says that it must be there."""

from __future__ import annotations

import os

import pytest

from olift_fast.ops.native_module import why_not_native

NEEDS_MODULE = (
    "test_banded_forward",
    "test_banded_backward",
    "test_banded_step",
    "test_joint_attention_native",
    "test_layers_native",
    "test_procrustes_cuda",
    "test_procrustes_forward",
    "test_rff_cpu",
    "test_runtime",
    "test_signatures",
    "test_token_block",
)


@pytest.fixture(autouse=True)
def compiled_module(request: pytest.FixtureRequest) -> None:
    reason = why_not_native()
    if reason is None or not request.module.__name__.endswith(NEEDS_MODULE):
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
