"""The configuration of a lifter's architecture, saved beside the weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, get_args

from olift_fast.errors import InputError
from olift_fast.model.foreign import naming, plain_line, shown
from olift_fast.model.shapes import weight_count
from olift_fast.runtime.encoder import Encoding
from olift_fast.runtime.time_encoding import TimeEncoding

PRESETS: dict[str, dict[str, Any]] = {
    "small": {"width": 128, "heads": 4, "motion_layers": 2, "space_layers": 4},
    "small-causal": {"width": 128, "heads": 4, "motion_layers": 2, "space_layers": 4, "window": (8, 0)},
    "base": {"width": 256, "heads": 8, "motion_layers": 3, "space_layers": 6},
    "large": {"width": 384, "heads": 12, "motion_layers": 4, "space_layers": 8},
}

RANGES: dict[str, tuple[int, int]] = {
    "width": (1, 8192),
    "heads": (1, 256),
    "motion_layers": (0, 256),
    "space_layers": (0, 256),
    "hops": (0, 1_000_000),
    "mlp_ratio": (1, 64),
    "frequencies": (1, 65_536),
    "time_rows": (1, 1_000_000),
    "kinds": (0, 10_000),
}
"""The smallest and the largest value of each field that is a whole number. docs/training.md has all limits."""
MAX_WINDOW = 10_000
"""The most frames to each side."""
MAX_SIGMA = 1e6
MAX_WEIGHTS = 250_000_000
"""The most numbers in all weights together: 1 GB in float32."""


@dataclass(frozen=True)
class LifterConfig:
    """The architecture of a `Lifter`.

    Args:
        width: D, the width of the tokens.
        heads: H, the number of heads of every attention.
        motion_layers: number of layers over time.
        space_layers: number of layers over joints.
        window: ``(left, right)``, the frames before and after that a motion layer attends.
        hops: the local half of the heads attends joints up to this many bones away.
        mlp_ratio: hidden width of the MLPs, in multiples of D.
        encoding: of keypoints: "rff", "learnable_rff", "sinusoidal" or "linear".
        frequencies: F, the number of frequencies of the keypoint encoding.
        sigma: standard deviation of the frequencies, in turns per RMS radius of the animal.
        time_encoding: "relative" (a clip shifted in time has the same result), "absolute" (as in the paper), "table" (a
            learned vector for each frame number, as in MotionBERT) or "none".
        time_rows: frames of the longest clip that a "table" can take.
        pitch: whether the model takes the camera's pitch.
        kinds: rows of the table of kinds of joints (`olift_fast.tracks.kinds.KINDS`); 0 if the model takes no kinds.
        uncertainty: whether the model gives standard deviations beside the joints.

    Raises:
        InputError: a value is of the wrong type or out of range (`RANGES`), or the model would be larger than
            `MAX_WEIGHTS`. The message names the field.
    """

    width: int = 128
    heads: int = 4
    motion_layers: int = 2
    space_layers: int = 4
    window: tuple[int, int] = (8, 8)
    hops: int = 1
    mlp_ratio: int = 2
    encoding: Encoding = "rff"
    frequencies: int = 64
    sigma: float = 0.5
    time_encoding: TimeEncoding = "relative"
    time_rows: int = 243
    pitch: bool = False
    kinds: int = 0
    uncertainty: bool = False

    def __post_init__(self) -> None:
        for name, bounds in RANGES.items():
            object.__setattr__(self, name, _whole(name, getattr(self, name), *bounds))
        object.__setattr__(self, "window", _window(self.window))
        if self.width % self.heads:
            raise InputError(f"width must be a multiple of heads, got {self.width} and {self.heads}")
        if isinstance(self.sigma, bool) or not isinstance(self.sigma, Real) or not 0 <= self.sigma <= MAX_SIGMA:
            raise InputError(f"sigma must be a number from 0 to {MAX_SIGMA:,.0f}, got {shown(self.sigma)}")
        for name in ("pitch", "uncertainty"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, got {shown(getattr(self, name))}")
        for name, allowed in (("encoding", get_args(Encoding)), ("time_encoding", get_args(TimeEncoding))):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}, got {shown(getattr(self, name))}")
        if (count := weight_count(self)) > MAX_WEIGHTS:
            raise InputError(f"the model must have at most {MAX_WEIGHTS:,} weights, got {count:,}")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> LifterConfig:
        """The preset "small", "small-causal" (looks back only), "base" or "large", with some fields changed.

        Args:
            name: the preset.
            changes: fields of `LifterConfig`, as ``width=64``.

        Raises:
            InputError: there is no such preset.
        """
        if name not in PRESETS:
            raise InputError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
        return replace(cls(**PRESETS[name]), **changes)

    @property
    def counts_frames(self) -> bool:
        """Whether a result depends on the frame's number in the clip. If so, a clip can't be lifted in parts."""
        return self.time_encoding in ("absolute", "table")

    @property
    def receptive_field(self) -> tuple[int, int]:
        """The numbers of frames before and after a frame that its result depends on."""
        return self.motion_layers * self.window[0], self.motion_layers * self.window[1]

    def to_json(self) -> str:
        """The fields as JSON text."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "config") -> LifterConfig:
        """The config from the fields that `to_json` writes; `source` is the file's name for error messages.

        Raises:
            InputError: a key is not a field, or as `LifterConfig` raises.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(f"{source}: unknown keys {plain_line(', '.join(unknown))}; written by a newer version?")
        with naming(source):
            return cls(**values)


def latency_window(config: LifterConfig, frames: int) -> tuple[int, int]:
    """The window ``(left, frames / motion_layers)``, with which results depend on `frames` later frames.

    Raises:
        InputError: `frames` is not a multiple >= 0 of the number of motion layers.
    """
    layers, (left, _) = config.motion_layers, config.window
    if frames < 0 or (frames % layers if layers else frames):
        wanted = f"latency_frames must be a multiple >= 0 of the model's {layers} motion layers"
        raise InputError(f"{wanted}, got {frames} frames")
    return left, frames // max(layers, 1)


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name} must be a whole number, got {shown(value)}")
    value = int(value)
    if not least <= value <= most:
        wanted = f">= {least}" if value < least else f"<= {most:,}"
        raise InputError(f"{name} must be {wanted}, got {shown(value)}")
    return value


def _window(window: Any) -> tuple[int, int]:
    """The frames to the left and to the right; one number stands for both."""
    sides = tuple(window) if isinstance(window, Iterable) else (window, window)
    if len(sides) != 2 or not all(isinstance(side, Integral) and not isinstance(side, bool) for side in sides):
        raise InputError(f"window must be two whole numbers, got {shown(window)}")
    if min(sides) < 0:
        raise InputError(f"window must be two numbers >= 0, got {shown(window)}")
    if max(sides) > MAX_WINDOW:
        raise InputError(f"window must be two numbers <= {MAX_WINDOW:,}, got {shown(window)}")
    return int(sides[0]), int(sides[1])
