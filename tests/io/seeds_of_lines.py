"""Lines as clients of a live stream send them: what `fuzz.py` damages for the formats "stream" and "websocket"."""

from __future__ import annotations

import json
import random
from typing import Any

from seeds import Seed

JOINTS = 4
STREAMS = ("stream", "websocket")
"""Lines that are taken apart and lifted here, and messages that a WebSocket's handler takes."""


Line = dict[str, Any]


def seeds_of_lines() -> dict[str, list[Seed]]:
    """The seeds of each of `STREAMS`."""
    lines = {"frames": _frames(20), "tracks": _tracks(), "faulty": _faulty(), "requests": _requests()}
    texts = {name: "".join(json.dumps(line) + "\n" for line in own).encode() for name, own in lines.items()}
    return {
        format: [Seed(format, name, "lines.jsonl", text, False) for name, text in texts.items()] for format in STREAMS
    }


def _frames(count: int, seed: int = 1) -> list[Line]:
    """One track: more frames than the scale is fitted to."""
    draw = random.Random(seed)
    return [
        {"keypoints": [[round(300 + draw.gauss(0, 40), 2), round(200 + draw.gauss(0, 40), 2)] for _ in range(JOINTS)]}
        for _ in range(count)
    ]


def _tracks() -> list[Line]:
    """Two tracks side by side, with confidence and times, that end."""
    lines: list[Line] = []
    for number, line in enumerate(_frames(12, seed=2)):
        points = [[x, y, round(0.1 * (number + joint) % 1, 1)] for joint, (x, y) in enumerate(line["keypoints"])]
        lines += [{"track": track, "t": number / 30, "keypoints": points} for track in ("dog", "cat")]
    return [*lines, {"track": "dog", "end": True}, {**lines[-1], "end": True}]


def _faulty() -> list[Line]:
    """Points that are missing in all ways, and frames without any."""
    lines = _frames(6, seed=3)
    lines[1]["keypoints"][2] = None
    lines[2]["keypoints"][0] = [None, None]
    lines[3]["keypoints"][1] = [float("nan"), 3.0, 0.5]
    lines[4]["keypoints"] = None
    return lines


def _requests() -> list[Line]:
    """Requests among frames, and a name that comes again."""
    frames = _frames(4, seed=4)
    return [frames[0], {"stats": True}, {"end": True}, frames[1], {"track": 7, **frames[2]}, {"stats": True}, frames[3]]
