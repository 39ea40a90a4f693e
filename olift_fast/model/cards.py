"""Model cards: the pages of checkpoints on the Hub, which begin with a block of metadata in YAML."""

from __future__ import annotations

import re

from olift_fast.model.config import LifterConfig
from olift_fast.model.shapes import weight_count

TAGS = ("3d-pose-estimation", "pose-lifting", "keypoints", "animals", "humans")
METRICS = ("sa-mpjpe", "sa-mpve")
_METADATA = "---\n"
_LINK = r"(?P<picture>!?)\[(?P<text>(?:[^\[\]`]|`[^`\n]*`)*)\]\((?!https?://|#)[^)]*\)"
_CODE_OR_LINK = re.compile(rf"^```.*?^```|{_LINK}|`[^`\n]*`", flags=re.DOTALL | re.MULTILINE)


def metadata(license: str | None = None) -> str:
    """The block that a card begins with: library, task, tags, metrics and, where it is known, the license.

    Args:
        license: its identifier on the Hub, such as "apache-2.0" or "cc-by-nc-4.0".
    """
    import yaml  # only here: loading a checkpoint does not need it

    told = {
        **({} if license is None else {"license": license}),
        "library_name": "olift-fast",
        "pipeline_tag": "keypoint-detection",
        "tags": [*TAGS],
        "metrics": [*METRICS],
    }
    return f"{_METADATA}{yaml.safe_dump(told, sort_keys=False, allow_unicode=True)}{_METADATA}"


def card_of(config: LifterConfig, name: str, repo: str, license: str | None = None) -> str:
    """A short card for a checkpoint without one: its size, its inputs and how to use it, as far as the config says."""
    (left, right), (before, after) = config.window, config.receptive_field
    taken = [
        word for word, able in (("the camera's pitch", config.pitch), ("the kinds of joints", config.kinds)) if able
    ]
    lines = [
        f"# {_plain(name)}",
        "",
        "This model lifts 2D keypoints of any skeleton to 3D joints, with the Python package `olift-fast`.",
        "",
        f"- {weight_count(config):,} weights: {config.motion_layers} motion and {config.space_layers} space layers, "
        f"width {config.width}, {config.heads} heads",
        f"- window ({left}, {right}): a result depends on {before} frames before its own and {after} after it",
        f"- it takes keypoints, visibility, the skeleton's edges and sides{''.join(f', {word}' for word in taken)}",
        f"- it gives joints{' and their standard deviations' if config.uncertainty else ''}",
        "",
        "## Use",
        "",
        f"    pip install 'olift-fast[hub]'\n    olift lift mykeypoints.csv --model {repo} --html lifted.html",
        "",
        "```python",
        "from olift_fast import Lifter, lift_tracks, read_keypoints",
        "from olift_fast.tracks import with_inferred_skeleton",
        "",
        'tracks = with_inferred_skeleton(read_keypoints("mykeypoints.csv"))',
        f'lifted = lift_tracks(Lifter.from_pretrained("{repo}"), tracks)',
        "```",
        "",
        "## Data and scores",
        "",
        "Nobody has written down yet what it was trained on, and how well it lifts. On recordings whose 3D is known,",
        "`olift eval` measures its errors.",
    ]
    return metadata(license) + "\n".join(lines) + "\n"


def with_metadata(card: str, license: str | None = None) -> str:
    """The card, with `metadata` put before it if it has none."""
    return card if card.startswith(_METADATA) else metadata(license) + card


def without_relative_links(card: str) -> str:
    """The card without pictures and links to files outside its repository; the text of such links stays."""
    return _CODE_OR_LINK.sub(_without_link, card)


def _without_link(found: re.Match[str]) -> str:
    if found["text"] is None:
        return found[0]
    return "" if found["picture"] else found["text"]


def _plain(name: str) -> str:
    """A name for a heading, without characters that mean something in Markdown or HTML."""
    return re.sub(r"[^\w .,+()-]", " ", name).strip() or "unnamed"
