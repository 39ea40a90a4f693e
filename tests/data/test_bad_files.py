"""Unusable files among good ones: the first raises, or all are skipped with a warning."""

from __future__ import annotations

import warnings

import pytest

from olift_fast.data.bad_files import read_each
from olift_fast.errors import InputError


def tenfold(item: int) -> int:
    if item % 2:
        raise InputError(f"{item}: must be even")
    return 10 * item


def test_good_files_are_read_in_order_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(read_each([4, 2, 0], tenfold, "skip").items()) == [(4, 40), (2, 20), (0, 0)]


def test_the_first_bad_file_is_raised() -> None:
    with pytest.raises(InputError, match=r"^3: must be even$"):
        read_each([2, 3, 5], tenfold, "raise")


def test_skipped_files_are_counted_and_five_of_them_named() -> None:
    with pytest.warns(UserWarning, match="skipped 7 of 9 takes: 1: must be even; .*9: must be even; and 2 more$"):
        assert read_each([1, 2, 3, 4, 5, 7, 9, 11, 13], tenfold, "skip", "takes") == {2: 20, 4: 40}


def test_nothing_usable_and_unknown_choices_are_errors() -> None:
    with pytest.raises(InputError, match="all 2 files are unusable; the first: 1: must be even"):
        read_each([1, 3], tenfold, "skip")
    with pytest.raises(InputError, match="on_bad must be 'raise' or 'skip', got 'ignore'"):
        read_each([2], tenfold, "ignore")  # type: ignore[arg-type]


def test_bugs_are_not_taken_for_bad_files() -> None:
    with pytest.raises(ZeroDivisionError):
        read_each([1], lambda item: item // 0, "skip")
