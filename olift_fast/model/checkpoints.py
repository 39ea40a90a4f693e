"""Checkpoints: folders with ``config.json`` and ``model.safetensors``; no code in them is ever executed.

`Lifter.from_pretrained` and `Lifter.save_pretrained` build on this module, which reads and writes the files.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from olift_fast.errors import InputError
from olift_fast.model.config import LifterConfig
from olift_fast.model.foreign import naming, parse_json, plain_line, read_regular, shown
from olift_fast.model.shapes import weight_shapes
from olift_fast.model.tensor_files import check_finite, check_shapes, open_tensors
from olift_fast.runtime.arrays import Array

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = Path(__file__).parent.parent / "checkpoints"
FORMAT = "olift-fast lifter"
FORMAT_VERSION = 2
"""Version 2 may have `LifterConfig.pitch`, `kinds` and `uncertainty`; a config of version 1 has none of them."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"
MAX_CONFIG, MAX_NAME = 2**16, 300
"""Bytes of a config and signs of a name at most."""


class Checkpoint(NamedTuple):
    """What a checkpoint holds: the architecture, the lifter's name, and its ``state_dict``, float32."""

    config: LifterConfig
    name: str
    weights: dict[str, Array]


def shipped() -> list[str]:
    """Names of the checkpoints that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG}"))


def as_model(folder: Path) -> str:
    """The folder as a string for `folder_of`: "./small" rather than "small", which is a checkpoint of the package."""
    return f"./{folder}" if str(folder) in shipped() else str(folder)


def folder_of(name_or_path: str | Path) -> Path:
    """The folder of a checkpoint, whether it exists or not.

    The name of a shipped checkpoint, as a string, means that one even where there is a folder of that name; a `Path`
    always means a folder.
    """
    return SHIPPED / name_or_path if name_or_path in shipped() else Path(name_or_path)


def load(name_or_path: str | Path) -> Checkpoint:
    """Read a checkpoint: a folder, or the name of one that comes with the package, see `folder_of`.

    Raises:
        InputError: no such checkpoint, or its files are unreadable, no regular files, beyond the limits
            (`olift_fast.model.config`), or don't fit together. Nothing is built or allocated by what they say before
            that is checked.
    """
    folder = folder_of(name_or_path)
    if not os.path.isdir(folder):
        raise InputError(
            f"model {str(name_or_path)!r} is neither a folder nor a checkpoint of this package "
            f"({', '.join(shipped()) or 'none is installed'})"
        )
    config, name = _read_config(folder / CONFIG)
    return Checkpoint(config, name, _read_weights(folder / WEIGHTS, config))


def save(config: LifterConfig, name: str, weights: Mapping[str, Tensor], folder: str | Path) -> Path:
    """Write config, name and weights into the folder, which is made; each file appears whole or not at all.

    Raises:
        InputError: the folder can't be written, or the name is too long.
    """
    folder = Path(folder)
    with naming(folder / CONFIG):
        check_name(name)
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "lifter": asdict(config),
    }
    # Only who has tensors saves them: reading does without torch.
    from safetensors.torch import save as serialize

    held = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch:
            # Not safetensors' save_file: only the owner could read its file.
            (Path(scratch) / WEIGHTS).write_bytes(serialize(held, metadata={"format": "pt"}))
            (Path(scratch) / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            for file in (WEIGHTS, CONFIG):
                os.replace(Path(scratch) / file, folder / file)
    except OSError as error:
        raise InputError(f"{folder}: can't write the checkpoint: {error.strerror or error}") from error
    return folder


def validated_drift(name_or_path: str | Path) -> float | None:
    """How much bones stretch in what a checkpoint lifts, on the recordings that it was validated on; None if untold.

    It is ``"validation": {"bone_length_drift": 0.07}`` in the config: the mean of `olift_fast.train.bone_length_drift`
    over held-out recordings with detector-like faults. `python -m benchmarks.bodies` writes it; `save` does not, for
    other weights have another one.

    Raises:
        InputError: the config is unreadable, or that is no number from 0 to 1.
    """
    path = folder_of(name_or_path) / CONFIG
    told = _read_json(path).get("validation", {})
    if not isinstance(told, dict):
        raise InputError(f"{path}: validation must be an object, got {shown(told)}")
    drift = told.get("bone_length_drift")
    if drift is None:
        return None
    if isinstance(drift, bool) or not isinstance(drift, int | float) or not 0 <= drift <= 1:
        raise InputError(f"{path}: bone_length_drift of validation must be a number from 0 to 1, got {shown(drift)}")
    return float(drift)


def _read_json(path: Path) -> dict[str, Any]:
    content = read_regular(path, MAX_CONFIG)
    with naming(path):
        data = parse_json(content)
    told = data.get("format") if isinstance(data, dict) else data
    if not isinstance(data, dict) or told != FORMAT:
        raise InputError(f"{path}: is not the config of a lifter (format must be {FORMAT!r}, got {shown(told)})")
    return data


def _read_config(path: Path) -> tuple[LifterConfig, str]:
    data = _read_json(path)
    if not isinstance(fields := data.get("lifter"), dict):
        raise InputError(f"{path}: lifter must be an object with the fields of a config, got {shown(fields)}")
    version, name = data.get("format_version"), data.get("name", path.parent.name)
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise InputError(f"{path}: format_version must be 1 to {FORMAT_VERSION}, got {shown(version)}")
    with naming(path):
        check_name(name)
    return LifterConfig.from_dict(fields, source=str(path)), plain_line(name, MAX_NAME * 10)


def check_name(name: Any) -> None:
    """Raises InputError where that can't be the name of a lifter in a checkpoint."""
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise InputError(f"name must be a string of at most {MAX_NAME} signs, got {shown(name)}")


def _read_weights(path: Path, config: LifterConfig) -> dict[str, Array]:
    with open_tensors(path) as file:
        with naming(f"{path}: weights don't fit {CONFIG}"):
            check_shapes(file.tensors, weight_shapes(config))
        weights = {}
        for name in file.tensors:
            weights[name] = file.read_float32(name)
            check_finite(path, name, weights[name])
        return weights
