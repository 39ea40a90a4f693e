"""Checkpoints: a folder with ``config.json`` and ``model.safetensors``; nothing in it is ever executed."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize

from olift_fast.errors import InputError
from olift_fast.model.config import LifterConfig
from olift_fast.model.lifter import Lifter

SHIPPED = Path(__file__).parent.parent / "checkpoints"
FORMAT = "olift-fast lifter"
FORMAT_VERSION = 1


def shipped() -> list[str]:
    """Names of the checkpoints that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))


def as_model(folder: Path) -> str:
    """The folder as `folder_of` takes it in a string: "./small" is the folder, "small" what comes with the package."""
    return f"./{folder}" if str(folder) in shipped() else str(folder)


def folder_of(name_or_path: str | Path) -> Path:
    """Where a checkpoint lies, or would.

    A string that is a shipped name means that one, even where there is a folder of that name; a `Path` is a folder.
    """
    return SHIPPED / name_or_path if name_or_path in shipped() else Path(name_or_path)


def load(name_or_path: str | Path) -> Lifter:
    """The lifter of a shipped checkpoint's name or of a folder, in evaluation mode, float32: see `folder_of`.

    Raises:
        InputError: no such checkpoint, or its files are unreadable or don't fit together.
    """
    folder = folder_of(name_or_path)
    if not folder.is_dir():
        raise InputError(
            f"model {str(name_or_path)!r} is neither a folder nor a checkpoint of this package "
            f"({', '.join(shipped()) or 'none is installed'})"
        )
    config, name = _read_config(folder / "config.json")
    lifter = Lifter(config, name=name)
    path = folder / "model.safetensors"
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: can't be read as safetensors: {error}") from error
    try:
        lifter.load_state_dict({key: value.to(torch.float32) for key, value in weights.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: weights don't fit config.json: {reason}") from error
    return lifter.eval()


def save(lifter: Lifter, folder: str | Path) -> Path:
    """Write the lifter's config and weights; each file appears whole or not at all.

    Raises:
        InputError: the folder can't be written.
    """
    folder = Path(folder)
    config = {"format": FORMAT, "format_version": FORMAT_VERSION, "name": lifter.name, "lifter": asdict(lifter.config)}
    weights = {key: value.detach().cpu().contiguous() for key, value in lifter.state_dict().items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch:
            # safetensors' own writer would leave a file that only its owner can read.
            (Path(scratch) / "model.safetensors").write_bytes(serialize(weights, metadata={"format": "pt"}))
            (Path(scratch) / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            for name in ("model.safetensors", "config.json"):
                os.replace(Path(scratch) / name, folder / name)
    except OSError as error:
        raise InputError(f"{folder}: can't write the checkpoint: {error.strerror or error}") from error
    return folder


def _read_config(path: Path) -> tuple[LifterConfig, str]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("lifter"), dict):
        raise InputError(f"{path}: is not the config of a lifter (format must be {FORMAT!r})")
    if data.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path}: format_version must be {FORMAT_VERSION}, got {data.get('format_version')!r}")
    return LifterConfig.from_dict(data["lifter"], source=str(path)), str(data.get("name", path.parent.name))
