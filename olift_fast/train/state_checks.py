"""Checks by its header that a saved state belongs to this training, before any tensor is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from olift_fast.errors import InputError
from olift_fast.model.foreign import shown
from olift_fast.model.tensor_files import Stored, check_shapes

if TYPE_CHECKING:
    from olift_fast.train.state import State

MOMENTS: dict[str, tuple[str, ...]] = {"AdamW": ("step", "exp_avg", "exp_avg_sq"), "Muon": ("momentum_buffer",)}
"""What each optimizer keeps for a parameter: "step" is a scalar, the others are tensors of the parameter's shape."""


def checksum(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the facts, as JSON, and of each tensor's name, dtype, shape and bytes, in hexadecimal."""
    found = hashlib.sha256(json.dumps(facts).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.reshape(-1)
        if flat.stride(0) != 1:  # A tensor of one element may have any stride; `view` refuses it.
            flat = flat.clone(memory_format=torch.contiguous_format)
        content: Any = flat.view(torch.uint8).numpy()
        found.update(content)
    return found.hexdigest()


def check_progress(facts: Mapping[str, Any], steps: int) -> None:
    """Raises InputError if the progress in `facts` (step, scores) is impossible for a training of so many steps."""
    most = steps
    for name in ("step", "stale"):
        value = facts.get(name)
        if type(value) is not int or not 0 <= value <= most:
            raise InputError(f"{name} must be a whole number from 0 to {most}, got {shown(value)}")
        most = value
    for name in ("score", "best_score"):
        if name not in facts or not (facts[name] is None or type(facts[name]) in (int, float)):
            raise InputError(f"{name} must be a number or null, got {shown(facts.get(name))}")


def check_tensors(state: State, facts: Mapping[str, Any], held: Mapping[str, Stored]) -> None:
    """Raises InputError unless names, shapes and dtypes of the tensors are those that this training saves.

    Args:
        state: of a training that has just begun.
        facts: as `check_progress` has checked them.
        held: the file's tensors by name, from its header.
    """
    weights = {name: tuple(tensor.shape) for name, tensor in state.lifter.state_dict().items()}
    parts = ["lifter", "average"] + ["best"] * (facts["best_score"] is not None)
    wanted = {f"{part}.{name}": shape for part in parts for name, shape in weights.items()}
    for number, optimizer in enumerate(state.optimizers):
        wanted |= dict(_moments(optimizer, f"optimizer.{number}", held))
    bytes_wanted = dict(_random(state))
    floats = {name: stored for name, stored in held.items() if name not in bytes_wanted and name != "losses"}
    check_shapes(floats, wanted, ("F32",))
    check_shapes({name: held[name] for name in bytes_wanted if name in held}, bytes_wanted, ("U8",))
    losses = held.get("losses")
    if losses is None or losses.dtype != "F32" or len(losses.shape) != 1 or losses.shape[0] > facts["step"]:
        raise InputError(f"losses must be one float32 a step at most, got {shown(losses)}")


def _moments(
    optimizer: torch.optim.Optimizer, prefix: str, held: Mapping[str, Stored]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of an optimizer's moments. A parameter that had no gradient yet has no moments."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        names = {moment: f"{prefix}.{index}.{moment}" for moment in MOMENTS[type(optimizer).__name__]}
        if any(name in held for name in names.values()):
            for moment, name in names.items():
                yield name, () if moment == "step" else tuple(parameter.shape)


def _random(state: State) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the states of the generators of random numbers."""
    yield "random.cpu", tuple(torch.get_rng_state().shape)
    device = next(state.lifter.parameters()).device
    if device.type == "cuda":
        yield "random.cuda", tuple(torch.cuda.get_rng_state(device).shape)
