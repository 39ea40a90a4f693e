"""The lines of a live stream, one JSON object each: parses messages and formats results. No I/O here."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

MAX_LINE = 1 << 18
"""The most bytes of a line; a frame of 150 joints takes about 9,000."""
MAX_COORDINATE = 1e7
"""The most pixels from the origin: beyond it, neighboring pixels are equal in float32."""
MAX_NAME = 200
DEFAULT_TRACK = "track_0"


@dataclass(frozen=True, slots=True, eq=False)
class FrameMessage:
    """One frame of one track.

    Args:
        track: the track's name.
        keypoints: ``(J, 2)`` float32 pixels, NaN where missing.
        confidence: ``(J,)`` float32; 1 where the sender gives none, 0 where the keypoint is missing.
        t: the sender's clock in seconds, or None.
        end: whether the track ends with this frame.
        came: when the frame came in, by any clock; returned in `Lifted.due`.
        dropped: how many frames of the track were dropped right before this one.
    """

    track: str
    keypoints: Array
    confidence: Array
    t: float | None = None
    end: bool = False
    came: float | None = None
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """The track ends: the results that are still due are sent."""

    track: str


@dataclass(frozen=True, slots=True)
class StatsRequest:
    """The sender asks for `Router.stats`."""


Message = FrameMessage | End | StatsRequest


def parse_line(line: bytes, joints: int) -> Message | None:
    """The message in a line; None if the line is blank.

    Raises:
        InputError: the line is not a message; the error says why in one short line.
    """
    if not line.strip():
        return None
    try:
        content = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError("not UTF-8") from None
    except RecursionError:
        raise InputError("not a frame: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"wanted an object, got {_shown(content)}")
    if "keypoints" in content:
        points, confidence = _keypoints(content["keypoints"], joints)
        return FrameMessage(_track(content), points, confidence, _time(content.get("t")), _flag(content, "end"))
    if _flag(content, "end"):
        return End(_track(content))
    if _flag(content, "stats"):
        return StatsRequest()
    raise InputError(f"wanted the key 'keypoints', 'end' or 'stats', got {_listed(content)}")


class ResultLines:
    """Formats results ``(J, 3)`` as lines, with nine digits, from which each float32 is read back exactly."""

    def __init__(self, joints: int) -> None:
        self._joints = "[" + ",".join(["[%.9g,%.9g,%.9g]"] * joints) + "]"
        self._deviations = "[" + ",".join(["%.9g"] * joints) + "]"

    def line(
        self,
        track: str,
        frame: int,
        t: float | None,
        joints: Array,
        uncertainty: Array | None = None,
        provisional: bool = False,
    ) -> bytes:
        """The line, with a newline; joints that are not finite become ``"joints":null``.

        With `uncertainty` ``(J, 2)``, "uncertainty" lists the standard deviations of z, and "uncertainty_xy" those of x
        and y. With `provisional` the line has ``"provisional":true``: its scale is still being fitted.
        """
        shown = {"joints": _numbers(self._joints, joints)}
        if uncertainty is not None:
            shown["uncertainty"] = _numbers(self._deviations, uncertainty[:, 1])
            shown["uncertainty_xy"] = _numbers(self._deviations, uncertainty[:, 0])
        if provisional:
            shown["provisional"] = "true"
        time = "null" if t is None else repr(t)
        values = ",".join(f'"{name}":{value}' for name, value in shown.items())
        return f'{{"track":{json.dumps(track)},"frame":{frame},"t":{time},{values}}}\n'.encode()


def _numbers(template: str, values: Array) -> str:
    """The values as JSON; null if one is not finite."""
    listed = tuple(values.ravel().tolist())
    return template % listed if math.isfinite(sum(listed)) else "null"


def answer_line(content: Mapping[str, Any]) -> bytes:
    """The line of any answer except a result."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class LineSplitter:
    """Cuts bytes that come in pieces of any size into lines, one at a time.

    Args:
        limit: the most bytes of a line. A longer line is skipped, and None is returned instead.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self.limit = limit
        self.waiting = 0
        """The number of bytes that were fed and not yet looked at."""
        self.came = 0.0
        """The `came` of the bytes that `lines` looked at last."""
        self._pieces: deque[tuple[bytes, float]] = deque()
        self._at = 0
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes, came: float = 0.0) -> None:
        """Adds bytes; `came` can be the time when they came."""
        if data:
            self._pieces.append((data, came))
            self.waiting += len(data)

    def lines(self) -> Iterator[bytes | None]:
        """The lines that are complete now, without their newlines. Each is cut when the iterator reaches it."""
        while self._pieces:
            piece, self.came = self._pieces[0]
            end = piece.find(b"\n", self._at)
            self._keep(memoryview(piece)[self._at : None if end < 0 else end])
            self.waiting -= (len(piece) if end < 0 else end + 1) - self._at
            self._at = end + 1
            if end < 0 or self._at == len(piece):
                self._pieces.popleft()
                self._at = 0
            if end >= 0:
                yield self._finish()

    def forget(self, bytes_left: int) -> int:
        """Drops the oldest pieces until at most `bytes_left` bytes wait; returns how many frames were in them."""
        frames = 0
        while self.waiting > bytes_left:
            piece, _ = self._pieces.popleft()
            frames += piece.count(b'"keypoints"', self._at)
            self.waiting -= len(piece) - self._at
            self._at = 0
        return frames

    def _finish(self) -> bytes | None:
        whole = None if self._skipping else bytes(self._rest)
        self._rest.clear()
        self._skipping = False
        return whole

    def _keep(self, piece: memoryview) -> None:
        if self._skipping or len(self._rest) + len(piece) > self.limit:
            self._rest.clear()
            self._skipping = True
        else:
            self._rest += piece


def _keypoints(given: object, joints: int) -> tuple[Array, Array]:
    """Keypoints ``(J, 2)`` and confidence ``(J,)`` from the value of "keypoints". None is a frame without keypoints."""
    if given is None:
        return np.full((joints, 2), np.nan, np.float32), np.zeros(joints, np.float32)
    if not isinstance(given, list):
        raise InputError(f"keypoints must be a list, got {_shown(given)}")
    if len(given) != joints:
        raise InputError(f"keypoints must be {joints} points, as the skeleton has, got {len(given)}")
    if (plain := _plain(given)) is not None:
        return plain
    values = np.array([_point(index, point) for index, point in enumerate(given)]).reshape(joints, 3)
    points, confidence = values[:, :2].astype(np.float32), values[:, 2].astype(np.float32)
    missing = np.isnan(points).any(axis=1) | np.isnan(confidence)
    points[missing], confidence[missing] = np.nan, 0
    return points, confidence


def _plain(given: list[Any]) -> tuple[Array, Array] | None:
    """The fast path for nearly all frames: all points have the same count of numbers, all finite and in range."""
    if set(map(type, given)) != {list}:
        return None
    numbers = list(chain.from_iterable(given))
    count = len(given[0])
    if set(map(len, given)) != {count} or count not in (2, 3) or not {float, int}.issuperset(map(type, numbers)):
        return None
    rest = numbers[2::3] if count == 3 else [1]
    try:
        known = math.isfinite(sum(numbers))
    except OverflowError:
        return None
    if not known or not (min(rest) >= -0.01 and max(rest) <= 2):
        return None
    if not (min(numbers) >= -MAX_COORDINATE and max(numbers) <= MAX_COORDINATE):
        return None
    values = np.array(numbers, dtype=np.float32).reshape(-1, count)
    return values[:, :2].copy(), values[:, 2].copy() if count == 3 else np.ones(len(values), np.float32)


def _point(index: int, point: object) -> tuple[float, float, float]:
    """x, y and confidence of a point; NaN if it is missing."""
    missing = (math.nan, math.nan, math.nan)
    if point is None:
        return missing
    if not isinstance(point, list) or len(point) not in (2, 3):
        raise InputError(f"keypoint {index} must be [x, y], [x, y, confidence] or null, got {_shown(point)}")
    for value in point:
        if value is not None and type(value) not in (int, float):
            raise InputError(f"keypoint {index} must hold numbers, got {_shown(value)}")
    x, y, *rest = point
    confidence = rest[0] if rest else 1.0
    if any(value is None or math.isnan(value) for value in (x, y, confidence) if not isinstance(value, int)):
        return missing
    for value in (x, y):
        if not abs(value) <= MAX_COORDINATE:
            raise InputError(f"keypoint {index} must be within ±{MAX_COORDINATE:.0e} pixels, got {_shown(value)}")
    # As when files are read: some tools exceed 1 slightly, and a third number beyond 2 is likely to be a depth.
    if not -0.01 <= confidence <= 2:
        raise InputError(f"keypoint {index}: confidence must be within 0 … 1, got {_shown(confidence)}; is this depth?")
    return float(x), float(y), float(confidence)


def _track(content: dict[str, Any]) -> str:
    name = content.get("track")
    if name is None:
        return DEFAULT_TRACK
    if type(name) not in (str, int):
        raise InputError(f"track must be a name, got {_shown(name)}")
    if _is_huge(name) or not 0 < len(str(name)) <= MAX_NAME or not str(name).isprintable():
        raise InputError(f"track must be a name of 1 to {MAX_NAME} printable characters, got {_shown(name)}")
    return str(name)


def _time(t: object) -> float | None:
    if t is None:
        return None
    if isinstance(t, bool) or not isinstance(t, int | float) or not abs(t) < 1e15:
        raise InputError(f"t must be seconds or null, got {_shown(t)}")
    return float(t)


def _flag(content: dict[str, Any], key: str) -> bool:
    value = content.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"{key} must be true or false, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """A value as JSON, cut to 40 characters, for an error message."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = "a huge number" if _is_huge(value) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _is_huge(value: object) -> bool:
    """Whether a value is an integer with more digits than Python converts to text."""
    return isinstance(value, int) and value.bit_length() > 200


def _listed(content: dict[str, Any]) -> str:
    if not content:
        return "none"
    names = ", ".join(map(_shown, list(content)[:5]))
    return f"{names}, …" if len(content) > 5 else names
