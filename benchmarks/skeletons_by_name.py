"""How well bones and sides are read from joint names: every skeleton of a folder of recordings, its edges hidden.

    python -m benchmarks.skeletons_by_name ../shared/data            # figures of both thirds
    python -m benchmarks.skeletons_by_name ../shared/data --worst    # rigs that may be looked at, worst first

A rig's family is whoever named its joints. A third of the families, chosen by a hash of the family's name, is held out:
`--worst` never shows them, and the vocabulary and the template were written without a look at them.
"""

from __future__ import annotations

import argparse
import re
import statistics
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.tracks.anatomy import edges_by_name, read_names
from olift_fast.tracks.rigs import rig, rig_names
from olift_fast.tracks.sides import infer_sides

# Names are anatomical where at least this share of them is read.
ANATOMICAL = 0.8
# Files whose joints one author named alike; any other file is a family of its own.
FAMILIES = {
    "qs_equine": r"qs_(horse|donkey|alpaca|deer|stag)",
    "qs_canine": r"qs_(fox|wolf|dog_husky|dog_shiba)",
    "qs_fish": r"qs_fish.*",
    "qs_dinosaur": r"qs_(apatosaurus|parasaurolophus|stegosaurus|trex|triceratops|velociraptor)",
    "qs_cetacean": r"qs_(dolphin|whale)",
    "qsmonsters": r"qsmonsters?_.*",
    "hands_handy": r"hands_handy_.*",
    "hands_xrtools": r"hands_xrtools_.*",
    "human_mesh2motion": r"human_mesh2motion(_hands)?",
    "human_ual1": r"human_ual1(_hands)?",
    **{
        name: rf"{name}_.*"
        for name in (
            "animalia",
            "aw",
            "lf",
            "pp",
            "draconis",
            "human_cmu",
            "human_qs",
            "fly",
            "real_mouse_oist",
            "qsfarm",
            "animalsyn3d",
        )
    },
}
_LEFT = re.compile(r"(?:^|[\W_])(?:l|left)(?:[\W_]|$)|Left|^left|left$|[a-z]L\d*$", re.ASCII)
_RIGHT = re.compile(r"(?:^|[\W_])(?:r|right)(?:[\W_]|$)|Right|^right|right$|[a-z]R\d*$", re.ASCII)


class Known(NamedTuple):
    """A skeleton whose edges are known."""

    name: str
    family: str
    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


class Score(NamedTuple):
    """What names alone give for one skeleton."""

    known: Known
    read: float  # share of the names that are read
    f1: float
    near: float  # F1 where a pair of joints within two hops of each other counts as an edge
    pieces: int  # of the joints that are read
    sides_right: int
    sides_said: int


def family(name: str) -> str:
    """The family of a file or built-in rig."""
    return next((known for known, pattern in FAMILIES.items() if re.fullmatch(pattern, name)), name)


def is_held_out(family_name: str) -> bool:
    """True for the third of the families that is not looked at; the built-in rigs are in the sources for all to see."""
    return family_name not in map(family, rig_names()) and zlib.crc32(family_name.encode()) % 3 == 0


def skeletons(folder: Path) -> Iterator[Known]:
    """Every distinct skeleton: motion, keypoint files, and the built-in rigs."""
    seen = set()
    for known in (*_recordings(folder), *_keypoint_files(folder), *_built_in()):
        identity = (known.family, known.names, frozenset(map(frozenset, known.edges)))
        if identity not in seen:
            seen.add(identity)
            yield known


def _recordings(folder: Path) -> Iterator[Known]:
    for path in sorted(file for part in ("motion3d", "recorded", "animated") for file in folder.glob(f"{part}/*.npz")):
        with np.load(path) as content:
            names = tuple(map(str, content["joint_names"]))
            edges = tuple((int(a), int(b)) for a, b in content["edges"])
        yield Known(path.stem, family(path.stem), names, edges)


def _keypoint_files(folder: Path) -> Iterator[Known]:
    for part in ("badja/*.json", "coco/*.json", "sleap/*.slp", "sleap/*.mat", "sleap/*.h5"):
        for path in sorted(folder.glob(f"keypoints2d/{part}")):
            try:
                read = read_keypoints(path)
            except InputError:
                continue
            if read.skeleton.edges:
                name = f"{path.parent.name}/{path.stem}"
                of = "badja" if path.parent.name == "badja" else name
                yield Known(name, of, read.skeleton.names, read.skeleton.edges)


def _built_in() -> Iterator[Known]:
    for name in rig_names():
        yield Known(name, family(name), rig(name).names, rig(name).edges)


def score(known: Known) -> Score:
    """Edges and sides from the names alone, against the skeleton's own."""
    parts = read_names(known.names)
    found = edges_by_name(known.names)
    said = [_said_side(name) for name in known.names]
    # A letter that is alone on its side of the body says nothing: "SpineL" is the lower spine.
    said = [side if parts[index] is not None else 0 for index, side in enumerate(said)]
    given = infer_sides(known.names)
    return Score(
        known,
        read=sum(part is not None for part in parts) / len(parts),
        f1=edge_f1(known.edges, found),
        near=edge_f1(_within_two(known), _within_two(known._replace(edges=found))),
        pieces=count_pieces([index for index, part in enumerate(parts) if part is not None], found),
        sides_right=sum(side == mine for side, mine in zip(said, given, strict=True) if side),
        sides_said=sum(side != 0 for side in said),
    )


def edge_f1(true: Iterable[tuple[int, int]], found: Iterable[tuple[int, int]]) -> float:
    """2 · hits / (edges + edges found), whatever their direction."""
    wanted, given = set(map(frozenset, true)), set(map(frozenset, found))
    return 2 * len(wanted & given) / max(1, len(wanted) + len(given))


def count_pieces(joints: Sequence[int], edges: Iterable[tuple[int, int]]) -> int:
    """Connected components of these joints."""
    piece = {joint: joint for joint in joints}
    for a, b in edges:
        old, new = piece[a], piece[b]
        piece = {joint: new if label == old else label for joint, label in piece.items()}
    return len(set(piece.values()))


def _within_two(known: Known) -> list[tuple[int, int]]:
    neighbors: dict[int, set[int]] = {index: set() for index in range(len(known.names))}
    for a, b in known.edges:
        neighbors[a].add(b)
        neighbors[b].add(a)
    pairs = {(a, c) for a, near in neighbors.items() for b in near for c in (b, *neighbors[b]) if a < c}
    return sorted(pairs)


def _said_side(name: str) -> int:
    left, right = bool(_LEFT.search(name)), bool(_RIGHT.search(name))
    return left - right


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worst", action="store_true", help="list the rigs that may be looked at, worst first")
    arguments = parser.parse_args()
    scores = [score(known) for known in skeletons(arguments.folder)]
    if arguments.worst:
        for one in sorted(scores, key=lambda one: one.f1):
            if not is_held_out(one.known.family) and one.read > 0:
                print(f"{one.f1:.3f} read {one.read:.2f} pieces {one.pieces} {one.known.name}")
    print("| skeletons | rigs | families | edge F1, mean by rig | by family | ≥ 0.95 | within two hops | sides right |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    anatomical = [one for one in scores if one.read >= ANATOMICAL]
    _row("seen", [one for one in anatomical if not is_held_out(one.known.family)])
    _row("held out", [one for one in anatomical if is_held_out(one.known.family)])
    _row("files", [one for one in anatomical if one.known.name not in rig_names()])
    _row("built-in rigs", [one for one in anatomical if one.known.name in rig_names()])
    _row("all", anatomical)
    _row("partly read", [one for one in scores if 0 < one.read < ANATOMICAL])
    print(f"nothing read: {sum(one.read == 0 for one in scores)}; {len(scores)} skeletons")
    print(f"in more than one piece: {[one.known.name for one in anatomical if one.pieces > 1]}")


def _row(title: str, scores: Sequence[Score]) -> None:
    if not scores:
        return
    by_family: dict[str, list[float]] = {}
    for one in scores:
        by_family.setdefault(one.known.family, []).append(one.f1)
    said = sum(one.sides_said for one in scores)
    print(
        f"| {title} | {len(scores)} | {len(by_family)} | {statistics.mean(one.f1 for one in scores):.3f} | "
        f"{statistics.mean(map(statistics.mean, by_family.values())):.3f} | "
        f"{sum(one.f1 >= 0.95 for one in scores)} | {statistics.mean(one.near for one in scores):.3f} | "
        f"{sum(one.sides_right for one in scores)} of {said} |"
    )


if __name__ == "__main__":
    main()
