"""Compiles the operations' kernels before a stream starts or a CUDA graph is captured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from olift_fast.ops.banded_attention import banded_attention_packed, check_window
from olift_fast.ops.banded_attention_step import banded_attention_step
from olift_fast.ops.joint_attention import joint_attention_packed
from olift_fast.ops.registration import without_autocast
from olift_fast.ops.rff import rff_linear
from olift_fast.ops.token_block import token_block

__all__ = ["warmup", "warmup_model"]


def warmup(
    batch: int,
    frames: int,
    joints: int,
    heads: int,
    head_width: int,
    *,
    window: int | tuple[int, int] = 8,
    frequencies: int = 64,
    mlp_ratio: int = 2,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cuda",
    backward: bool = False,
) -> None:
    """Runs every operation of a lifter of this shape on zeros, with and without masks, and waits for the device.

    Afterwards a call with the same widths, window and dtype compiles nothing, for any batch, frames and joints. But the
    launch configuration depends on these, so give the sizes that the stream will have. Compiled kernels also stay in
    Triton's cache on disk. On the CPU this loads the native module and starts torch's threads.

    Args:
        batch, frames, joints, heads, head_width: B, T, J, H, Dh; the lifter's width D is ``heads · head_width``.
        window: of the motion layers.
        frequencies: F of the keypoint encoder.
        mlp_ratio: hidden width of the MLPs, in multiples of D.
        dtype: of the products: that of the modules, of autocast, or of `Lifter.optimize`. With a half precision,
            tokens in float32, as autocast and `optimize` have them, are run, too.
        device: where the tensors will be.
        backward: True for training: runs gradients, too. False for inference: runs a stream's step, too.

    Raises:
        ValueError: a size is not positive, or the window is negative.
        RuntimeError: there is no such device.
    """
    sizes = {"batch": batch, "frames": frames, "joints": joints, "heads": heads, "head_width": head_width}
    sizes["mlp_ratio"] = mlp_ratio
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be >= 1, got {size}")
    device, width = torch.device(device), heads * head_width
    left, right = check_window(window)

    def zeros(*shape: int, of: torch.dtype = dtype) -> Tensor:
        return torch.zeros(*shape, dtype=of, device=device, requires_grad=backward)

    def run(out: Tensor) -> None:
        if backward:
            out.backward(torch.zeros_like(out))

    with torch.set_grad_enabled(backward):
        seen = torch.ones(batch, frames, joints, dtype=torch.bool, device=device)
        whole = torch.full((batch,), frames, device=device)
        graph = torch.ones(batch, heads, joints, joints, dtype=torch.bool, device=device)
        qkv = zeros(batch, frames, joints, 3, heads, head_width)
        bias = zeros(heads, left + right + 1, of=torch.float32)
        for visible, lengths, offsets in product((None, seen), (None, whole), (None, bias)):
            run(banded_attention_packed(qkv, window, bias=offsets, visible=visible, lengths=lengths))
        for visible, edges in product((None, seen), (None, graph, graph[0])):
            run(joint_attention_packed(qkv, graph=edges, visible=visible))
        keypoints = torch.zeros(batch, frames, joints, 2, device=device)
        freqs = zeros(2, frequencies, of=torch.float32)
        weight, offset = zeros(width, 2 * frequencies), zeros(width)
        of_tokens = dict.fromkeys((dtype, torch.promote_types(dtype, torch.float32)))
        for visible, of in product((None, seen), of_tokens):
            run(rff_linear(keypoints, freqs, weight, offset, visible=visible, token=zeros(width, of=of)))
        if not backward:
            times, held = (torch.full((batch,), count, device=device) for count in (0, 1))
            ring = zeros(batch, left + right + 1, joints, 3, heads, head_width)
            q, k, v = ring.unbind(dim=3)
            for visible, offsets in product((None, seen), (None, bias)):
                banded_attention_step(q, k, v, times, held, (left, right), bias=offsets, visible=visible)
            for of in of_tokens:
                _run_blocks(zeros(batch, frames, joints, width, of=of), mlp_ratio * width, dtype)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _run_blocks(tokens: Tensor, hidden: int, dtype: torch.dtype) -> None:
    """The passes before the first attention, between two of them and after the last, with products in `dtype`."""
    width, device = tokens.shape[-1], tokens.device

    def layer(inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
        weight, bias = torch.zeros(outputs, inputs, dtype=dtype), torch.zeros(outputs, dtype=dtype)
        return weight.to(device), bias.to(device)

    norm = (tokens.new_zeros(width), tokens.new_zeros(width))
    attended, projection = tokens.to(dtype), layer(width, width)
    mlp = norm, layer(width, hidden), layer(hidden, width)
    with without_autocast(device) if tokens.dtype == dtype else torch.autocast(device.type, dtype):
        token_block(tokens, None, None, None, (norm, layer(width, 3 * width), None))
        token_block(tokens, attended, projection, mlp, (norm, layer(width, 3 * width), None))
        for outputs in (3, 5):
            decoder = norm, layer(width, width), layer(width, outputs)
            token_block(tokens, attended, projection, mlp, decoder, keep=False)


def warmup_model(model: nn.Module, *inputs: Any, backward: bool = False, **options: Any) -> None:
    """Runs a model once on an example, so that later calls of its widths and dtypes compile no kernel.

    Parameters, their gradients, buffers and the states of random numbers are left as they were. Call it under the same
    autocast as later, with the model in the same mode and on the same device.

    Args:
        model: any module that uses these operations.
        inputs: the example, as the model takes it.
        backward: True for training: runs gradients, too.
        options: keyword arguments of the model.

    Raises:
        ValueError: with `backward`, if no output of the model depends on a trainable parameter.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = {tensor.device for tensor in (*trained, *(buffer for buffer, _ in buffers)) if tensor.is_cuda}
    try:
        with torch.random.fork_rng([device.index for device in devices]), torch.set_grad_enabled(backward):
            out = [tensor for tensor in _tensors(model(*inputs, **options)) if tensor.requires_grad]
            if backward and not (out and trained):
                raise ValueError("backward: no output of the model depends on a parameter that can be trained")
            if backward:
                torch.autograd.grad([tensor.float().sum() for tensor in out], trained, allow_unused=True)
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
    for device in devices:
        torch.cuda.synchronize(device)


def _tensors(output: Any) -> Iterator[Tensor]:
    """The tensors of what a model returns, in tuples, lists and dictionaries, too."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from _tensors(list(output.values()))
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _tensors(part)
