"""Checkpoints: folders with ``config.json`` and ``model.safetensors``; no code in them is ever executed.

`Lifter.from_pretrained`, `Lifter.save_pretrained` and `Lifter.push_to_hub` use this module to read and write the files.
A model from the Hub is a folder in a cache, with the same two files and the same checks.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from olift_fast.atomic import cause
from olift_fast.errors import InputError
from olift_fast.model.cards import card_of, with_metadata, without_relative_links
from olift_fast.model.config import LifterConfig
from olift_fast.model.foreign import naming, parse_json, plain_line, read_regular, shown
from olift_fast.model.hub import HubModel, commit_of, fetched, hub_model, uploaded
from olift_fast.model.shapes import weight_count, weight_shapes
from olift_fast.model.tensor_files import MAX_HEADER, check_finite, check_shapes, open_tensors
from olift_fast.runtime.arrays import Array

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = Path(__file__).parent.parent / "checkpoints"
FORMAT = "olift-fast lifter"
FORMAT_VERSION = 2
"""Version 2 may have `LifterConfig.pitch`, `kinds` and `uncertainty`; a config of version 1 has none of them."""
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
MAX_CONFIG, MAX_NAME, MAX_CARD = 2**16, 300, 2**20
"""The most bytes of a config, characters of a name, and bytes of a model card."""


class Checkpoint(NamedTuple):
    """The content of a checkpoint: the architecture, the lifter's name, and its ``state_dict``, float32."""

    config: LifterConfig
    name: str
    weights: dict[str, Array]


def shipped() -> list[str]:
    """Names of the checkpoints that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG}"))


def as_model(folder: Path) -> str:
    """The folder as a string for `folder_of`: "./small", because "small" would mean the package's checkpoint."""
    return f"./{folder}" if str(folder) in shipped() else str(folder)


def folder_of(name_or_path: str | Path, revision: str | None = None) -> Path:
    """The folder of a checkpoint, which need not exist. A model on the Hub is fetched into the cache.

    A `Path` always means a folder. The string "small" means the shipped checkpoint, even if there is a folder "small".
    Any other string means a folder if it exists, else "owner/name" and "owner/name@revision" mean models on the Hub.

    Raises:
        InputError: the model can't be fetched (`olift_fast.model.hub.fetched`), its config is beyond the limits, or a
            `revision` is given for a model that is not on the Hub.
        MissingExtraError: the extra `hub` is not installed.
    """
    model = _on_hub(name_or_path, revision)
    if model is not None:
        return _fetched_folder(model)
    return SHIPPED / name_or_path if name_or_path in shipped() else Path(name_or_path)


def pinned(name_or_path: str) -> str:
    """A name that always means the same weights: "owner/name@commit" for "owner/name".

    Use it to load a model several times, or in several processes: the Hub is asked only once. Folders and shipped names
    are returned as they are.

    Raises:
        InputError, MissingExtraError: as in `folder_of`.
    """
    model = _on_hub(name_or_path, None)
    return name_or_path if model is None else str(model._replace(revision=commit_of(_fetched_folder(model) / CONFIG)))


def _on_hub(name_or_path: str | Path, revision: str | None) -> HubModel | None:
    """The model on the Hub that a name means; None if it means a folder, a shipped checkpoint or nothing."""
    model = None
    if isinstance(name_or_path, str) and name_or_path not in shipped() and not os.path.exists(name_or_path):
        model = hub_model(name_or_path, revision)
    if model is None and revision is not None:
        raise InputError(f"revision is for models on the Hub, owner/name; got {revision!r} for {str(name_or_path)!r}")
    return model


def _fetched_folder(model: HubModel) -> Path:
    """Both files of one commit, in the cache. The config is checked first, because it limits the weights' size."""
    config = fetched(model, CONFIG, MAX_CONFIG)
    with naming(f"model {str(model)!r}"):
        shape, _ = _read_config(config)
    most = 8 + MAX_HEADER + 8 * weight_count(shape)
    fetched(model._replace(revision=commit_of(config)), WEIGHTS, most)
    return config.parent


def load(name_or_path: str | Path, revision: str | None = None) -> Checkpoint:
    """Read a checkpoint: a folder, a shipped one, or one on the Hub (see `folder_of`).

    Raises:
        InputError: no such checkpoint, or its files are unreadable, not regular files, beyond the limits
            (`olift_fast.model.config`), or don't fit together. All this is checked before anything is built or
            allocated from the files.
        MissingExtraError: it is on the Hub, and the extra `hub` is not installed.
    """
    model = _on_hub(name_or_path, revision)
    folder = folder_of(name_or_path) if model is None else _fetched_folder(model)
    if not os.path.isdir(folder):
        raise InputError(
            f"model {str(name_or_path)!r} is neither a folder nor a checkpoint of this package "
            f"({', '.join(shipped()) or 'none is installed'}), nor the name of a model on the Hub (owner/name)"
        )
    with nullcontext() if model is None else naming(f"model {str(model)!r}"):
        config, name = _read_config(folder / CONFIG)
        return Checkpoint(config, name, _read_weights(folder / WEIGHTS, config))


@dataclass(frozen=True, kw_only=True)
class Publication:
    """How a checkpoint is put on the Hub.

    Args:
        card: the card in Markdown; by default the folder's ``README.md``, without links to files outside the
            repository. Without a ``README.md`` it is a short card made from the config, which does not replace a card
            in the repository. Metadata is added to a card that has none.
        license: for the metadata, such as "apache-2.0".
        private: make the repository private.
        revision: the branch, created if missing; the main branch by default.
        message: the commit message.
    """

    card: str | None = None
    license: str | None = None
    private: bool = False
    revision: str | None = None
    message: str | None = None


def push(name_or_path: str | Path, repo: str, how: Publication) -> str:
    """Put a checkpoint on the Hub: config, weights and the model card, in one commit.

    Args:
        name_or_path: see `folder_of`. It is loaded first, so that no broken checkpoint is published.
        repo: "owner/name" on the Hub; the repository is created if missing.
        how: card, branch and other options.

    Returns:
        The web address of the commit.

    Raises:
        InputError: the checkpoint can't be loaded, `repo` is not "owner/name", or the Hub refuses the upload
            (`olift_fast.model.hub.uploaded`).
        MissingExtraError: the extra `hub` is not installed.
    """
    model = hub_model(repo, how.revision)
    if model is None or "@" in repo:
        raise InputError(f"repo must be owner/name, of letters, digits and - _ . between them, got {repo!r}")
    source = name_or_path if isinstance(name_or_path, Path) else pinned(name_or_path)
    config, name, _ = load(source)
    folder = folder_of(source)
    card, told = how.card, how.card is not None
    if card is None and (folder / CARD).is_file():
        card, told = without_relative_links(read_card(folder / CARD)), True
    with tempfile.TemporaryDirectory(prefix="olift-push-") as scratch:
        for file in (CONFIG, WEIGHTS):
            shutil.copyfile(folder / file, Path(scratch) / file)
        text = card_of(config, name, repo, how.license) if card is None else with_metadata(card, how.license)
        (Path(scratch) / CARD).write_text(text, encoding="utf-8")
        files = {CONFIG: True, WEIGHTS: True, CARD: told}
        return uploaded(Path(scratch), files, model, private=how.private, message=how.message)


def read_card(path: Path) -> str:
    """The text of a model card; raises InputError if it can't be read or is not UTF-8."""
    content = read_regular(path, MAX_CARD)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: must be text in UTF-8: {error.reason}") from error


def ships(config: LifterConfig, name: str, weights: Mapping[str, Array]) -> bool:
    """Whether this is the shipped checkpoint of that name, with the same config and weights."""
    if name not in shipped():
        return False
    known = load(name)
    return known.config == config and all(np.array_equal(weights[key], known.weights[key]) for key in known.weights)


def save(config: LifterConfig, name: str, weights: Mapping[str, Tensor], folder: str | Path) -> Path:
    """Write config, name and weights into the folder, created if missing; each file appears whole or not at all.

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
    # Imported here, because reading a checkpoint does not need torch.
    from safetensors.torch import save as serialize

    held = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch:
            # Not safetensors' save_file, because only the owner could read the file that it writes.
            (Path(scratch) / WEIGHTS).write_bytes(serialize(held, metadata={"format": "pt"}))
            (Path(scratch) / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            for file in (WEIGHTS, CONFIG):
                os.replace(Path(scratch) / file, folder / file)
    except OSError as error:
        raise InputError(f"{folder}: can't write the checkpoint: {cause(error)}") from error
    return folder


def validated_drift(name_or_path: str | Path) -> float | None:
    """The drift of a checkpoint's results on the recordings that it was validated on; None if the config has none.

    In the config it is ``"validation": {"bone_length_drift": 0.07}``: the mean of `olift_fast.train.bone_length_drift`
    over held-out recordings with a detector's faults. `python -m benchmarks.bodies` writes it. `save` does not, because
    other weights have another drift.

    Raises:
        InputError: the config is unreadable, or the drift is not a number from 0 to 1.
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
    """Raises InputError unless `name` can be the name of a lifter in a checkpoint."""
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise InputError(f"name must be a string of at most {MAX_NAME} characters, got {shown(name)}")


def _read_weights(path: Path, config: LifterConfig) -> dict[str, Array]:
    with open_tensors(path) as file:
        with naming(f"{path}: weights don't fit {CONFIG}"):
            check_shapes(file.tensors, weight_shapes(config))
        weights = {}
        for name in file.tensors:
            weights[name] = file.read_float32(name)
            check_finite(path, name, weights[name])
        return weights
