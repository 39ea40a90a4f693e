"""The saved state of a training, from which it resumes: one safetensors file with JSON in its header."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save as serialize
from torch import Tensor

from olift_fast._version import __version__
from olift_fast.atomic import atomic_path
from olift_fast.errors import InputError
from olift_fast.model import Lifter, tensor_files
from olift_fast.model.foreign import naming, open_regular, parse_json, plain_line, shown
from olift_fast.model.tensor_files import check_finite, open_tensors
from olift_fast.train.config import Config
from olift_fast.train.log import FILE as LOG
from olift_fast.train.precision import PRECISIONS, Precision
from olift_fast.train.state_checks import check_progress, check_tensors, checksum
from olift_fast.train.toml import differences, plain

FILE = "training.safetensors"
FORMAT = "olift-fast training"
FORMAT_VERSION = 2
CHECKSUM = "sha256"
"""The key of the checksum in the header's JSON; states of earlier versions have none."""
MAX_HEADER = 8 * tensor_files.MAX_HEADER
"""Bytes. A state lists weights, their average, the best weights, and up to three moments of each weight."""
TOLD = 5
"""A message names at most this many settings that differ."""
# Settings that may change when a run resumes: the weights after a given step do not depend on them.
FREE = ("run.out", "run.workers", "run.save_every", "run.report_every", "run.stop_after")
PICKLES = (".ckpt", ".pt", ".pth", ".pkl", ".bin")


@dataclass
class State:
    """All that the next step depends on besides the configuration. The batches follow from the number of the step.

    Args:
        lifter: the model that is trained.
        average: a lifter with the exponential average of its weights.
        optimizers: each of them has its own parameters.
        step: steps done.
        losses: a scalar for each step since the last line of the log.
        score: the last score of early stopping; None before the first.
        best, best_score: the lifter with the best score, and that score.
        stale: number of scores since the best one.
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
    """Write the state into the folder. It replaces the previous state after it was written completely.

    Args:
        state: of the training.
        config: of the training; saved with the state.
        world: number of the training's processes.
        folder: of the training.

    Raises:
        InputError: the file can't be written; the previous state is still there.
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
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    facts[CHECKSUM] = checksum(facts, tensors)
    # One entry of metadata, because the library writes several in an order that changes from run to run.
    content = serialize(tensors, metadata={"training": json.dumps(facts)})
    with atomic_path(folder / FILE) as temporary:
        temporary.write_bytes(content)


def load_state(state: State, config: Config, world: int, folder: Path) -> None:
    """Restore the state from the folder's file, bit for bit.

    Args:
        state: of a training that has just begun; it is filled in.
        config, world, folder: as for `save_state`.

    Raises:
        InputError: the file is unreadable, damaged, a pickle, of another version, or of a run with other settings; the
            message names the settings.
    """
    path = folder / FILE
    refuse_pickle(path)
    device = next(state.lifter.parameters()).device
    with open_tensors(path, MAX_HEADER) as file:
        facts = _facts(file.metadata.get("training", ""), path)
        told = facts.pop(CHECKSUM, None)
        _refuse_other_run(facts, config, world, device, folder)
        with naming(f"{path}: does not hold a whole training"):
            check_progress(facts, config.schedule.steps)
            check_tensors(state, facts, file.tensors)
        tensors = {name: torch.from_numpy(file.read(name)) for name in file.tensors}
    if told is not None and told != (found := checksum(facts, tensors)):
        raise InputError(f"{path}: is damaged: its {CHECKSUM} must be {found}, got {shown(told)}")
    for name, tensor in tensors.items():
        if name != "losses" and tensor.is_floating_point():
            check_finite(path, name, tensor.numpy())
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
    try:
        torch.set_rng_state(tensors["random.cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], device)
    except RuntimeError as error:
        raise InputError(f"{path}: does not hold a whole training: {plain_line(str(error))}") from error


def _refuse_other_run(facts: Mapping[str, Any], config: Config, world: int, device: torch.device, folder: Path) -> None:
    """Raises InputError unless the state is of this run; the message names the settings that differ."""
    here = {"version": __version__, "processes": world, "device": device.type, "config": plain(config)}
    there = {name: facts.get(name) for name in here}
    found = differences(there, json.loads(json.dumps(here)))
    found = [(key.removeprefix("config."), *values) for key, *values in found]
    # Calibration comes after the last step, so its settings may change when a run resumes.
    found = [entry for entry in found if entry[0].partition(".")[0] != "calibration" and entry[0] not in FREE]
    if found:
        told = [f"{plain_line(key, 60)} is {shown(old)} there, {shown(new)} here" for key, old, new in found[:TOLD]]
        told += [f"… ({len(found)} in all)"] * (len(found) > TOLD)
        raise InputError(
            f"{folder / FILE}: is of another run: {'; '.join(told)}; to start from its weights, "
            f"set model.start = {str(folder)!r} and another run.out"
        )


def precision_of(folder: Path) -> Precision:
    """The precision of the folder's run.

    Raises:
        InputError: the folder's file is not the state of a training.
    """
    path = folder / FILE
    refuse_pickle(path)
    precision: Any = None
    with open_tensors(path, MAX_HEADER) as file:
        facts = _facts(file.metadata.get("training", ""), path)
    with suppress(KeyError, TypeError):
        precision = facts["config"]["run"]["precision"]
    if precision not in PRECISIONS:
        raise InputError(f"{path}: run.precision must be one of {', '.join(PRECISIONS)}, got {shown(precision)}")
    return cast(Precision, precision)


def clear_away(folder: Path) -> None:
    """Remove the temporary files that a killed process left in the folder. The caller holds the folder's lock."""
    for name in (FILE, LOG):
        for path in folder.glob(f".{name}.*.tmp*"):
            with suppress(OSError):
                path.unlink()
    for scratch in folder.glob(".writing-*"):
        # A link may lead to files that are not the training's.
        if not scratch.is_symlink():
            shutil.rmtree(scratch, ignore_errors=True)


def refuse_pickle(path: Path) -> None:
    """Refuse to read weights from a pickle, which can run code.

    Raises:
        InputError: the ending or the first bytes are those of a pickle; the message tells how to convert it.
    """
    if not path.is_file():
        return
    with open_regular(path) as file:
        head = file.read(9)
    pickled = head[8:] != b"{" and (head.startswith(b"PK\x03\x04") or head.startswith(b"\x80"))
    if pickled or path.suffix in PICKLES:
        raise InputError(
            f"{path}: is a pickle, which can run code, wanted a folder with config.json and model.safetensors. "
            "Convert it once: lifter.load_state_dict(torch.load(FILE, weights_only=True)), then "
            "lifter.save_pretrained(FOLDER), and give that folder as model.start"
        )


def refuse_pickles(paths: Iterable[Path]) -> None:
    """Call `refuse_pickle` for each path whose ending is one of `PICKLES`."""
    for path in sorted(paths):
        if path.suffix in PICKLES:
            refuse_pickle(path)


def _facts(written: str, path: Path) -> dict[str, Any]:
    try:
        facts = parse_json(written.encode("utf-8", "surrogatepass"), constants=True)
    except InputError:
        facts = None
    told = facts.get("format") if isinstance(facts, dict) else facts
    if not isinstance(facts, dict) or told != FORMAT:
        raise InputError(f"{path}: is not the state of a training (format must be {FORMAT!r}, got {shown(told)})")
    if facts.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path}: format_version must be {FORMAT_VERSION}, got {shown(facts.get('format_version'))}")
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
