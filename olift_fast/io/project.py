"""Reads skeletons from the ``config.yaml`` of a DeepLabCut, Lightning Pose or Keypoint-MoSeq project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from olift_fast.errors import InputError
from olift_fast.io.skeleton_files import skeleton_of_object
from olift_fast.tracks.skeleton import Skeleton

#: A longer configuration is refused.
_MAX_BYTES = 10_000_000
#: How many folders above a file are searched for its project. PROJECT/labeled-data/VIDEO/CollectedData.csv needs 3.
_DEPTH = 4


def skeleton_of_config(path: Path) -> Skeleton:
    """The body parts and edges of a project's configuration.

    DeepLabCut's are `bodyparts`, or `multianimalbodyparts` and `uniquebodyparts`, and `skeleton`; Keypoint-MoSeq's
    ``config.yml`` has the same keys. Lightning Pose's are `data.keypoint_names`, usually without edges. A SLEAP
    skeleton in YAML is read, too. Edges with a name that is not a body part are left out: DeepLabCut's template has
    such edges, and they stay in the file when the user renames the body parts.

    Raises:
        InputError: not YAML, or no body parts in it.
    """
    content = _load(path)
    skeleton = None if "bodyparts" in content or "multianimalbodyparts" in content else skeleton_of_object(content)
    if skeleton is not None:
        return skeleton
    data = content.get("data")
    if isinstance(data, Mapping) and "keypoint_names" in data:
        names, edges = _names(data["keypoint_names"], "data.keypoint_names"), data.get("skeleton") or ()
    else:
        parts = content.get("bodyparts")
        if not isinstance(parts, list):
            # A project of several animals says "MULTI!" here.
            several = (content.get(key) for key in ("multianimalbodyparts", "uniquebodyparts"))
            parts = [part for listed in several if isinstance(listed, list) for part in listed]
        names, edges = _names(parts, "bodyparts"), content.get("skeleton") or ()
    if not names:
        raise InputError("holds no body parts: wanted bodyparts or multianimalbodyparts, or data.keypoint_names")
    task = content.get("Task")
    return Skeleton(tuple(names), _edges(edges, names), name=task if isinstance(task, str) and task else None)


def project_skeleton(file: Path, names: Iterable[str]) -> tuple[Skeleton, Path] | None:
    """The skeleton of the DeepLabCut project that a file is in, and the path of the project's configuration.

    None if no folder above the file has a ``config.yaml`` with these `names` among its body parts and edges between
    them.
    """
    wanted = list(names)
    for folder in list(file.resolve().parents)[:_DEPTH]:
        config = folder / "config.yaml"
        if config.is_file():
            try:
                skeleton = skeleton_of_config(config).match(wanted)
            except (InputError, OSError):
                # The configuration of another tool or of another project.
                continue
            if skeleton.edges:
                return skeleton, config
    return None


def _load(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise InputError(f"is larger than a project's configuration, which has at most {_MAX_BYTES:,} bytes")
    import yaml  # here, because it takes long and most recordings are in no project

    try:
        content = yaml.load(data, _loader())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"not valid YAML: {' '.join(str(error).split()):.200}") from error
    if not isinstance(content, Mapping):
        raise InputError(f"must hold keys and values, got {type(content).__name__}")
    return content


@cache
def _loader() -> Any:
    """PyYAML's safe loader without merge keys (``<<``): a few lines of them can expand to billions of keys."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise yaml.constructor.ConstructorError(None, None, "merge keys (<<) are not read", node.start_mark)

    return Loader


def _names(values: Any, key: str) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str | int | float) for value in values):
        raise InputError(f"{key} must be a list of names")
    return [str(value) for value in values]


def _edges(pairs: Any, names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    place = {name: index for index, name in enumerate(names)}
    found: dict[frozenset[int], tuple[int, int]] = {}
    for pair in pairs if isinstance(pairs, list) else ():
        # A chain of more than two joints stands for the bones between neighbors.
        chain = [str(name) for name in pair if isinstance(name, str | int | float)] if isinstance(pair, list) else []
        for first, second in pairwise(chain):
            if first in place and second in place and first != second:
                a, b = place[first], place[second]
                found.setdefault(frozenset((a, b)), (a, b))
    return tuple(found.values())
