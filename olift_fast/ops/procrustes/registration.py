"""``olift::procrustes``, ``…_error``, ``…_align`` and ``olift::orthographic_procrustes``, with their gradients.

Fit and error run on the CPU and on CUDA devices, the others on the CPU. They take ``(N, P, 3)`` point sets of any
strides. The kernels are one source for both devices: csrc/geometry.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from olift_fast.ops.procrustes.native import launch, launch_orthographic
from olift_fast.ops.registration import (
    LIBRARY,
    differentiate,
    gradients_of,
    in_places,
    into_batch,
    operation,
    refuse_second_derivative,
)

DEVICES = ("cpu", "cuda")


@operation("procrustes", DEVICES, fake=lambda source, *_: _fit_outputs(source))
def fit(
    source: Tensor, target: Tensor, weights: Tensor | None, kind: str, reflection: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(R ``(N, 3, 3)``, s ``(N,)``, t ``(N, 3)``, conditioning ``(N,)``)."""
    outputs = _fit_outputs(source)
    launch("fit", (source, target, weights), kind, reflection, fit=outputs)
    return outputs


@operation("procrustes_backward", DEVICES, fake=lambda *call: gradients_of(call[3:6], call[-1]))
def fit_backward(
    grad_rotation: Tensor,
    grad_scale: Tensor,
    grad_translation: Tensor,
    source: Tensor,
    target: Tensor,
    weights: Tensor | None,
    rotation: Tensor,
    scale: Tensor,
    conditioning: Tensor,
    kind: str,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """The gradients of those of source, target and weights that are `wanted`."""
    points = (source, target, weights)
    gradients = gradients_of(points, wanted)
    saved = (rotation, scale, None, conditioning)
    upstream = (grad_rotation, grad_scale, grad_translation, None, None)
    launch("fit_gradient", points, kind, fit=saved, upstream=upstream, gradients=in_places(gradients, wanted))
    return gradients


@operation("procrustes_error", DEVICES, fake=lambda source, *_: _error_outputs(source))
def error(
    source: Tensor, target: Tensor, weights: Tensor | None, kind: str, reflection: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """(mean squared error after the fit ``(N,)``, R ``(N, 3, 3)``, s ``(N,)``)."""
    outputs = _error_outputs(source)
    saved = (outputs[1], outputs[2], None, None)
    launch("error", (source, target, weights), kind, reflection, fit=saved, error=outputs[0])
    return outputs


@operation("procrustes_error_backward", DEVICES, fake=lambda *call: gradients_of(call[1:4], call[-1]))
def error_backward(
    grad_error: Tensor,
    source: Tensor,
    target: Tensor,
    weights: Tensor | None,
    error: Tensor,
    rotation: Tensor,
    scale: Tensor,
    kind: str,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """The gradients of those of source, target and weights that are `wanted`; R, s and t are held constant."""
    points = (source, target, weights)
    gradients = gradients_of(points, wanted)
    saved, upstream = (rotation, scale, None, None), (None, None, None, grad_error, None)
    wide = in_places(gradients, wanted)
    launch("error_gradient", points, kind, fit=saved, error=error, upstream=upstream, gradients=wide)
    return gradients


@operation("procrustes_align", ("cpu",), fake=lambda source, *_: _align_outputs(source))
def align(
    source: Tensor, target: Tensor, weights: Tensor | None, kind: str, reflection: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(the source moved ``(N, P, 3)``, R ``(N, 3, 3)``, s ``(N,)``, conditioning ``(N,)``)."""
    outputs = _align_outputs(source)
    moved, rotation, scale, conditioning = outputs
    fit = (rotation, scale, None, conditioning)
    launch("align", (source, target, weights), kind, reflection, fit=fit, moved=moved)
    return outputs


@operation("procrustes_align_backward", ("cpu",), fake=lambda *call: gradients_of(call[1:4], call[-1]))
def align_backward(
    grad_moved: Tensor,
    source: Tensor,
    target: Tensor,
    weights: Tensor | None,
    rotation: Tensor,
    scale: Tensor,
    conditioning: Tensor,
    kind: str,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """The gradients of those of source, target and weights that are `wanted`."""
    points = (source, target, weights)
    gradients = gradients_of(points, wanted)
    fit, upstream = (rotation, scale, None, conditioning), (None, None, None, None, grad_moved)
    launch("align_gradient", points, kind, fit=fit, upstream=upstream, gradients=in_places(gradients, wanted))
    return gradients


@operation("orthographic_procrustes", ("cpu",), fake=lambda source, *_: _camera_outputs(source))
def orthographic(source: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(R ``(N, 3, 3)``, s ``(N,)``, t ``(N, 2)``) of targets ``(N, P, 2)``."""
    outputs = _camera_outputs(source)
    launch_orthographic("fit", (source, target, weights), fit=outputs)
    return outputs


@operation("orthographic_procrustes_backward", ("cpu",), fake=lambda *call: gradients_of(call[3:6], call[-1]))
def orthographic_backward(
    grad_rotation: Tensor,
    grad_scale: Tensor,
    grad_translation: Tensor,
    source: Tensor,
    target: Tensor,
    weights: Tensor | None,
    rotation: Tensor,
    scale: Tensor,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """The gradients of those of source, target and weights that are `wanted`."""
    points = (source, target, weights)
    gradients = gradients_of(points, wanted)
    fit, upstream = (rotation, scale, None), (grad_rotation, grad_scale, grad_translation)
    launch_orthographic("fit_gradient", points, fit=fit, upstream=upstream, gradients=in_places(gradients, wanted))
    return gradients


def _save(ctx, inputs, outputs) -> None:  # type: ignore[no-untyped-def]
    source, target, weights, ctx.kind, _ = inputs
    ctx.save_for_backward(source, target, weights, *outputs)


def _fit_gradient(ctx, grad_rotation: Tensor, grad_scale: Tensor, grad_translation: Tensor, _: Tensor):  # type: ignore[no-untyped-def]
    source, target, weights, rotation, scale, _translation, conditioning = ctx.saved_tensors
    wanted = list(ctx.needs_input_grad[:3])
    upstream = (grad_rotation, grad_scale, grad_translation)
    gradients = fit_backward(*upstream, source, target, weights, rotation, scale, conditioning, ctx.kind, wanted)
    return *in_places(gradients, wanted), None, None


def _error_gradient(ctx, grad_error: Tensor, _grad_rotation: Tensor, _grad_scale: Tensor):  # type: ignore[no-untyped-def]
    wanted = list(ctx.needs_input_grad[:3])
    gradients = error_backward(grad_error, *ctx.saved_tensors, ctx.kind, wanted)
    return *in_places(gradients, wanted), None, None


def _save_aligned(ctx, inputs, outputs) -> None:  # type: ignore[no-untyped-def]
    source, target, weights, ctx.kind, _ = inputs
    ctx.save_for_backward(source, target, weights, *outputs[1:])


def _align_gradient(ctx, grad_moved: Tensor, *_: Tensor):  # type: ignore[no-untyped-def]
    source, target, weights, *fit = ctx.saved_tensors
    wanted = list(ctx.needs_input_grad[:3])
    gradients = align_backward(grad_moved, source, target, weights, *fit, ctx.kind, wanted)
    return *in_places(gradients, wanted), None, None


def _save_camera(ctx, inputs, outputs) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs, *outputs[:2])


def _camera_gradient(ctx, *upstream: Tensor):  # type: ignore[no-untyped-def]
    wanted = list(ctx.needs_input_grad[:3])
    gradients = orthographic_backward(*upstream, *ctx.saved_tensors, wanted)
    return tuple(in_places(gradients, wanted))


differentiate(fit, _fit_gradient, _save)
differentiate(error, _error_gradient, _save)
differentiate(align, _align_gradient, _save_aligned)
differentiate(orthographic, _camera_gradient, _save_camera)
refuse_second_derivative(fit_backward, "procrustes")
refuse_second_derivative(error_backward, "procrustes_mse")
refuse_second_derivative(align_backward, "procrustes_align")
refuse_second_derivative(orthographic_backward, "orthographic_procrustes")


def _fold_batch(op):  # type: ignore[no-untyped-def]
    """The rule of `torch.vmap` for `op`: the mapped dimension becomes part of the batch."""

    def rule(info, in_dims, source, target, weights, *options):  # type: ignore[no-untyped-def]
        points = zip((source, target, weights), in_dims, strict=False)
        folded = (None if x is None else into_batch(x, dim, info.batch_size) for x, dim in points)
        outputs = op(*folded, *options)
        return tuple(x.unflatten(0, (info.batch_size, -1)) for x in outputs), (0,) * len(outputs)

    return rule


for _op in (fit, error, align, orthographic):
    torch.library.register_vmap(_op.op._schema.name, _fold_batch(_op), lib=LIBRARY)


def _fit_outputs(source: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count = source.shape[0]
    shapes = ((count, 3, 3), (count,), (count, 3), (count,))
    rotation, scale, translation, conditioning = (source.new_empty(shape) for shape in shapes)
    return rotation, scale, translation, conditioning


def _error_outputs(source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count = source.shape[0]
    return source.new_empty(count), source.new_empty((count, 3, 3)), source.new_empty(count)


def _align_outputs(source: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count = source.shape[0]
    fit = source.new_empty((count, 3, 3)), source.new_empty(count), source.new_empty(count)
    return source.new_empty(source.shape), *fit


def _camera_outputs(source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count = source.shape[0]
    return source.new_empty((count, 3, 3)), source.new_empty(count), source.new_empty((count, 2))
