"""The log of a training: ``log.csv``, and TensorBoard's files if it is installed."""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from olift_fast.atomic import atomic_path, writing
from olift_fast.errors import InputError
from olift_fast.model.foreign import plain_line, shown

FILE = "log.csv"


@dataclass(frozen=True)
class Report:
    """A line of the log.

    Args:
        step: the number of steps done.
        loss: mean over the steps since the last report, and over all processes.
        learning_rate: of this step.
        clips_per_second: of all processes together, since the last report.
        score: the last score, with early stopping (`olift_fast.train.EarlyStop`).
    """

    step: int
    loss: float
    learning_rate: float
    clips_per_second: float
    score: float | None = None


COLUMNS = [f.name for f in fields(Report)]


class Log:
    """Appends to the logs in a folder. Lines of a killed run after the step that it resumes from are removed.

    Args:
        folder: of the run.
        step: the number of steps done.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / FILE
        rows = _rows(self.path, step) if step else []
        with atomic_path(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)
        self._board = _board(folder, step)

    def write(self, report: Report) -> None:
        """Append a line; it is on disk when this returns."""
        values = asdict(report)
        with writing(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(values)
        if self._board is not None:
            for name, value in values.items():
                if name != "step" and value is not None:
                    self._board.add_scalar(name, value, report.step)
            self._board.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def _rows(path: Path, last: int) -> list[dict[str, str]]:
    """The complete lines of a log up to a step; a killed process may have left half a line."""
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        table = csv.DictReader(text[: text.rfind("\n") + 1].splitlines(), restkey="more", restval="")
        names = list(table.fieldnames or COLUMNS)
        rows = list(table)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not the log of a training: {plain_line(str(error))}") from error
    if names != COLUMNS:
        raise InputError(f"{path}: columns must be {', '.join(COLUMNS)}, got {plain_line(', '.join(names))}")
    for row in rows:
        if "more" in row or not (row["step"].isascii() and row["step"].isdigit() and len(row["step"]) < 19):
            raise InputError(
                f"{path}: lines must begin with a step and have at most {len(COLUMNS)} values, got {shown(row)}"
            )
    return [row for row in rows if int(row["step"]) <= last]


def _board(folder: Path, step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
