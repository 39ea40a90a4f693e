"""The optimizer Muon. Matrices are stacked by shape and divided among the processes; on the CPU they are in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Muon(torch.optim.Muon):
    """The steps of ``torch.optim.Muon``, with its arguments and its state.

    PyTorch's own multiplies one matrix at a time, in bfloat16, and repeats all of it in every process. A CPU without
    instructions for bfloat16 then spends half of a training step here. This class differs in three ways:

    - On the CPU the products are in float32. On a GPU they are in bfloat16, as in PyTorch.
    - Matrices of one shape (or its transpose) go through the iteration together.
    - In a distributed training each process computes a share of the matrices, and all get the results. So all processes
      must have the same gradients, as with ``DistributedDataParallel``.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon/.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step for all parameters that have a gradient. ``closure``, if given, computes the loss again."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step(group)
        return loss

    def _step(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        updates = []
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(gradient, memory_format=torch.preserve_format)
            momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
            updates.append(gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum)
        rate, decay = float(group["lr"]), float(group["weight_decay"])
        updates = orthogonal(updates, group["ns_coefficients"], group["ns_steps"], group["eps"])
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - rate * decay)
            parameter.add_(update, alpha=-rate * _scale(group["adjust_lr_fn"], *parameter.shape))


def orthogonal(
    matrices: Sequence[Tensor], coefficients: tuple[float, float, float], steps: int, eps: float
) -> list[Tensor]:
    """``U Vᵀ`` of each matrix ``U S Vᵀ``, approximately: the singular values of the results are from 0.7 to 1.2.

    ``X`` starts as the matrix divided by its Frobenius norm. Each step computes ``X ← a X + (b X Xᵀ + c (X Xᵀ)²) X``.

    Args:
        matrices: (rows, columns) each, of any shapes, on one device.
        coefficients: a, b, c.
        steps: their number.
        eps: a smaller norm counts as `eps`, so that nothing is divided by 0.

    Returns:
        A new tensor for each matrix, of its shape: float32, or bfloat16 on a GPU. If ``torch.distributed`` runs, all
        processes must call this with the same matrices, and each computes a share of them. So the same parameters must
        have gradients in all processes.
    """
    if not matrices:
        return []
    here, world = (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)
    places = _by_shape(matrices)
    stacks = []
    for indices in places:
        wide = [_wide(matrices[k]) for k in indices]
        padded = wide + [torch.zeros_like(wide[0])] * (-len(wide) % world)
        share = len(padded) // world
        mine = torch.stack(padded[here * share : (here + 1) * share])
        mine = mine.to(torch.float32 if mine.device.type == "cpu" else torch.bfloat16)
        stacks.append(_newton_schulz(mine, coefficients, steps, eps))
    if world > 1:
        stacks = _gathered(stacks, world)
    found: dict[int, Tensor] = {}
    for indices, stack in zip(places, stacks, strict=True):
        for k, matrix in zip(indices, stack, strict=False):
            found[k] = matrix if _is_wide(matrices[k]) else matrix.mT
    return [found[k] for k in range(len(matrices))]


def _newton_schulz(x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    a, b, c = coefficients
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _gathered(stacks: Sequence[Tensor], world: int) -> list[Tensor]:
    """The shares (n, rows, columns) of all processes, concatenated for each stack, by one ``all_gather``."""
    flat = torch.cat([stack.flatten() for stack in stacks])
    everything = [torch.empty_like(flat) for _ in range(world)]
    dist.all_gather(everything, flat)
    parts = [part.split([stack.numel() for stack in stacks]) for part in everything]
    return [torch.cat([part[k].view(stack.shape) for part in parts]) for k, stack in enumerate(stacks)]


def _by_shape(matrices: Sequence[Tensor]) -> list[list[int]]:
    """Groups of indices: the matrices of a group have one shape, or its transpose."""
    places: dict[tuple[int, ...], list[int]] = {}
    for k, matrix in enumerate(matrices):
        places.setdefault(tuple(sorted(matrix.shape)), []).append(k)
    return list(places.values())


def _is_wide(matrix: Tensor) -> bool:
    return matrix.shape[0] <= matrix.shape[1]


def _wide(matrix: Tensor) -> Tensor:
    return matrix if _is_wide(matrix) else matrix.mT


def _scale(adjust: str | None, rows: int, columns: int) -> float:
    """The factor of the learning rate for a matrix of this shape."""
    if adjust == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
