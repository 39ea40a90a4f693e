"""How many threads the kernels use: torch's number where it is imported, else what was told, else one a core."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from olift_fast.runtime import threads


@pytest.fixture
def torchs_threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("torchs_threads")
def test_it_is_torchs_number_where_torch_is() -> None:
    torch.set_num_threads(3)
    assert threads.thread_count() == 3
    threads.set_thread_count(2)
    assert torch.get_num_threads() == threads.thread_count() == 2


def test_less_than_one_is_refused() -> None:
    with pytest.raises(ValueError, match="count must be >= 1 thread, got 0"):
        threads.set_thread_count(0)


def counted(**environment: str) -> list[int]:
    """The number at first, and after 5 were asked for, in a process without torch."""
    code = (
        "import sys\nfrom olift_fast.runtime import threads\n"
        "print(threads.thread_count())\nthreads.set_thread_count(5)\nprint(threads.thread_count())\n"
        "assert 'torch' not in sys.modules\n"
    )
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, check=True
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.parametrize("told", ["7", "7,2"])
def test_the_variable_of_openmp_tells_it(told: str) -> None:
    assert counted(OMP_NUM_THREADS=told) == [7, 5]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs sched_getaffinity")
def test_without_the_variable_it_is_one_a_core_at_most() -> None:
    first, second = counted(OMP_NUM_THREADS="many")
    assert 1 <= first <= len(os.sched_getaffinity(0)) and second == 5


def test_two_processors_of_a_core_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(threads, "_siblings", lambda cpu: f"{cpu % 2},{cpu % 2 + 2}")
    assert threads._usual_count() == 2
