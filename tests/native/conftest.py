"""Tests of the compiled module: without it they skip, except where CI says that it must be there."""

from __future__ import annotations

import os

import pytest

from olift_fast.ops.native_module import why_not_native

DO_WITHOUT = ("test_arm", "test_compile")
"""The files here whose tests do not need the module. All others do."""


@pytest.fixture(autouse=True)
def compiled_module(request: pytest.FixtureRequest) -> None:
    reason = why_not_native()
    if reason is None or request.module.__name__.endswith(DO_WITHOUT):
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
