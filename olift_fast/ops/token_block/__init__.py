"""All layers between two attentions in one pass over the tokens, for inference."""

from __future__ import annotations

from torch import Tensor

from olift_fast.ops.backends import Backend, choose_backend
from olift_fast.ops.checks import check_device, check_floating, check_shape
from olift_fast.ops.registration import autocast_dtype
from olift_fast.ops.token_block.eager import eager_block
from olift_fast.ops.token_block.registration import Head, Linear, Mlp, Norm, product_dtype, tensors_of
from olift_fast.ops.token_block.triton_launch import refuse_triton_block, slower_than_eager, triton_block

__all__ = ["Head", "Linear", "Mlp", "Norm", "token_block"]


def token_block(
    tokens: Tensor,
    attended: Tensor | None,
    projection: Linear | None,
    mlp: Mlp | None,
    head: Head,
    *,
    epsilon: float = 1e-5,
    keep: bool = True,
    backend: Backend | None = None,
) -> tuple[Tensor | None, Tensor]:
    """``x = tokens + projection(attended)``, then ``x + mlp(norm(x))``, then ``head(norm(x))``.

    Between two attentions of a transformer, `mlp` is of the layer before, and `head` computes the queries, keys and
    values of the layer after. Of the intermediate values only x is written to memory.

    Args:
        tokens: ``(..., D)``.
        attended: the attention's output, ``(..., D)``; None without `projection`.
        projection: weight ``(D, D)`` and bias ``(D,)`` of a linear layer. In all layers the bias may be None. None adds
            nothing.
        mlp: a norm (weight and bias, ``(D,)`` both), a layer D → E, the exact GELU (with erf) and a layer E → D. None
            adds nothing.
        head: a norm, a layer D → F, and None or, after a GELU, a layer F → G.
        epsilon: what the norms add to the variance.
        keep: whether to return x.
        backend: "triton" (GPU; float32, float16, bfloat16; D up to 256, G up to 64; no gradients) or "eager"; by
            default the first that takes these tensors, and for many tokens of D > 128 in float32 "eager".

    Returns:
        x ``(..., D)`` in tokens' dtype, or None without `keep`; and the head's output: ``(..., F)`` in the dtype of the
        products (the weights' dtype, or autocast's under autocast), or ``(..., G)`` in tokens' dtype.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run.

    Equivalent to `olift_fast.reference.token_block`.
    """
    _check(tokens, attended, projection, mlp, head)
    refusals = {"triton": refuse_triton_block(tokens, attended, projection, mlp, head)}
    slower = slower_than_eager(tokens, product_dtype(head))
    if choose_backend("token_block", backend, refusals, slower) == "eager":
        return eager_block(tokens, attended, projection, mlp, head, epsilon, keep)
    return triton_block(tokens, attended, projection, mlp, head, epsilon, keep)


def _check(tokens: Tensor, attended: Tensor | None, projection: Linear | None, mlp: Mlp | None, head: Head) -> None:
    check_floating("tokens", tokens)
    if tokens.dim() < 1 or tokens.shape[-1] < 1:
        raise ValueError(f"tokens must be (..., D), got {tuple(tokens.shape)}")
    width = tokens.shape[-1]
    if (attended is None) != (projection is None):
        raise ValueError("attended and projection must be given together")
    if attended is not None and projection is not None:
        check_floating("attended", attended)
        check_shape("attended", attended, tuple(tokens.shape))
        _check_layer("projection", projection, width, width)
    if mlp is not None:
        norm, inner, outer = mlp
        _check_norm("mlp's norm", norm, width)
        _check_layer("mlp's first layer", inner, width, None)
        _check_layer("mlp's second layer", outer, inner[0].shape[0], width)
    norm, first, last = head
    _check_norm("head's norm", norm, width)
    _check_layer("head's first layer", first, width, None)
    if last is not None:
        _check_layer("head's second layer", last, first[0].shape[0], None)
    autocast = autocast_dtype(tokens.device)
    for tensor in (attended, *tensors_of(projection, mlp, head)):
        if tensor is not None:
            check_device("every tensor", tensor, tokens)
    for layer in _layers(projection, mlp, head):
        if autocast is None and layer[0].dtype != tokens.dtype:
            raise TypeError(f"weights must be {tokens.dtype}, as the tokens are, got {layer[0].dtype}")


def _layers(projection: Linear | None, mlp: Mlp | None, head: Head) -> list[Linear]:
    given = [projection, *(() if mlp is None else mlp[1:]), *head[1:]]
    return [layer for layer in given if layer is not None]


def _check_norm(name: str, norm: Norm, width: int) -> None:
    for vector in norm:
        check_floating(name, vector)
        check_shape(name, vector, (width,))


def _check_layer(name: str, layer: Linear, inputs: int, outputs: int | None) -> None:
    weight, bias = layer
    check_floating(name, weight)
    if weight.dim() != 2 or weight.shape[0] < 1:
        raise ValueError(f"{name} must have a weight (outputs, inputs), got {tuple(weight.shape)}")
    check_shape(name, weight, (weight.shape[0] if outputs is None else outputs, inputs))
    if bias is not None:
        check_floating(f"{name}'s bias", bias)
        check_shape(f"{name}'s bias", bias, (weight.shape[0],))
