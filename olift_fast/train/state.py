"""The state of a training, saved so that it can resume: one safetensors file with JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from olift_fast._version import __version__
from olift_fast.atomic import atomic_path
from olift_fast.errors import InputError
from olift_fast.model import Lifter
from olift_fast.train.config import Config
from olift_fast.train.precision import PRECISIONS, Precision
from olift_fast.train.toml import differences, plain

FILE = "training.safetensors"
FORMAT = "olift-fast training"
FORMAT_VERSION = 2
# Settings that may change when a run resumes, because no weight depends on them.
FREE = ("run.out", "run.workers", "run.save_every", "run.report_every", "run.stop_after")
PICKLES = (".ckpt", ".pt", ".pth", ".pkl", ".bin")


@dataclass
class State:
    """All that the next step depends on besides the configuration. The position in the data is the step.

    Args:
        lifter: the model that is trained.
        average: the exponential average of its weights.
        optimizers: each has its own parameters.
        step: steps done.
        losses: of the steps since the last line of the log, a scalar each.
        score: the last one, with early stopping.
        best, best_score: the weights with the best score, and that score.
        stale: how many scores there were since the best.
    """

    lifter: Lifter
    average: Lifter
    optimizers: Sequence[torch.optim.Optimizer]
    step: int = 0
    losses: list[Tensor] = field(default_factory=list)
    score: float | None = None
    best: Lifter | None = None
    best_score: float | None = None
    stale: int = 0


def save_state(state: State, config: Config, world: int, folder: Path) -> None:
    """Write the state into the folder. The previous state is replaced once this one is on disk.

    Raises:
        InputError: the file can't be written; the previous one is still there.
    """
    tensors = _named("lifter", state.lifter.state_dict()) | _named("average", state.average.state_dict())
    if state.best is not None:
        tensors |= _named("best", state.best.state_dict())
    for number, optimizer in enumerate(state.optimizers):
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= _named(f"optimizer.{number}.{index}", moments)
    tensors["losses"] = torch.stack(state.losses) if state.losses else torch.empty(0)
    tensors["random.cpu"] = torch.get_rng_state()
    device = next(state.lifter.parameters()).device
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    facts = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "version": __version__,
        "processes": world,
        "device": device.type,
        "step": state.step,
        "score": state.score,
        "best_score": state.best_score,
        "stale": state.stale,
        "config": plain(config),
    }
    content = serialize(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"training": json.dumps(facts)},
    )
    with atomic_path(folder / FILE) as temporary:
        temporary.write_bytes(content)


def load_state(state: State, config: Config, world: int, folder: Path) -> None:
    """Restore the state from the folder's file, bit for bit.

    Raises:
        InputError: the file is unreadable, a pickle, of another version, or of a run that differs; the message names
            what differs.
    """
    path = folder / FILE
    with _opened(path) as (facts, file):
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    device = next(state.lifter.parameters()).device
    here = {"version": __version__, "processes": world, "device": device.type, "config": plain(config)}
    there = {name: facts.get(name) for name in here}
    found = differences(there, json.loads(json.dumps(here)))
    found = [(key.removeprefix("config."), *values) for key, *values in found]
    # The state is of before the calibration, so a run that goes on may be calibrated in another way.
    found = [entry for entry in found if entry[0].partition(".")[0] != "calibration"]
    if told := "; ".join(f"{key} is {old!r} there, {new!r} here" for key, old, new in found if key not in FREE):
        raise InputError(
            f"{path}: is of another run: {told}; to start from its weights, "
            f"set model.start = {str(folder)!r} and another run.out"
        )
    try:
        state.step, state.score = facts["step"], facts["score"]
        state.best_score, state.stale = facts["best_score"], facts["stale"]
        state.lifter.load_state_dict(_part("lifter", tensors))
        state.average.load_state_dict(_part("average", tensors))
        if best := _part("best", tensors):
            state.best = state.average.with_window(state.average.config.window).eval()
            state.best.load_state_dict(best)
        for number, optimizer in enumerate(state.optimizers):
            _load_moments(optimizer, _part(f"optimizer.{number}", tensors))
        state.losses = list(tensors["losses"].to(device))
        torch.set_rng_state(tensors["random.cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], device)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: does not hold a whole training: {reason}") from error


def precision_of(folder: Path) -> Precision:
    """The precision that the folder's run is trained in.

    Raises:
        InputError: the folder's file is not the state of a training.
    """
    path = folder / FILE
    with _opened(path) as (facts, _):
        precision = facts.get("config", {}).get("run", {}).get("precision")
    if precision not in PRECISIONS:
        raise InputError(f"{path}: run.precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return cast(Precision, precision)


def clear_away(folder: Path) -> None:
    """Remove the temporary files that a killed process left in the folder."""
    for path in folder.glob(f".{FILE}.*.tmp*"):
        path.unlink(missing_ok=True)
    for scratch in folder.glob(".writing-*"):
        for path in scratch.glob("*"):
            path.unlink(missing_ok=True)
        scratch.rmdir()


def refuse_pickle(path: Path) -> None:
    """Refuse to read weights from a pickle, which can run code.

    Raises:
        InputError: the file is a pickle by its ending or its first bytes; the message tells how to convert it.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(9)
    pickled = head[8:] != b"{" and (head.startswith(b"PK\x03\x04") or head.startswith(b"\x80"))
    if pickled or path.suffix in PICKLES:
        raise InputError(
            f"{path}: is a pickle, which can run code, wanted a folder with config.json and model.safetensors. "
            "Convert it once: lifter.load_state_dict(torch.load(FILE, weights_only=True)), then "
            "lifter.save_pretrained(FOLDER), and give that folder as model.start"
        )


def refuse_pickles(paths: Iterable[Path]) -> None:
    """`refuse_pickle` for the files with an ending of pickles."""
    for path in sorted(paths):
        if path.suffix in PICKLES:
            refuse_pickle(path)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """The facts in the header of a training's state, and the open file of its tensors."""
    refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield _facts(file.metadata(), path), file
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: can't be read as safetensors: {error}") from error


def _facts(metadata: Mapping[str, str] | None, path: Path) -> dict[str, Any]:
    try:
        facts = json.loads((metadata or {})["training"])
    except (KeyError, ValueError):
        facts = None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise InputError(f"{path}: is not the state of a training (format must be {FORMAT!r})")
    if facts.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path}: format_version must be {FORMAT_VERSION}, got {facts.get('format_version')!r}")
    return facts


def _load_moments(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, moment = name.partition(".")
        moments.setdefault(int(index), {})[moment] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
