"""A lifter as one file that runs without this package: ONNX for any runtime, ``.pt2`` for PyTorch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import torch

from olift_fast.atomic import atomic_path
from olift_fast.errors import InputError
from olift_fast.model.lifter import Lifter
from olift_fast.model.onnx_file import Weights, onnx_bytes
from olift_fast.model.traceable import Traceable, traceable

ENDINGS = (".onnx", ".pt2")


def export(
    lifter: Lifter,
    path: str | Path,
    *,
    weights: Weights = "float32",
    stream: bool = False,
    compiled: bool = False,
) -> Path:
    """Write a lifter as a file that needs neither this package nor its kernels; returns the path.

    The file's inputs are those of `Lifter.forward`, all required, for any number B of clips, T of frames and J of
    joints: ``keypoints (B, T, J, 2)``, ``visible`` bool ``(B, T, J)``, ``graph`` bool ``(B, J, J)``, ``sides (B, J)``;
    if the model takes them, ``pitch (B,)`` and ``kinds`` int64 ``(B, J)``. For unknown values pass True everywhere in
    `graph`, 0 in `sides` and `kinds`, NaN in `pitch`. The outputs are ``joints (B, T, J, 3)`` and, if the model gives
    them, ``deviations (B, T, J, 2)``. Memory grows with B · J · T².

    Args:
        lifter: in float32.
        path: ends in ``.onnx`` (opset 18; for onnxruntime and others) or ``.pt2`` (read with `torch.export.load`).
        weights: the type of the weights in an ONNX file. "float16" halves the file and computes in float32. "int8"
            makes the file a third as large and multiplies 8-bit numbers, which is less accurate (docs/export.md).
        stream: write a model that lifts one frame at a time. `keypoints` and `visible` then have no axis T. There are
            two more inputs, ``past`` and ``seen``: pass the outputs ``next_past`` and ``next_seen`` of the frame before
            (`olift_fast.model.traceable.LiftFrame`).
        compiled: write a ``.pt2`` with machine code for this kind of CPU, by AOTInductor, which needs a C++ compiler.
            Read it with `torch._inductor.aoti_load_package`.

    Raises:
        InputError: another ending, a path that can't be written, or options that don't fit the path or the model.
        MissingExtraError: the extra `export` is not installed, for ``.onnx``.
    """
    path = Path(path)
    check_export(path, weights, compiled)
    with atomic_path(path) as temporary, traceable(lifter, stream) as traced, _quiet():
        if path.suffix == ".onnx":
            temporary.write_bytes(onnx_bytes(traced, _facts(lifter, weights), weights))
        elif compiled:
            _compile(_program(traced), temporary)
        else:
            held = io.BytesIO()
            torch.export.save(_program(traced), held)
            temporary.write_bytes(held.getvalue())
    return path


def check_export(path: Path, weights: str, compiled: bool) -> None:
    """Raises InputError if `export` does not support this path with these options."""
    if path.suffix not in ENDINGS:
        raise InputError(f"{path}: the name must end in {' or '.join(ENDINGS)}, got {path.suffix!r}")
    if weights not in get_args(Weights):
        raise InputError(f"weights must be one of {', '.join(get_args(Weights))}, got {weights!r}")
    if weights != "float32" and path.suffix != ".onnx":
        raise InputError(f"{path}: weights in {weights} are for .onnx")
    if compiled and path.suffix != ".pt2":
        raise InputError(f"{path}: machine code is for .pt2")


def _program(traced: Traceable) -> torch.export.ExportedProgram:
    inputs = tuple(traced.inputs.values())
    return torch.export.export(traced.module, inputs, dynamic_shapes=traced.dynamic_shapes(), strict=False)


def _compile(program: torch.export.ExportedProgram, path: Path) -> None:
    held = io.BytesIO()
    torch._inductor.aoti_compile_and_package(program, package_path=held)
    path.write_bytes(held.getvalue())


def _facts(lifter: Lifter, weights: Weights) -> dict[str, str]:
    """Metadata for a program that runs the file."""
    before, after = lifter.config.receptive_field
    return {
        "olift.name": lifter.name,
        "olift.hops": str(lifter.config.hops),
        "olift.frames_before": str(before),
        "olift.frames_after": str(after),
        "olift.weights": weights,
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporters' progress, warnings and log lines."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
