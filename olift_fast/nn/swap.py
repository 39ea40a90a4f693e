"""Replaces the full self-attention of an existing model by attention over a window of time."""

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

    The replacements have the same parameters under the same names, so optimizers and checkpoints keep working. If the
    window covers the whole clip, outputs and gradients stay the same, too.

    Args:
        model: contains `nn.MultiheadAttention`, alone or in an `nn.TransformerEncoderLayer`.
        window: ``(left, right)`` frames, or α for ``(α, α)``.
        predicate: picks the attentions over time. It is called with the qualified name and the module for each
            `nn.MultiheadAttention` and each `nn.TransformerEncoderLayer` (True picks its ``self_attn``). By default
            all are replaced, so it is needed for a model that also attends over joints.
        convert: called with a module and the window, returns the replacement; for a model whose attention is a class of
            its own. The predicate is then required, and called for every module of the model.

    Returns:
        `Swap`: the names of the replaced modules; its `undo` puts the originals back.

    Raises:
        ValueError: nothing was picked, a picked module can't be replaced (the message says which and why), or the
            window is negative. The model is then unchanged.

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
    """The modules that `swap_attention` replaced in a model. As a context manager it calls `undo` at the end.

    Args:
        model: its modules are replaced.
        modules: original and replacement by qualified name.
    """

    def __init__(self, model: nn.Module, modules: dict[str, tuple[nn.Module, nn.Module]]) -> None:
        self.model = model
        self._modules = modules
        self._encoders: list[nn.TransformerEncoder] = []
        for name, (_, replacement) in modules.items():
            model.set_submodule(name, replacement)
        # With use_nested_tensor an encoder passes nested tensors to its layers, but BandedMultihead can't read them.
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
        """Put the originals back, with the current values of the parameters. A second call does nothing.

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
    """The rest of a message, for a model with its own class of attention: what to do, and which modules it may be."""
    names = [name for name, module in model.named_modules() if "attention" in type(module).__name__.lower() and name]
    found = f" (these may be: {', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
    return f"; where its attention is a class of its own{found}, give predicate and convert"


def _picked(model: nn.Module, predicate: Predicate | None, everything: bool) -> dict[str, nn.Module]:
    """The modules to replace, by name. A module that is in two places is listed under both names."""
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
    """Give the original the current parameters of the replacement.

    A `BandedMultihead` shares its parameters with the original. But ``load_state_dict(assign=True)``, or a move to
    another device, replaces the parameters of the `BandedMultihead` alone.
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
