"""`olift info`: what is in a keypoint file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from olift_fast.cli.checks import check_image_size, check_input, check_min_confidence
from olift_fast.cli.console import print_json, reported, table, warn
from olift_fast.cli.lifting_job import skeleton_told
from olift_fast.cli.options import (
    AllowPickle,
    Debug,
    FormatName,
    ImageSize,
    InferName,
    InferOption,
    Json,
    KeypointFile,
    MinConfidence,
    NoInfer,
    SkeletonName,
    inferring,
)
from olift_fast.errors import plural, printable

if TYPE_CHECKING:
    from olift_fast.tracks.containers import KeypointTracks
    from olift_fast.tracks.draft import Infer

SIDES = {1: "left", 0: "", -1: "right"}


@reported
def info(
    file: KeypointFile,
    format: FormatName = None,
    skeleton: SkeletonName = None,
    infer: InferOption = InferName.names,
    no_infer: NoInfer = False,
    image_size: ImageSize = None,
    min_confidence: MinConfidence = 0.3,
    allow_pickle: AllowPickle = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what is in a keypoint file: tracks, joints, frames, hidden keypoints and the skeleton.

    [bold]Examples[/bold]
      olift info mouse_DLC.csv
      olift info predictions.analysis.h5 --json | jq .hidden_share
    """
    from olift_fast.io import read_keypoints

    check_min_confidence(min_confidence)
    check_image_size(image_size)
    check_input(file)
    wanted = skeleton_told(skeleton) if skeleton else None
    tracks = read_keypoints(file, format, skeleton=wanted, image_size=image_size, allow_pickle=allow_pickle)
    content = describe(tracks, min_confidence, inferring(infer, no_infer))
    if as_json:
        print_json({"file": str(file), **content})
    else:
        _print(file, content, min_confidence)
        for warning in content["warnings"]:
            warn(warning)


def describe(tracks: KeypointTracks, min_confidence: float, infer: Infer = "names") -> dict[str, Any]:
    """The content of `olift info --json`: counts, names, edges, and the hidden share of each joint and track."""
    import numpy as np

    from olift_fast.tracks.draft import Draft, draft_of, with_draft
    from olift_fast.tracks.upside_down import view_warnings

    draft = draft_of(tracks, infer, min_confidence)
    drawn = with_draft(tracks, draft)
    looks = view_warnings(tracks, min_confidence)
    visible = tracks.visible(min_confidence)
    missing = ~np.isfinite(tracks.keypoints).all(axis=-1)
    skeleton = drawn.skeleton
    hidden = 1 - visible.mean(axis=(0, 1))
    absent = missing.mean(axis=(0, 1))
    return {
        "format": tracks.format,
        "tracks": [
            {
                "name": name,
                "frames_seen": int(seen.any(axis=-1).sum()),
                "hidden_share": round(1 - float(seen.mean()), 6),
            }
            for name, seen in zip(tracks.tracks, visible, strict=True)
        ],
        "frames": tracks.num_frames,
        "first_frame": 0 if tracks.frames is None else int(tracks.frames[0]),
        "last_frame": tracks.num_frames - 1 if tracks.frames is None else int(tracks.frames[-1]),
        "fps": tracks.fps,
        "image_size": tracks.image_size,
        "skeleton": skeleton.name,
        "edges": [[skeleton.names[a], skeleton.names[b]] for a, b in skeleton.edges],
        "edge_sources": list(draft.sources) if isinstance(draft, Draft) else ["given"] * len(skeleton.edges),
        "inferred": draft.said if isinstance(draft, Draft) else draft,
        "joints": [
            {
                "name": name,
                "side": SIDES[skeleton.sides[index]] or None,
                "hidden_share": round(float(hidden[index]), 6),
                "missing_share": round(float(absent[index]), 6),
            }
            for index, name in enumerate(skeleton.names)
        ],
        "min_confidence": min_confidence,
        "hidden_share": round(1 - float(visible.mean()), 6),
        "missing_share": round(float(missing.mean()), 6),
        "notes": list(tracks.notes),
        "warnings": [*drawn.warnings, *looks],
    }


def _print(file: Path, content: dict[str, Any], min_confidence: float) -> None:
    from rich.console import Console
    from rich.text import Text

    joints, fps = content["joints"], content["fps"]
    left = sum(joint["side"] == "left" for joint in joints)
    right = sum(joint["side"] == "right" for joint in joints)
    size = content["image_size"]
    known = {
        "format": content["format"],
        "tracks": f"{len(content['tracks'])}",
        "frames": f"{content['frames']:,} (number {content['first_frame']:,} to {content['last_frame']:,})",
        "frames/s": f"{fps:g}" if fps else "unknown; --fps of `olift lift` tells it",
        "image": f"{size[0]} × {size[1]}" if size else "size unknown",
        "joints": f"{len(joints)}: {left} left, {right} right, {len(joints) - left - right} middle or unknown",
        "skeleton": f"{content['skeleton'] or 'no rig known by these names'}, {_edges_told(content)}",
        "hidden": f"{content['hidden_share']:.1%} of the keypoints (missing, or confidence below {min_confidence:g})",
    }
    console = Console(highlight=False)
    console.print(Text(printable(str(file)), style="bold"), soft_wrap=True)
    for key, value in (*known.items(), *(("note", note) for note in content["notes"])):
        console.print(Text(printable(f"  {key:<10}{value}")), soft_wrap=True)
    console.print(table(("track", "frames seen", "hidden"), [
        (track["name"], f"{track['frames_seen']:,}", f"{track['hidden_share']:.1%}") for track in content["tracks"]
    ]))  # fmt: skip
    console.print(table(("joint", "side", "missing", "hidden"), [
        (joint["name"], joint["side"] or "", f"{joint['missing_share']:.1%}", f"{joint['hidden_share']:.1%}")
        for joint in joints
    ], words=2))  # fmt: skip


def _edges_told(content: dict[str, Any]) -> str:
    edges, inferred = content["edges"], content["inferred"]
    if edges:
        return inferred or plural(len(edges), "edge")
    reason = f" ({inferred})" if inferred else ""
    return f"no edges{reason}; --skeleton FILE or RIG gives them, `olift skeleton` drafts such a FILE"
