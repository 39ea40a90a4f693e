"""Loads a build of the kernel repository by its path, as the library ``kernels`` does, and runs what it is given.

``python tests/kernels/loading_kernel_repo.py BUILD CASES OUT``: CASES holds functions by name, with tensors and
options; OUT gets their results and gradients. `olift_fast` can't be imported meanwhile.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def loaded(build: Path) -> ModuleType:
    """The package of a build, under the name that its ``metadata.json`` gives."""
    name = json.loads((build / "metadata.json").read_text())["id"]
    spec = importlib.util.spec_from_file_location(name, build / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(
    function: Callable[..., Any], leaves: dict[str, Tensor], options: dict, differentiable: bool
) -> dict[str, Tensor]:
    """The output, of several the last, and the leaves' gradients for an upstream gradient of the output's cosines."""
    leaves = {name: leaf.detach().requires_grad_(differentiable) for name, leaf in leaves.items()}
    out = function(**leaves, **options)
    out = out[-1] if isinstance(out, tuple) else out
    gradients = torch.autograd.grad(out, [*leaves.values()], out.detach().cos()) if differentiable else ()
    return {"out": out.detach(), **dict(zip(leaves, gradients, strict=False))}


def main(build: str, cases: str, out: str) -> None:
    """Runs the cases by Triton, and by plain PyTorch, and writes both."""
    sys.modules["olift_fast"] = None  # type: ignore[assignment]
    package = loaded(Path(build))
    made = {}
    for name, (function, leaves, options, differentiable) in torch.load(cases).items():
        for backend in ("triton", "eager"):
            with package.use_backend(backend):
                made[name, backend] = results(getattr(package, function), leaves, options, differentiable)
    facts = {
        "why_not": package.why_not("triton"),
        "modules": sorted(name for name in sys.modules if name.split(".")[0] == "olift_fast"),
        "all": package.__all__,
    }
    torch.save((made, facts), out)


if __name__ == "__main__":
    main(*sys.argv[1:])
