"""Text tables (csv and its kin) as arrays: numpy's parser does the work, and errors name the line in the file."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError


@dataclass(frozen=True)
class Table:
    """The rows of a text table, split into lines but not yet into cells.

    Args:
        lines: the lines that are not blank.
        delimiter: the character between cells.
        numbers: the number in the file of each line, from 1.
    """

    lines: Sequence[str]
    delimiter: str
    numbers: Sequence[int]

    def rows(self, start: int, stop: int) -> list[list[str]]:
        """The cells of some lines, stripped of quotes and spaces.

        Raises:
            InputError: quotes that do not end, or a cell longer than 128 KiB.
        """
        reader = csv.reader(self.lines[start:stop], delimiter=self.delimiter)
        try:
            return [[cell.strip() for cell in row] for row in reader]
        except csv.Error as error:
            raise InputError(f"line {self.numbers[start]} or after: {error}") from error

    def column(self, start: int, index: int) -> list[str]:
        """The cells of one column from line `start` on."""
        if any('"' in line for line in self.lines[start:]):
            return [row[index] for row in self.rows(start, len(self.lines))]
        return [line.split(self.delimiter, index + 1)[index].strip() for line in self.lines[start:]]

    def values(self, start: int, columns: Sequence[int], width: int) -> npt.NDArray[np.float32]:
        """(rows, columns) float32 of the lines from `start` on; NaN for an empty cell.

        Raises:
            InputError: a line with more or fewer cells than `width`, or a cell that is not a number.
        """
        body = list(self.lines[start:])
        if not body:
            return np.zeros((0, len(columns)), np.float32)
        quoted = any('"' in line for line in body)
        if quoted:
            rows = self.rows(start, len(self.lines))
            body = [self.delimiter.join(cell.replace(self.delimiter, " ") for cell in row) for row in rows]
        for offset, line in enumerate(body):
            cells = line.count(self.delimiter) + 1
            if cells < width and not any(map(str.strip, line.split(self.delimiter)[columns[0] :])):
                # A line without any value may stop early: spreadsheets and some tools drop empty cells.
                body[offset] = line + self.delimiter * (width - cells)
            elif cells != width:
                raise InputError(f"line {self.numbers[start + offset]} has {cells} cells, wanted {width}")
        # In blocks, so that the parser's copies of the text stay small compared with the file.
        block = 10_000
        parts = [
            self._parse(body[first : first + block], columns, start + first) for first in range(0, len(body), block)
        ]
        return np.concatenate(parts)

    def _parse(self, body: list[str], columns: Sequence[int], start: int) -> npt.NDArray[np.float32]:
        # numpy's parser is an order of magnitude faster than a loop, but can't read empty cells: they become "nan".
        text = "\n".join(body) + "\n"
        empty, filled = self.delimiter * 2, f"{self.delimiter}nan{self.delimiter}"
        if empty in text:
            text = text.replace(empty, filled).replace(empty, filled)
        text = text.replace(f"{self.delimiter}\n", f"{self.delimiter}nan\n")
        try:
            return np.loadtxt(
                text.splitlines(),
                dtype=np.float32,
                delimiter=self.delimiter,
                usecols=list(columns),
                comments=None,
                ndmin=2,
            )
        except ValueError as error:
            raise InputError(self._explain(str(error), start)) from error

    def _explain(self, message: str, start: int) -> str:
        found = re.search(r"could not convert string (.*) to float32 at row (\d+), column (\d+)", message)
        if found is None:
            return " ".join(message.split())
        line = self.numbers[start + int(found[2])]
        return f"line {line}, column {found[3]}: wanted a number, got {found[1]}"


def split_table(text: str) -> Table:
    """The lines of `text` and what separates their cells: a comma, a semicolon or a tab.

    Raises:
        InputError: no line at all.
    """
    lines = text.splitlines()
    numbers = list(range(1, len(lines) + 1))
    if any(not line.strip() for line in lines):
        kept = [number for number, line in zip(numbers, lines, strict=True) if line.strip()]
        lines, numbers = [lines[number - 1] for number in kept], kept
    if not lines:
        raise InputError("is empty")
    delimiter = max(",\t;", key=lambda character: lines[0].count(character))
    return Table(lines, delimiter, numbers)
