"""Attention over a window of time in place of the full self-attention of an existing model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from torch import nn

from olift_fast.nn.multihead import BandedMultihead, refuse_multihead
from olift_fast.ops.banded_attention import check_window

Predicate = Callable[[str, nn.Module], bool]
Window = int | tuple[int, int]
Convert = Callable[[Any, Window], nn.Module]


def swap_attention(
    model: nn.Module,
    window: Window,
    *,
    predicate: Predicate | None = None,
    convert: Convert | None = None,
) -> Swap:
    """Replace a model's self-attention over time, in place, by attention over a window of time.

    The replacements hold the same parameters under the same names, so optimizers and checkpoints keep working before,
    during and after. With a window of T or more frames outputs and gradients are the same too.

    Args:
        model: holds `nn.MultiheadAttention` somewhere, alone or in an `nn.TransformerEncoderLayer`.
        window: ``(left, right)`` frames, or α for ``(α, α)``.
        predicate: called with the qualified name and the module for each `nn.MultiheadAttention` and
            `nn.TransformerEncoderLayer` (whose ``self_attn`` is meant), True for those that attend over time. By
            default all are replaced; give it where the model attends over joints as well.
        convert: called with a module and the window, returns the replacement; for a model whose attention is a class of
            its own. The predicate is then required, and called for every module of the model.

    Returns:
        `Swap`: the names of what was replaced; its `undo` puts the originals back.

    Raises:
        ValueError: nothing was picked, a picked module can't be replaced (the message says which and why), or the
            window is negative. The model is then left as it was.

    Warns:
        UserWarning: an attention had dropout of its weights, which is left out.
    """
    if convert is not None and predicate is None:
        raise ValueError("predicate must be given with convert, got None")
    picked = _picked(model, predicate, everything=convert is not None)
    if not picked:
        if predicate is not None:
            raise ValueError("predicate must pick a module to replace, got none")
        raise ValueError(f"model has no nn.MultiheadAttention{_own_attention(model)}")
    check_window(window)
    make: Convert = convert or BandedMultihead
    replacements: dict[int, nn.Module] = {}
    for name, original in picked.items():
        if name == "":
            raise ValueError("model is itself the attention to replace, and has no parent to hold another")
        if convert is None and (refusal := refuse_multihead(original)) is not None:
            raise ValueError(f"{name} {refusal}")
        if outer := next((other for other in picked if name.startswith(f"{other}.")), None):
            raise ValueError(f"predicate must not pick a module inside another, got {name} in {outer}")
        if id(original) not in replacements:
            replacements[id(original)] = make(original, window)
    dropped = {name: getattr(original, "dropout", 0.0) for name, original in picked.items() if convert is None}
    if any(dropped.values()):
        values = ", ".join(f"{name} ({dropout:g})" for name, dropout in dropped.items() if dropout)
        warnings.warn(f"the dropout of attention weights is left out in training: {values}", stacklevel=2)
    return Swap(model, {name: (original, replacements[id(original)]) for name, original in picked.items()})


class Swap:
    """What `swap_attention` replaced in a model. As a context manager it calls `undo` at the end.

    Args:
        model: whose modules to replace.
        modules: original and replacement by qualified name.
    """

    def __init__(self, model: nn.Module, modules: dict[str, tuple[nn.Module, nn.Module]]) -> None:
        self.model = model
        self._modules = modules
        self._encoders: list[nn.TransformerEncoder] = []
        for name, (_, replacement) in modules.items():
            model.set_submodule(name, replacement)
        # With use_nested_tensor an encoder gives its layers nested tensors, which attention over a window can't read.
        for name, module in model.named_modules():
            inside = any(picked.startswith(f"{name}." if name else "") for picked in modules)
            if isinstance(module, nn.TransformerEncoder) and inside and module.use_nested_tensor:
                module.use_nested_tensor = False
                self._encoders.append(module)

    @property
    def names(self) -> tuple[str, ...]:
        """The qualified names of the modules that were replaced."""
        return tuple(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __repr__(self) -> str:
        return f"Swap({', '.join(self._modules)})"

    def undo(self) -> None:
        """Put the originals back, with the values that the parameters have now; a second call does nothing.

        Raises:
            ValueError: the parameters of a replacement made by `convert` don't fit the original's names and shapes.
        """
        for name, (original, replacement) in self._modules.items():
            _hand_back(original, replacement)
            original.train(replacement.training)
            self.model.set_submodule(name, original)
        for encoder in self._encoders:
            encoder.use_nested_tensor = True
        self._modules, self._encoders = {}, []

    def __enter__(self) -> Swap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def _own_attention(model: nn.Module) -> str:
    """The way out for a model whose attention is a class of its own, with the modules that look like it."""
    names = [name for name, module in model.named_modules() if "attention" in type(module).__name__.lower() and name]
    found = f" (these may be: {', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
    return f"; where its attention is a class of its own{found}, give predicate and convert"


def _picked(model: nn.Module, predicate: Predicate | None, everything: bool) -> dict[str, nn.Module]:
    """What to replace, by name; a module that is held in two places is listed under both names."""
    picked = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if everything:
            if predicate is not None and predicate(name, module):
                picked[name] = module
        elif isinstance(module, nn.MultiheadAttention):
            if predicate is None or predicate(name, module):
                picked[name] = module
        elif isinstance(module, nn.TransformerEncoderLayer) and predicate is not None and predicate(name, module):
            attention = f"{name}.self_attn" if name else "self_attn"
            picked[attention] = module.self_attn
    return picked


def _hand_back(original: nn.Module, replacement: nn.Module) -> None:
    """Gives the original the parameters that the replacement has now.

    A `BandedMultihead` shares them with the original, until ``load_state_dict(assign=True)`` or a move to another
    device, say, replaces them.
    """
    if isinstance(replacement, BandedMultihead):
        for name, parameter in replacement.named_parameters():
            parent, _, last = name.rpartition(".")
            setattr(original.get_submodule(parent), last, parameter)
        return
    shared = {id(parameter) for parameter in replacement.parameters()}
    if all(id(parameter) in shared for parameter in original.parameters()):
        return
    try:
        original.load_state_dict(replacement.state_dict())
    except RuntimeError as error:
        raise ValueError(f"the parameters of the replacement don't fit the original: {error}") from error
