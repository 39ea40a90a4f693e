"""Names and shapes of a lifter's weights, without building it. They must match those of the layers' modules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from olift_fast.model.config import LifterConfig

Shapes = dict[str, tuple[int, ...]]


def weight_shapes(config: LifterConfig) -> Shapes:
    """By name, as in ``Lifter(config).state_dict()``."""
    shapes = _ends(config)
    for part, count, layer in _layers(config):
        for number in range(count):
            shapes |= {f"{part}.{number}.{name}": shape for name, shape in layer.items()}
    return shapes


def weight_count(config: LifterConfig) -> int:
    """The number of numbers in all weights. The time to count them does not depend on the number of layers."""
    return _size(_ends(config)) + sum(count * _size(layer) for _, count, layer in _layers(config))


def _size(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(map(math.prod, shapes.values()))


def _ends(config: LifterConfig) -> Shapes:
    """Encoder and decoder."""
    width, frequencies = config.width, config.frequencies
    shapes: Shapes = {
        "encoder.freqs": (2, frequencies),
        **_linear("encoder.projection", 2 if config.encoding == "linear" else 2 * frequencies, width),
        "encoder.token": (width,),
        "encoder.side": (width,),
        **_norm("decoder.norm", width),
        **_linear("decoder.mlp.0", width, width),
        **_linear("decoder.mlp.2", width, 5 if config.uncertainty else 3),
    }
    if config.time_encoding == "absolute":
        shapes |= {"encoder.time.freqs": (1, 32), **_linear("encoder.time.projection", 64, width)}
    elif config.time_encoding == "table":
        shapes["encoder.time.weight"] = (config.time_rows, width)
    if config.pitch:
        shapes |= _linear("encoder.pitch", 2, width)
    if config.kinds:
        shapes["encoder.kind.weight"] = (config.kinds, width)
    return shapes


def _layers(config: LifterConfig) -> Iterator[tuple[str, int, Shapes]]:
    """For motion layers and for space layers: their name, their number, and the weights of one of them."""
    width, hidden = config.width, config.mlp_ratio * config.width
    layer = {
        **_norm("attention_norm", width),
        **_linear("attention.qkv", width, 3 * width),
        **_linear("attention.projection", width, width),
        **_norm("mlp_norm", width),
        **_linear("mlp.0", width, hidden),
        **_linear("mlp.2", hidden, width),
    }
    bias = {"attention.time_bias.freqs": (1, 16), **_linear("attention.time_bias.projection", 32, config.heads)}
    yield "motion", config.motion_layers, layer | bias if config.time_encoding == "relative" else layer
    yield "space", config.space_layers, layer


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
