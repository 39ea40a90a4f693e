"""Writes a lifter as ONNX, with weights of 32, 16 or 8 bits."""

from __future__ import annotations

import importlib
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from olift_fast._version import __version__
from olift_fast.errors import MissingExtraError
from olift_fast.model.traceable import Traceable

Weights = Literal["float32", "float16", "int8"]
"""The type of the weights in an ONNX file."""

OPSET = 18
SMALLEST_ROUNDED = 1024
"""Weights with fewer numbers stay float32 in a file with float16 weights, because they take little room."""


def onnx_bytes(traced: Traceable, facts: Mapping[str, str], weights: Weights = "float32") -> bytes:
    """The content of an ONNX file.

    Args:
        traced: the model.
        facts: the file's metadata.
        weights: the type of its weights.

    Raises:
        MissingExtraError: the extra `export` is not installed.
    """
    onnx = _require("onnx")
    _require("onnxscript")
    program = torch.onnx.export(
        traced.module,
        tuple(traced.inputs.values()),
        dynamo=True,
        verbose=False,
        dynamic_shapes=traced.dynamic_shapes(),
        input_names=list(traced.inputs),
        output_names=list(traced.outputs),
        opset_version=OPSET,
    )
    assert program is not None
    model = program.model_proto
    _forget_sources(model)
    if weights == "float16":
        _round_weights(onnx, model)
    elif weights == "int8":
        model = _quantized(onnx, model)
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name, model.producer_version = "olift-fast", __version__
    return bytes(model.SerializeToString())


def _forget_sources(model: Any) -> None:
    """Removes each node's place in this machine's source files, which readers of the file don't need."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def _round_weights(onnx: Any, model: Any) -> None:
    """Stores large float32 weights as float16, with a cast to float32 before they are used."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or math.prod(weight.dims) < SMALLEST_ROUNDED:
            continue
        name = weight.name
        values = onnx.numpy_helper.to_array(weight).astype("float16")
        weight.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}.float16"))
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *others])


def _quantized(onnx: Any, model: Any) -> Any:
    """The model with weights of 8 bits; the other factor of a product is rounded to 8 bits when it is computed."""
    quantization = _require("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "int8.onnx"
        whole.write_bytes(model.SerializeToString())
        # Weights of 7 bits: with 8, the sum of two products overflows 16 bits on processors without VNNI (AVX2).
        quantization.quantize_dynamic(
            whole, small, per_channel=True, weight_type=quantization.QuantType.QInt8, reduce_range=True
        )
        return onnx.load(small)


def _require(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError("writing ONNX files", "export") from error
