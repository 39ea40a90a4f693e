"""Recordings by name: weights of patterns of recordings, and the families and persons that are held out whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from olift_fast.data.mocap import Segment
from olift_fast.errors import InputError

VALIDATION_NAME = "@validation"
"""What stands for `VALIDATION` in a list of patterns."""

VALIDATION = (
    # Dogs, and the wolf and fox that move like them.
    *("qs_dog_*", "qs_wolf", "qs_fox"),
    # Two dinosaurs that share their motion, a snake, a monster.
    *("qs_velociraptor", "qs_parasaurolophus", "qs_snake", "qsmonsters_frogbiped"),
    # Small animals; the rat and the opossum share their motion.
    *("animalia_rat", "animalia_opossum", "animalia_turkey"),
    # Bodies of boxes: a fifth, of all shapes.
    *("aw_anteater", "aw_camel", "aw_crocodile", "aw_dragonfly", "aw_frog", "aw_giraffe", "aw_goose", "aw_hyena"),
    *("aw_koala", "aw_lobster", "aw_otter", "aw_puffin", "aw_scorpion", "aw_seal", "aw_tiger", "aw_trout", "aw_viper"),
    *("lf_cavebear", "lf_mammooth", "lf_triceratops", "lf_velociraptor"),
    # Animated people and hands: a robot, a person, and two hands that mirror each other.
    *("human_qs_robot*", "human_qs_cyberpunk", "hands_xrtools_*"),
    # Mice, which may all be one mouse; children; and some of the persons of recordings with several.
    "real_mouse_oist_*",
    *("human_animdrawings", "human_uiprmd:s0[15]", "human_cmu_more:08", "human_cmu_dance:91"),
    *("human_cmu_breakdance:135_*", "human_reactidle:00[38]_*", "human_reactidle:012_*"),
    *("human_biomech_markers:opencapS5_*", "human_biomech_markers:sehoon_*", "hands_leap:brian_*"),
)
"""Families and persons to choose settings by: about a fifth of all. Twins of each other are in it together."""


def recordings(folders: Iterable[Path]) -> dict[str, Path]:
    """The .npz files of folders by name, folder by folder, in alphabetical order.

    Raises:
        InputError: a folder without any, or two files of one name.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        paths = sorted(folder.glob("*.npz"))
        if not paths:
            what = "no .npz recordings here" if folder.is_dir() else "no such folder of recordings"
            raise InputError(f"{folder}: {what}")
        for path in paths:
            if path.stem in found:
                raise InputError(f"recordings must have names of their own, got {found[path.stem]} and {path}")
            found[path.stem] = path
    return found


def is_pattern(name: str) -> bool:
    """Whether a key of weights is a pattern: it has `*`, `?` or `[`."""
    return any(sign in name for sign in "*?[")


def shared_weights(names: Iterable[str], weights: Mapping[str, float]) -> dict[str, float]:
    """How often each recording is drawn.

    A recording that is named has its own weight. Each of the others belongs to the first pattern that matches it; the
    recordings of a pattern share its weight equally. All other recordings have weight 1.
    """
    patterns = [key for key in weights if is_pattern(key)]
    group = {
        name: next((key for key in patterns if fnmatchcase(name, key)), None) for name in names if name not in weights
    }
    members = list(group.values())
    own = {name: weights[name] for name in names if name in weights}
    return own | {name: 1.0 if key is None else weights[key] / members.count(key) for name, key in group.items()}


def expanded(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns, with the name of `VALIDATION` replaced by its patterns."""
    parts = (VALIDATION if pattern == VALIDATION_NAME else (pattern,) for pattern in patterns)
    return tuple(itertools.chain.from_iterable(parts))


def held_out_whole(source: str, patterns: Sequence[str]) -> bool:
    """Whether a recording is held out with all its takes."""
    return any(":" not in pattern and fnmatchcase(source, pattern) for pattern in expanded(patterns))


def held_out_as(segment: Segment, patterns: Sequence[str]) -> str | None:
    """The family that a segment is held out with, or None where no pattern matches it.

    It is the recording's name where a pattern "FILE" matches that, or else the first pattern "FILE:PERSON" that
    matches, its part after the colon the segment's subject or the name of its take.
    """
    if held_out_whole(segment.source, patterns):
        return segment.source
    for pattern in expanded(patterns):
        source, colon, person = pattern.partition(":")
        who = [name for name in (segment.subject, segment.clip_name) if name]
        if colon and fnmatchcase(segment.source, source) and any(fnmatchcase(name, person) for name in who):
            return pattern
    return None


def check_patterns(patterns: Sequence[str], names: Iterable[str], segments: Iterable[Segment]) -> None:
    """Raises InputError where a pattern matches no recording, or no person of the recordings whose segments these are.

    `VALIDATION` may name recordings that are not there.
    """
    names, segments = list(names), list(segments)
    for pattern in patterns:
        if pattern == VALIDATION_NAME:
            continue
        source, colon, _ = pattern.partition(":")
        if not any(fnmatchcase(name, source) for name in names):
            raise InputError(f"held_out must match recordings of {', '.join(names) or 'a folder'}, got {pattern!r}")
        read = [segment for segment in segments if fnmatchcase(segment.source, source)]
        if colon and read and not any(held_out_as(segment, [pattern]) for segment in read):
            persons = ", ".join(dict.fromkeys(segment.subject or segment.clip_name for segment in read))
            raise InputError(f"held_out must match subjects or takes of {source}: {persons}, got {pattern!r}")
