"""What all tests share: real data, fresh memory that holds NaN, and what needs a GPU."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

# torch.compile imports setuptools, which refuses to load once the standard library's distutils is in its place; loaded
# first, it finds none.
with suppress(ImportError):
    import setuptools  # noqa: F401

# Read when a Triton kernel is defined: without a GPU, the interpreter runs it on the CPU.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="a test of the GPU (`-m 'gpu or triton'`) that would skip fails, unless it is for want of another "
        "project's package",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from olift_fast.ops.triton_runtime import why_not_triton

    reasons = {"gpu": None if torch.cuda.is_available() else "needs a CUDA device", "triton": why_not_triton()}
    for item in items:
        for mark, reason in reasons.items():
            if reason is not None and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    asked = item.config.getoption("--no-skips") and any(item.get_closest_marker(mark) for mark in ("gpu", "triton"))
    if report.skipped and asked and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "could not import" not in reason:
            report.outcome, report.longrepr = "failed", f"skipped, with --no-skips: {reason}"
    return report


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings: ``OLIFT_DATA``, or ``shared/data`` beside the repository."""
    folder = Path(os.environ.get("OLIFT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = f"real recordings are not at {folder}; set OLIFT_DATA to their folder"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Fills what `torch.empty` and its kin return with NaN, so that an output that is never written shows."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)
