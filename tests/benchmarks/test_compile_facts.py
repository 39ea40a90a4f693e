"""The record of what the Triton kernels take of a GPU is true, and a change that takes much more is seen."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from benchmarks import compile_facts
from benchmarks.compile_facts import CASES, FACTS, PAGE, measure, warps_of_a_multiprocessor, with_table, worse

RECORD = json.loads(FACTS.read_text(encoding="utf-8"))
ROW = {"kernel": "k", "registers": 64, "stack": 0, "local": 0, "shared": 0, "warps": 4, "instructions": 1000}


def test_the_page_has_the_table_of_the_record() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page, RECORD["kernels"]) == page
    assert list(RECORD["kernels"]) == list(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_kernels_spill_no_more_and_have_few_more_instructions_than_on_record(case: str) -> None:
    pytest.importorskip("triton")
    if version("triton") != RECORD["triton"]:
        pytest.skip(f"the record is of triton {RECORD['triton']}, this is {version('triton')}")
    now = measure({case: CASES[case]})[case]
    before = RECORD["kernels"][case]
    assert [row["kernel"] for row in now] == [row["kernel"] for row in before]
    found = [worse(*rows) for rows in zip(now, before, strict=True)]
    assert found == [None] * len(now), "make it cheaper, or run `python -m benchmarks.compile_facts`"


def test_worse_is_over_a_tenth_more_instructions_or_spills() -> None:
    assert worse(ROW, ROW) is None
    assert worse({**ROW, "instructions": 1100, "stack": 8}, ROW) is None
    assert worse({**ROW, "instructions": 1101}, ROW) == "k: instructions 1101, before 1000"
    assert worse({**ROW, "stack": 16}, ROW) == "k: stack 16, before 0"
    assert worse({**ROW, "registers": 200, "stack": 8}, ROW) == "k: stack 8, before 0"
    assert worse({**ROW, "local": 4}, ROW) == "k: local 4, before 0"


def test_warps_at_once_are_bound_by_what_runs_out_first() -> None:
    assert warps_of_a_multiprocessor({**ROW, "registers": 32}) == compile_facts.MOST_WARPS
    assert warps_of_a_multiprocessor({**ROW, "registers": 255, "warps": 8}) == 8
    assert warps_of_a_multiprocessor({**ROW, "registers": 32, "shared": 100 << 10}) == 8
    assert warps_of_a_multiprocessor({**ROW, "registers": 32, "warps": 1}) == compile_facts.MOST_PROGRAMS
