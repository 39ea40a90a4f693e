"""The native CPU backend of `procrustes`, registered as ``olift::procrustes``, and its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops._native import native_module

KINDS = {"rigid": 0, "similarity": 1, "rotation": 2}

AMBIGUOUS = {torch.float32: 1e-6, torch.float64: 1e-13}
"""Below this conditioning the rotation counts as ambiguous, and its gradient is 0."""


def native_procrustes(
    source: Tensor, target: Tensor, weights: Tensor | None, kind: str, reflection: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`procrustes` by the C++ kernel on ``(N, P, 3)`` views: R, s, t and the conditioning."""
    batch = source.shape[:-2]
    flat = [x.reshape(-1, *x.shape[len(batch) :]) for x in (source, target)]
    flat_weights = None if weights is None else weights.reshape(-1, weights.shape[-1])
    outputs = _forward(flat[0], flat[1], flat_weights, kind, reflection)
    rotation, scale, translation, conditioning = (x.reshape(batch + x.shape[1:]) for x in outputs)
    return rotation, scale, translation, conditioning


@torch.library.custom_op("olift::procrustes", mutates_args=(), device_types="cpu")
def _forward(
    source: Tensor, target: Tensor, weights: Tensor | None, kind: str, reflection: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(R ``(N, 3, 3)``, s ``(N,)``, t ``(N, 3)``, conditioning ``(N,)``)."""
    outputs = _outputs(source)
    if len(source):
        native = native_module()
        assert native is not None
        source, target = (x if x.stride(-1) == 1 else x.contiguous() for x in (source, target))
        native.procrustes_forward(
            source.data_ptr(),
            target.data_ptr(),
            0 if weights is None else weights.data_ptr(),
            *(x.data_ptr() for x in outputs),
            count=source.shape[0],
            points=source.shape[1],
            dtype=source.element_size(),
            source_strides=source.stride()[:2],
            target_strides=target.stride()[:2],
            weights_strides=(0, 0) if weights is None else weights.stride(),
            kind=KINDS[kind],
            reflection=reflection,
            threads=torch.get_num_threads(),
        )
    return outputs


@_forward.register_fake
def _(
    source: Tensor, target: Tensor, weights: Tensor | None, kind: str, reflection: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _outputs(source)


def _outputs(source: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count = source.shape[0]
    shapes = ((count, 3, 3), (count,), (count, 3), (count,))
    rotation, scale, translation, conditioning = (source.new_empty(shape) for shape in shapes)
    return rotation, scale, translation, conditioning


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    source, target, weights, kind, _ = inputs
    ctx.save_for_backward(source, target, weights, *output)
    ctx.kind = kind


def _autograd(ctx, grad_rotation: Tensor, grad_scale: Tensor, grad_translation: Tensor, _: Tensor):  # type: ignore[no-untyped-def]
    gradients = procrustes_gradient(ctx.saved_tensors, ctx.kind, grad_rotation, grad_scale, grad_translation)
    return *gradients, None, None


_forward.register_autograd(_autograd, setup_context=_setup_context)


def procrustes_gradient(
    saved: tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor],
    kind: str,
    grad_rotation: Tensor,
    grad_scale: Tensor,
    grad_translation: Tensor,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients for source, target and weights of a Procrustes fit, given those of R, s and t.

    `saved` holds source, target and weights ``(N, P, …)`` and the fit: R, s, t, conditioning.

    With ``M = Σ w target sourceᵀ`` (centred) and the symmetric ``S = RᵀM``, a change dM turns R by ω, ``dR = R[ω]×``,
    where ``(tr(S) I - S) ω = vee(RᵀdM - dMᵀR)``. So ``dL/dM = R [b]×`` with ``(tr(S) I - S) b = vee(Rᵀ dL/dR)``: one
    3×3 solve, which is singular only where the rotation itself is ambiguous; there b is 0.
    """
    source, target, weights, rotation, scale, _, conditioning = saved
    mass = source.new_ones(source.shape[:-1]) if weights is None else weights
    mass = mass.unsqueeze(-1)
    source = torch.where(mass > 0, source, 0.0)
    target = torch.where(mass > 0, target, 0.0)
    total = mass.sum(dim=-2, keepdim=True)
    total = torch.where(total > 0, total, 1.0)
    moves = kind != "rotation"
    source_mean = (mass * source).sum(dim=-2, keepdim=True) / total * moves
    target_mean = (mass * target).sum(dim=-2, keepdim=True) / total * moves
    source, target = source - source_mean, target - target_mean

    grad_scale = grad_scale[:, None, None]
    grad_translation = grad_translation.unsqueeze(-1)
    if moves:
        grad_scale = grad_scale - (grad_translation * (rotation @ source_mean.mT)).sum(dim=-2, keepdim=True)
        grad_rotation = grad_rotation - scale[:, None, None] * (grad_translation @ source_mean)

    moment = target.mT @ (mass * source)
    symmetric = rotation.mT @ moment
    turned = rotation.mT @ grad_rotation
    eye = torch.eye(3, dtype=source.dtype, device=source.device)
    trace = symmetric.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[:, None, None]
    clear = (conditioning > AMBIGUOUS[source.dtype])[:, None, None]
    system = torch.where(clear, trace * eye - symmetric, eye)
    unit = system.abs().amax(dim=(-2, -1), keepdim=True)
    solution = torch.where(clear, _solve_3x3(system / unit, _vee(turned)) / unit, 0.0)
    grad_moment = rotation @ _cross_matrix(solution.squeeze(-1))
    grad_mass = source.new_zeros(mass.shape)
    extra = source.new_zeros(())
    if kind == "similarity":
        spread = (mass * source.square()).sum(dim=(-2, -1), keepdim=True)
        per_spread = torch.where(spread > 0, grad_scale / torch.where(spread > 0, spread, 1.0), 0.0)
        grad_moment = grad_moment + per_spread * rotation
        extra = per_spread * scale[:, None, None]
        grad_mass = -extra * source.square().sum(dim=-1, keepdim=True)

    grad_mass = grad_mass + ((target @ grad_moment) * source).sum(dim=-1, keepdim=True)
    grad_source = mass * (target @ grad_moment) - 2 * extra * mass * source
    grad_target = mass * (source @ grad_moment.mT)
    if moves:
        grad_target_mean = grad_translation.mT
        grad_source_mean = -scale[:, None, None] * (grad_translation.mT @ rotation)
        grad_source = grad_source + mass / total * grad_source_mean
        grad_target = grad_target + mass / total * grad_target_mean
        pull = (source * grad_source_mean).sum(dim=-1, keepdim=True)
        pull = pull + (target * grad_target_mean).sum(dim=-1, keepdim=True)
        grad_mass = grad_mass + pull / total
    grad_weights = None if weights is None else torch.where(mass > 0, grad_mass, 0.0).squeeze(-1)
    return grad_source, grad_target, grad_weights


def _vee(matrix: Tensor) -> Tensor:
    """``(N, 3, 3)`` → ``(N, 3, 1)``: the vector of ``matrix - matrixᵀ``."""
    skew = matrix - matrix.mT
    return torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=-1).unsqueeze(-1)


def _cross_matrix(vector: Tensor) -> Tensor:
    """``(N, 3)`` → ``[vector]×`` ``(N, 3, 3)``."""
    x, y, z = vector.unbind(dim=-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def _solve_3x3(matrix: Tensor, right: Tensor) -> Tensor:
    """``matrix⁻¹ right`` by cofactors: no pivoting, no synchronisation."""
    a, b, c = matrix.unbind(dim=-2)
    columns = [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)]
    determinant = (a * columns[0]).sum(dim=-1)[:, None, None]
    return torch.stack(columns, dim=-1) @ right / determinant
