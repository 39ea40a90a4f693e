"""The time encodings: equal to the reference's in parameters, values and gradients."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from helpers import error
from torch import nn

from olift_fast import reference
from olift_fast.nn.time import AbsoluteTime, RelativeTimeBias, TimeEncoding, TimeTable, absolute_time

PAIRS = [
    (lambda home: home.RelativeTimeBias(3, (4, 2)), ()),
    (lambda home: home.RelativeTimeBias(5, (0, 0), frequencies=1), ()),
    (lambda home: home.RelativeTimeBias(1, (0, 37), frequencies=7, sigma=3.0), ()),
    (lambda home: home.AbsoluteTime(5), (1,)),
    (lambda home: home.AbsoluteTime(7, frequencies=3, sigma=2.0), (1001,)),
    (lambda home: home.TimeTable(5, 9), (9,)),
    (lambda home: home.TimeTable(3, 11), (1,)),
]


class Production:
    RelativeTimeBias, AbsoluteTime, TimeTable = RelativeTimeBias, AbsoluteTime, TimeTable


def pair(make) -> tuple[nn.Module, nn.Module]:
    """The production module and the reference's, made from the same random numbers."""
    made = []
    for home in (Production, reference):
        torch.manual_seed(0)
        made.append(make(home))
    return made[0], made[1]


@pytest.mark.parametrize(("make", "arguments"), PAIRS)
def test_same_parameters_from_the_same_random_numbers(make, arguments) -> None:
    own, oracle = pair(make)
    assert list(own.state_dict()) == list(oracle.state_dict())
    for name, value in own.state_dict().items():
        assert torch.equal(value, oracle.state_dict()[name]), name
    assert torch.equal(own(*arguments), oracle(*arguments))


@pytest.mark.parametrize(("make", "arguments"), PAIRS)
def test_equals_the_reference_in_float64(make, arguments) -> None:
    own, oracle = (module.double() for module in pair(make))
    out, wanted = own(*arguments), oracle(*arguments)
    assert out.shape == wanted.shape and error(out, wanted) < 1e-14
    upstream = torch.randn(out.shape, dtype=torch.float64)
    out.backward(upstream)
    wanted.backward(upstream)
    for (name, mine), theirs in zip(own.named_parameters(), oracle.parameters(), strict=True):
        assert error(mine.grad, theirs.grad) < 1e-13, name


def test_bias_depends_on_the_offset_alone() -> None:
    torch.manual_seed(0)
    narrow, wide = RelativeTimeBias(3, (2, 1)), RelativeTimeBias(3, (5, 4))
    wide.load_state_dict(narrow.state_dict())
    assert torch.allclose(wide()[:, 3:7], narrow())
    narrow.window = (5, 4)
    assert torch.equal(wide(), narrow())


def test_table_refuses_more_frames_than_rows() -> None:
    with pytest.raises(ValueError, match="frames must be <= 4, the rows of the time table, got 5"):
        TimeTable(3, 4)(5)


def test_only_absolute_and_table_add_to_the_tokens() -> None:
    assert get_args(TimeEncoding) == get_args(reference.TimeEncoding)
    added = {name: type(absolute_time(name, 4, 9)).__name__ for name in get_args(TimeEncoding)}
    assert added == {"relative": "NoneType", "absolute": "AbsoluteTime", "table": "TimeTable", "none": "NoneType"}
