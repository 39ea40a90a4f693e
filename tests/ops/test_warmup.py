"""`warmup` reaches every operation, and names what it can't do."""

from __future__ import annotations

import importlib

import pytest
import torch

from olift_fast import ops

module = importlib.import_module("olift_fast.ops.warmup")


@pytest.mark.parametrize("backward", [False, True])
def test_runs_every_operation_with_and_without_masks(backward: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for name in ("banded_attention_packed", "joint_attention_packed", "rff_linear"):
        original = getattr(module, name)

        def spy(*args, name: str = name, original=original, **options):
            seen.append((name, tuple(sorted(key for key, value in options.items() if value is not None))))
            assert args[0].requires_grad == (backward and name != "rff_linear")
            return original(*args, **options)

        monkeypatch.setattr(module, name, spy)
    ops.warmup(1, 20, 3, 2, 8, window=(3, 2), device="cpu", backward=backward)
    assert ("banded_attention_packed", ()) in seen
    assert ("banded_attention_packed", ("bias", "lengths", "visible")) in seen
    assert ("joint_attention_packed", ("graph", "visible")) in seen
    assert ("rff_linear", ("token", "visible")) in seen


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"joints must be >= 1, got 0"):
        ops.warmup(1, 20, 0, 2, 8, device="cpu")
    with pytest.raises(ValueError, match=r"window .* >= 0, got \(-1, 2\)"):
        ops.warmup(1, 20, 3, 2, 8, window=(-1, 2), device="cpu")


@pytest.mark.gpu
def test_nothing_compiles_afterwards() -> None:
    from triton.runtime.jit import JITFunction

    ops.warmup(2, 48, 26, 4, 32, dtype=torch.bfloat16, backward=True)
    compiled = []
    compile_kernel = JITFunction._do_compile
    JITFunction._do_compile = lambda self, *args: compiled.append(self) or compile_kernel(self, *args)
    try:
        qkv = torch.randn(3, 77, 26, 3, 4, 32, dtype=torch.bfloat16, device="cuda", requires_grad=True)
        bias = torch.randn(4, 17, device="cuda", requires_grad=True)
        ops.banded_attention_packed(qkv, 8, bias=bias).sum().backward()
        ops.joint_attention_packed(qkv).sum().backward()
    finally:
        JITFunction._do_compile = compile_kernel
    assert compiled == []
