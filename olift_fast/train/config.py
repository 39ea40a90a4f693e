"""The configuration of a training, read from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from olift_fast.errors import InputError
from olift_fast.model.checkpoints import check_name
from olift_fast.model.foreign import shown
from olift_fast.train.mixture import Mixture
from olift_fast.train.schedule import Schedule
from olift_fast.train.toml import Reader, read_toml

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class ModelPlan:
    """The lifter that is trained.

    Args:
        preset: a name of `LifterConfig.preset`; by default "small". With `start`, the window is the preset's, and all
            other fields must be as in the checkpoint.
        start: checkpoint whose weights training starts from, by name or folder; None for random weights.
        name: the model's name, as results record it; by default the preset's name.
        changes: fields of `LifterConfig` that differ from the preset's. With `start`, the window may differ, and
            `pitch`, `kinds` and `uncertainty` may be added; at first they change no joint.
        share: the saved weights are this share of the way from the weights of `start` to the trained ones, above 0, at
            most 1. At 0.6 most of the gain is kept, and little of what the start knew is lost. The early stop scores
            the trained weights themselves. Source: Wortsman et al., "Robust fine-tuning of zero-shot models" (arXiv
            2109.01903).

    Raises:
        InputError: `share` is outside this range, or below 1 without `start`.
    """

    preset: str | None = None
    start: str | None = None
    name: str | None = None
    share: float = 1.0
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name)
        if not 0 < self.share <= 1:
            raise InputError(f"share must be above 0, at most 1, got {self.share}")
        if self.share < 1 and self.start is None:
            raise InputError(f"share must be 1 without start, got {self.share}")


@dataclass(frozen=True)
class EarlyStop:
    """Stops a training before its last step if the score of the averaged weights no longer falls.

    The score is the mean SA-MPJPE over held-out sources, in % of the clips' RMS 2D radius; the weights with the best
    score are kept.

    Args:
        every: steps between scores.
        patience: training stops after this many scores in a row without a gain.
        min_gain: a score must be this much lower than the best one to count as a gain.
        data: folder of real recordings (motion3d/, paired/) whose held-out part is scored. None scores generated
            animals, from a seed that training does not use.
        held_out: also score the families and persons of `Mixture.held_out`; without `data`, score only these.
    """

    every: int = 500
    patience: int = 4
    min_gain: float = 0.0
    data: Path | None = None
    held_out: bool = False

    def __post_init__(self) -> None:
        for name in ("every", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be >= 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Calibration:
    """Calibrates a lifter's standard deviations at the end of its training (`calibrated`).

    Args:
        data: folder of real recordings (motion3d/, paired/) whose held-out part is used, with a detector's faults on
            the 2D of its motion. None takes generated animals, from a seed that training does not use.
        sources: names of the recordings of `data` to use; by default all.
        held_out: also use the families and persons of `Mixture.held_out`; without `data`, use only these. Each family
            counts as much as each recording.
    """

    data: Path | None = None
    sources: Sequence[str] = ()
    held_out: bool = False


@dataclass(frozen=True)
class Run:
    """Where and how a training runs.

    Args:
        out: folder for the checkpoint, the state to resume from and the logs.
        seed: of weights and data.
        device: "cpu", "cuda", or "auto" for a GPU if there is one.
        precision: of the linear layers; attention, loss and weights are always float32. "auto": bfloat16 on GPUs; on
            CPUs the faster of float32 and bfloat16, timed for the model at the start. A resumed run keeps its
            precision.
        compile: run forward and backward through `torch.compile`.
        workers: the number of processes that make data, for each training process; with 0 the training process does.
        save_every, report_every: steps between saves, and between lines of the log.
        stop_after: the step at which this run ends. The learning rate still follows `Schedule.steps`, and a later run
            can go on.
    """

    out: Path
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    compile: bool = False
    workers: int = 1
    save_every: int = 500
    report_every: int = 100
    stop_after: int | None = None

    def __post_init__(self) -> None:
        least = {"seed": 0, "workers": 0, "save_every": 1, "report_every": 1, "stop_after": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise InputError(f"{name} must be >= {bound}, got {value}")
        for name, bound in (("seed", 2**63 - 1), ("workers", 1024)):
            if getattr(self, name) > bound:
                raise InputError(f"{name} must be <= {bound}, got {shown(getattr(self, name))}")


@dataclass(frozen=True)
class Config:
    """All settings of a training. With the package's version and the number of processes, they determine the result."""

    schedule: Schedule
    run: Run
    model: ModelPlan = field(default_factory=ModelPlan)
    data: Mixture = field(default_factory=Mixture)
    early_stop: EarlyStop | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        for name, part in (("early_stop", self.early_stop), ("calibration", self.calibration)):
            if part is not None and part.held_out and not self.data.held_out:
                raise InputError(f"{name}.held_out = true needs families in data.held_out, got none")


ELSEWHERE = {
    "data.seed": "run.seed",
    "data.hops": "model.changes.hops",
    "data.sources": "`Mixture(sources=…)` in Python",
}
"""Fields that a file may not set, and where their values come from."""


def recipes() -> list[str]:
    """Names of the recipes: the TOML files of this package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_config(name_or_path: str | Path, changes: Sequence[str] = ()) -> Config:
    """A training from a TOML file, or from a recipe of this package by name.

    Args:
        name_or_path: the file has a table for each field of `Config`: ``[schedule]``, ``[run]`` and, if needed,
            ``[model]``, ``[data]``, ``[early_stop]`` and ``[calibration]``.
        changes: such as "schedule.steps=300": values in TOML notation, or text, which override the file's.

    Raises:
        InputError: the file is unreadable or not TOML, a key is unknown, or a value has the wrong type or is out of
            range. The message names the file, the key, the value seen and the one wanted.
    """
    path = Path(name_or_path)
    if not path.is_file() and str(name_or_path) in recipes():
        path = RECIPES / f"{name_or_path}.toml"
    table = read_toml(path, f", nor a recipe of this package ({', '.join(recipes()) or 'none is installed'})")
    origins = dict.fromkeys([_change(table, text) for text in changes], "--set")
    config: Config = Reader(str(path), origins, ELSEWHERE).dataclass(Config, table, "")
    return config


def _change(table: dict[str, Any], text: str) -> str:
    """Sets "a.b=1" in the table and returns "a.b"."""
    key, sign, written = text.partition("=")
    parts = key.strip().split(".")
    if not sign or not all(parts):
        raise InputError(f"--set must be like schedule.steps=300, got {text!r}")
    try:
        parsed = tomllib.loads(f"value = {written}")
    except (ValueError, RecursionError):
        parsed = {}
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {text}: {part} must be a table to have keys of its own, got {table!r}")
    table[parts[-1]] = parsed["value"] if set(parsed) == {"value"} else written.strip()
    return ".".join(parts)
