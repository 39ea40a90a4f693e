"""Results are those that were recorded: bit for bit on the machine that recorded them, to rounding on any other."""

from __future__ import annotations

import numpy as np
import pytest
from golden_results import FILE, Results, machine, results


@pytest.fixture(scope="module")
def recorded() -> Results:
    with np.load(FILE, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.slow
def test_results_are_as_recorded(recorded: Results) -> None:
    found = results()
    there = str(recorded.pop("machine"))
    assert found.keys() == recorded.keys()
    for name, array in found.items():
        wanted = recorded[name]
        assert array.shape == wanted.shape and array.dtype == wanted.dtype, name
        if there == machine():
            assert array.tobytes() == wanted.tobytes(), f"{name} differs"
        else:
            known = np.isfinite(wanted)
            assert (known == np.isfinite(array)).all(), name
            difference = np.linalg.norm((array - wanted)[known].astype(np.float64))
            assert difference <= 1e-4 * np.linalg.norm(wanted[known].astype(np.float64)) + 1e-6, name
