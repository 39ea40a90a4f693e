"""Reads text tables (csv and similar) to arrays with numpy's parser; errors name the line in the file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError

# A table with quoted cells is split by the csv module, and joined again by this character: no text has it.
_UNQUOTED = "\x1f"

# Marks of a missing number, besides an empty cell and those that numpy's parser knows (nan, inf).
_MISSING = r"<?#?n/?a>?|nat|none|null|nil|missing|undefined|-++|\?|\.|\\N|#value!|#div/0!|#num!|-?1\.#\w+|-?nan\(\w*\)|"
# The beginning of a cell in quotes, after any separator, and the content of such a cell.
_QUOTE, _QUOTED = re.compile(r'(?:^|[,;|\t])"'), re.compile(r'[^"]*+(?:""[^"]*+)*+')
# A quote that is not closed within this many lines does not begin a cell in quotes.
_MOST_LINES = 20
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:([.,'\u2019\u202f\xa0 ])\d{3})(?:\1\d{3})*(?:[.,]\d+)?")


@dataclass(frozen=True)
class Table:
    """The rows of a text table, split into lines but not yet into cells.

    Args:
        lines: the lines in which a cell has text.
        delimiter: the character between cells.
        numbers: each line's number in the file, from 1.
        padding: the numbers in the file of the lines that have delimiters but no text.
    """

    lines: Sequence[str]
    delimiter: str
    numbers: Sequence[int]
    padding: Sequence[int] = ()

    def rows(self, start: int, stop: int) -> list[list[str]]:
        """The cells of some lines, stripped of quotes and spaces.

        Raises:
            InputError: quotes are not closed, or a cell is longer than 128 KiB.
        """
        reader = csv.reader(self.lines[start:stop], delimiter=self.delimiter)
        try:
            return [[cell.strip() for cell in row] for row in reader]
        except csv.Error as error:
            raise InputError(f"line {self.numbers[start]} or after: {error}") from error

    def column(self, start: int, index: int) -> list[str]:
        """The cells of one column from line `start` on; "" if a line is too short."""
        if any('"' in line for line in self.lines[start:]):
            return [row[index] if len(row) > index else "" for row in self.rows(start, len(self.lines))]
        split = (line.split(self.delimiter, index + 1) for line in self.lines[start:])
        return [cells[index].strip() if len(cells) > index else "" for cells in split]

    def data_start(self, start: int, index: int) -> int:
        """The first line of data: `start`, or the line after it if pandas wrote the index's name on line `start`.

        A line with the index's name has text in the first `index` columns alone; that text is neither a number nor the
        name of a picture.
        """
        rows = self.rows(start, start + 2)
        if not rows or any(rows[0][index:]):
            return start
        name, below = ([cell for cell in row[:index] if cell] or [""] for row in (rows[0], rows[-1]))
        picture = re.search(r"\d|\.\w{3,4}$", name[-1])
        is_name = not picture or (_is_number(below[-1]) and not _is_number(name[-1]))
        return start + 1 if is_name else start

    def values(self, start: int, columns: Sequence[int], width: int) -> npt.NDArray[np.float32]:
        """(rows, columns) float32 of the lines from `start` on; NaN for an empty cell, and for NA, None, null, -, inf.

        If cells are not separated by commas, or are in quotes, a comma in a number is the decimal mark.

        Args:
            columns: the places of the columns.
            width: the number of columns with a header. Further cells of a line must be empty.

        Raises:
            InputError: a line has more or fewer cells than `width`, or a cell is not a number.
        """
        body, delimiter = list(self.lines[start:]), self.delimiter
        if not body:
            return np.zeros((0, len(columns)), np.float32)
        if any('"' in line for line in body):
            delimiter = _UNQUOTED
            body = [" ".join(delimiter.join(row).splitlines()) for row in self.rows(start, len(self.lines))]
        for offset, line in enumerate(body):
            if line.count(delimiter) + 1 != width:
                body[offset] = _fitted(line, delimiter, columns, width, self.numbers[start + offset])
        # In blocks, so that the parser's copies of the text stay small compared with the file.
        block = 10_000
        parts = []
        for first in range(0, len(body), block):
            part = body[first : first + block]
            try:
                parts.append(_parsed("\n".join(part) + "\n", delimiter, columns))
            except ValueError:
                text = _plain_numbers("\n".join(part) + "\n", delimiter, self.delimiter)
                try:
                    parts.append(_parsed(text, delimiter, columns))
                except ValueError as error:
                    raise InputError(self._explain(str(error), start + first, part, delimiter)) from error
        found = np.concatenate(parts)
        found[np.isinf(found)] = np.nan
        return found

    def _explain(self, message: str, start: int, body: Sequence[str], delimiter: str) -> str:
        found = re.search(r"at row (\d+), column (\d+)", message)
        if found is None:
            return " ".join(message.split())
        row, column = int(found[1]), int(found[2])
        cell = body[row].split(delimiter)[column - 1].strip()
        hint = ""
        if _THOUSANDS.fullmatch(cell):
            hint = "; write numbers without a separator of thousands"
        elif re.fullmatch(r"[+-]?\d+,\d+", cell):
            hint = "; other numbers have a decimal point"
        return f"line {self.numbers[start + row]}, column {column}: wanted a number, got {cell!r:.60}{hint}"


def split_table(text: str) -> Table:
    """The lines of `text` and their delimiter: , or ; or | or a tab, spaces, or the one that Excel's line `sep=` names.

    Lines without text in any cell are left out, because spreadsheets pad a table with them. A cell in quotes may have
    several lines, for example a joint's name with a newline.

    Raises:
        InputError: there are no lines.
    """
    lines, numbers = _rows_of(text)
    first = 0
    said = re.fullmatch(r"\"?sep=(.)\"?[\s,;]*", lines[0], re.IGNORECASE) if lines else None
    if said is not None:
        first = 1
    delimiter = said[1] if said is not None else _delimiter(lines)
    if delimiter == "," and first == 0 and _by_spaces(lines):
        delimiter, lines = "\t", ["\t".join(line.split()) for line in lines]
    blank = delimiter + ',;\t "'
    kept = [index for index in range(first, len(lines)) if lines[index].strip(blank)]
    if not kept:
        raise InputError("is empty")
    if len(kept) < len(lines):
        there = set(kept)
        padding = [numbers[index] for index in range(first, len(lines)) if index not in there and lines[index].strip()]
        return Table([lines[index] for index in kept], delimiter, [numbers[index] for index in kept], padding)
    return Table(lines, delimiter, numbers)


def _rows_of(text: str) -> tuple[list[str], Sequence[int]]:
    """The lines, and the number of each; the lines of a cell in quotes count as one."""
    lines = text.splitlines()
    if '"' not in text or not any(line.count('"') % 2 for line in lines):
        return lines, range(1, len(lines) + 1)
    ended = text.splitlines(keepends=True)
    rows, numbers = [], []
    place = 0
    while place < len(lines):
        stop = _end_of_row(lines, place)
        rows.append("".join(ended[place : stop - 1]) + lines[stop - 1])
        numbers.append(place + 1)
        place = stop
    return rows, numbers


def _end_of_row(lines: Sequence[str], start: int) -> int:
    """The place after the row that begins at line `start`: the next line, unless a cell in quotes has several lines."""
    if lines[start].count('"') % 2 == 0:
        return start + 1
    for stop in range(start + 1, min(start + _MOST_LINES, len(lines)) + 1):
        if not _goes_on("\n".join(lines[start:stop])):
            return stop
    return start + 1


def _goes_on(text: str) -> bool:
    """Whether the text ends inside a cell in quotes. A quote in the middle of a cell is an ordinary character."""
    place = 0
    while (begin := _QUOTE.search(text, place)) is not None:
        end = _QUOTED.match(text, begin.end())
        assert end is not None
        if end.end() == len(text):
            return True
        place = end.end() + 1
    return False


def is_missing(cell: str) -> bool:
    """Whether a cell is empty or marks a missing value: NA, nan, null, -."""
    return re.fullmatch(f"nan|{_MISSING}", cell, re.IGNORECASE) is not None


def left_out(names: Iterable[str]) -> list[str]:
    """A note that names the columns that were left out; empty if there are none."""
    distinct = list(dict.fromkeys(names))
    more = f", … ({len(distinct)} in all)" if len(distinct) > 6 else ""
    return [f"columns left out: {', '.join(distinct[:6])}{more}"] if distinct else []


def _delimiter(lines: Sequence[str]) -> str:
    """Which of , ; | and tab is the most frequent in the first line that has one.

    Comments, text in quotes, and lines of nothing but delimiters do not count.
    """
    for line in lines:
        bare = re.sub(r'"[^"]*"', "x", line)
        if not bare.startswith("# ") and bare.strip(",;|\t ") and any(character in bare for character in ",;|\t"):
            return max(",\t;|", key=bare.count)
    return ","


def _by_spaces(lines: Sequence[str]) -> bool:
    """Whether spaces separate the cells: the first lines have equally many words, and the first has an x and a y."""
    rows = [line.split() for line in lines[:20] if line.strip()]
    if len(rows) < 2 or any("," in line or '"' in line for line in lines) or len({len(row) for row in rows}) != 1:
        return False
    return all(
        any(re.search(rf"(?:^|[^a-z]){axis}(?:[^a-z]|$)", cell, re.IGNORECASE) for cell in rows[0]) for axis in "xy"
    )


def _fitted(line: str, delimiter: str, columns: Sequence[int], width: int, number: int) -> str:
    """The line with as many cells as the header: empty cells at the end are added or removed."""
    cells = line.split(delimiter)
    if len(cells) > width and not any(map(str.strip, cells[width:])):
        return delimiter.join(cells[:width])
    # A line without any value may stop early: spreadsheets and some tools drop empty cells.
    if len(cells) < width and not any(cells[column].strip() for column in columns if column < len(cells)):
        return line + delimiter * (width - len(cells))
    raise InputError(f"line {number} has {len(cells)} cells, wanted {width}")


def _parsed(text: str, delimiter: str, columns: Sequence[int]) -> npt.NDArray[np.float32]:
    # numpy's parser is an order of magnitude faster than a loop, but can't read empty cells: they become "nan".
    empty, filled = delimiter * 2, f"{delimiter}nan{delimiter}"
    if empty in text:
        text = text.replace(empty, filled).replace(empty, filled)
    text = text.replace(f"{delimiter}\n", f"{delimiter}nan\n")
    lines = text.split("\n")[:-1]
    return np.loadtxt(lines, dtype=np.float32, delimiter=delimiter, usecols=list(columns), comments=None, ndmin=2)


def _plain_numbers(text: str, delimiter: str, delimiter_in_file: str) -> str:
    """The text with nan for cells that mean a missing number, and with points for decimal commas."""
    # Possessive quantifiers (*+) keep a long run of spaces from being tried again and again.
    before, after = rf"(?<![^{re.escape(delimiter)}\n])[ \xa0]*+", rf"[ \xa0]*+(?![^{re.escape(delimiter)}\n])"
    text = re.sub(f"{before}(?:{_MISSING}){after}", "nan", text, flags=re.IGNORECASE)
    if delimiter == "," or "," not in text:
        return text
    if re.search(rf"{before}[+-]?\d[\d,]*\.\d[\d,]*{after}", text):
        return text  # Numbers with a point and a comma: either may separate thousands.
    if delimiter_in_file == ",":
        commas = re.findall(f"{before}([+-]?[\\d]+,\\d+){after}", text)
        if all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", cell) for cell in commas):
            return text  # "1,234" in a file separated by commas may be one thousand.
    return text.replace(",", ".")


def _is_number(cell: str) -> bool:
    return re.match(r"[+-]?\d[\d.,:]*$", cell) is not None
