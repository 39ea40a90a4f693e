"""Triton kernels run on the GPU that holds their tensors, whichever is current."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from olift_fast.ops import triton_runtime

OPS = Path(triton_runtime.__file__).parent


def test_a_kernel_is_launched_on_its_tensors_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    current, launched = ["cuda:0"], []

    @contextmanager
    def device(wanted: str) -> Iterator[None]:
        current.append(wanted)
        yield
        current.pop()

    class Kernel:
        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            return lambda *arguments, **options: launched.append((current[-1], grid, len(arguments), options))

    monkeypatch.setattr(torch.cuda, "device", device)
    tensor = SimpleNamespace(is_cuda=True, device="cuda:1")
    triton_runtime.launch(Kernel(), (3,), tensor, 7, BLOCK=16)
    assert launched == [("cuda:1", (3,), 2, {"BLOCK": 16})] and current == ["cuda:0"]


def test_every_kernel_is_launched_that_way() -> None:
    launches = {path.relative_to(OPS) for path in OPS.rglob("*.py") if re.search(r"kernel\[", path.read_text())}
    assert launches == {Path("triton_runtime.py")}
    files = list(OPS.rglob("triton_launch.py"))
    assert len(files) >= 4 and all("import" in x and re.search(r"\blaunch\(", x) for x in map(Path.read_text, files))
