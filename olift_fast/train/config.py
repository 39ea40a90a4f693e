"""A training run as a value, and the TOML file that it is read from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from olift_fast.errors import InputError
from olift_fast.train.mixture import Mixture
from olift_fast.train.schedule import Schedule
from olift_fast.train.toml import Reader, read_toml

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class ModelPlan:
    """What is trained.

    Args:
        preset: a name of `LifterConfig.preset`; "small" by default. Where weights are started from, the window is taken
            from it, and the rest must be what they have.
        start: checkpoint to start from, by name or folder; None draws random weights.
        name: what results say they were lifted with; the preset's name by default.
        changes: fields of `LifterConfig` that differ from the preset's; of a started model only the window.
    """

    preset: str | None = None
    start: str | None = None
    name: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EarlyStop:
    """When to stop before the last step: when the score of the averaged weights no longer falls.

    The score is the mean SA-MPJPE over held-out sources, in % of the clips' RMS 2D radius; the weights with the best
    score are kept.

    Args:
        every: steps between scores.
        patience: scores in a row without a gain, after which training stops.
        min_gain: by how much a score must be lower to count.
        data: folder of real recordings (motion3d/, paired/) whose held-out part is scored; generated animals of a seed
            of their own where None.
    """

    every: int = 500
    patience: int = 4
    min_gain: float = 0.0
    data: Path | None = None

    def __post_init__(self) -> None:
        for name in ("every", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be >= 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Run:
    """Where and how a training runs.

    Args:
        out: folder for the checkpoint, the state to resume from and the logs.
        seed: of weights and data.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        precision: of the linear layers; attention, loss and weights are float32 in any case. "auto": bfloat16 on GPUs
            and on CPUs where the native module multiplies in it (`olift doctor` tells).
        compile: run forward and backward through `torch.compile`.
        workers: processes that make data, for each process that trains; 0 makes it in that process.
        save_every, report_every: steps between saves, and between lines of the log.
        stop_after: end here, though the learning rate is laid out for `Schedule.steps`; a later run may go on.
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


@dataclass(frozen=True)
class Config:
    """All of a training: with the version of this package and the number of processes it fixes the result."""

    schedule: Schedule
    run: Run
    model: ModelPlan = field(default_factory=ModelPlan)
    data: Mixture = field(default_factory=Mixture)
    early_stop: EarlyStop | None = None


ELSEWHERE = {
    "data.seed": "run.seed",
    "data.hops": "model.changes.hops",
    "data.sources": "`Mixture(sources=…)` in Python",
}
"""Fields of the parts that are not keys of a file, and the keys that they follow."""


def recipes() -> list[str]:
    """Names of the files that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_config(name_or_path: str | Path, changes: Sequence[str] = ()) -> Config:
    """A training from a TOML file, or from a recipe of this package by name.

    Args:
        name_or_path: the file has a table for each field of `Config`: ``[schedule]``, ``[run]`` and, where they are
            wanted, ``[model]``, ``[data]`` and ``[early_stop]``.
        changes: "schedule.steps=300": values in TOML's writing, or text, that go before those of the file.

    Raises:
        InputError: unreadable, not TOML, a key that nothing has, a value of another type or out of range; the message
            names the file, the key, the value seen and the one wanted.
    """
    path = Path(name_or_path)
    if not path.is_file() and str(name_or_path) in recipes():
        path = RECIPES / f"{name_or_path}.toml"
    table = read_toml(path, f", nor a recipe of this package ({', '.join(recipes()) or 'none is installed'})")
    origins = dict.fromkeys([_change(table, text) for text in changes], "--set")
    config: Config = Reader(str(path), origins, ELSEWHERE).dataclass(Config, table, "")
    return config


def _change(table: dict[str, Any], text: str) -> str:
    """Puts "a.b=1" into the table and returns "a.b"."""
    key, sign, written = text.partition("=")
    parts = key.strip().split(".")
    if not sign or not all(parts):
        raise InputError(f"--set must be like schedule.steps=300, got {text!r}")
    try:
        parsed = tomllib.loads(f"value = {written}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {text}: {part} must be a table to have keys of its own, got {table!r}")
    table[parts[-1]] = parsed["value"] if set(parsed) == {"value"} else written.strip()
    return ".".join(parts)
