"""Named tracks of a live stream in the slots of a `StreamingLifter`: messages in, events out. No I/O here."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal, NamedTuple

import numpy as np

from olift_fast.errors import InputError
from olift_fast.model import Normalization
from olift_fast.streaming.messages import Array, End, FrameMessage, Mask
from olift_fast.streaming.streaming_lifter import LiftedFrame, StreamingLifter
from olift_fast.tracks.skeleton import Skeleton

Source = Hashable
"""The sender of a message. One track name used by two sources means two tracks."""

_JUMP = 10.0
"""A step of the sender's clock of more seconds from one frame to the next is reported as a jump."""


class Lifted(NamedTuple):
    """One frame of one track in 3D, with the 2D keypoints that it was lifted from.

    `frame` counts the frames of this track that the source sent, from 0, dropped ones included.
    """

    source: Source
    track: str
    frame: int
    t: float | None
    joints: Array
    keypoints: Array
    confidence: Array
    visible: Mask
    tick: int
    """The number of the moment: frames of several tracks that belong together share it."""
    life: int
    """The number of the track in the session: a name that comes again is another track."""
    uncertainty: Array | None = None
    """``(J, 2)``, see `LiftedFrame.uncertainty`."""
    provisional: bool = False
    """As `LiftedFrame.provisional`."""
    scale: float | None = None
    """As `LiftedFrame.scale`."""
    due: float | None = None
    """`FrameMessage.came` of the frame `latency_frames` later, with which this result was due; None without it."""


class Ended(NamedTuple):
    """A track has ended after so many frames; `scale` is pixels in a model unit, None where it was never fitted."""

    source: Source
    track: str
    frames: int
    scale: float | None
    why: Literal["asked", "idle", "gone", "closed"]
    life: int


class Notice(NamedTuple):
    """A message to the source: an error, because a frame was not taken, or a warning."""

    source: Source
    kind: Literal["error", "warning"]
    message: str


Event = Lifted | Ended | Notice


class Session:
    """Lifts frames of named tracks. Methods take messages and return the events that follow from them.

    Args:
        stream: all sources share its slots.
        min_confidence: keypoints with a lower confidence count as hidden.
        idle: seconds without a frame after which a track ends.

    Raises:
        InputError: an argument is out of range.
    """

    def __init__(self, stream: StreamingLifter, *, min_confidence: float = 0.3, idle: float = 10.0) -> None:
        if not 0 <= min_confidence <= 1:
            raise InputError(f"min_confidence must be within 0 … 1, got {min_confidence:g}")
        if not idle > 0:
            raise InputError(f"idle must be a positive number of seconds, got {idle:g}")
        self._stream, self._min_confidence, self._idle = stream, min_confidence, idle
        self._tracks: OrderedDict[tuple[Source, str], _Track] = OrderedDict()
        """The tracks, in the order of their last frames."""
        self._of_slot: dict[int, _Track] = {}
        self._free = deque(range(stream.tracks))
        self._moment = _Moment()
        self.frames, self.results, self.lives = 0, 0, 0

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of every track."""
        return self._stream.skeleton

    @property
    def latency_frames(self) -> int:
        """The number of frames between frame t and the frame with which its result comes."""
        return self._stream.latency_frames

    @property
    def held_frames(self) -> int:
        """The number of frames held back until their track's scale is known."""
        return self._stream.held_frames

    @property
    def together(self) -> int:
        """The most messages that are worth feeding at once: more gain nothing, and the first ones wait longer."""
        return self._stream.frames_a_step

    @property
    def tracks(self) -> list[str]:
        """Names of the tracks that have not ended."""
        return [track.name for track in self._tracks.values()]

    def feed(self, items: Sequence[tuple[Source, FrameMessage | End]], now: float) -> list[Event]:
        """Takes messages; consecutive frames of different tracks are lifted together.

        Args:
            items: sources and their messages, in order.
            now: seconds of any monotonic clock.
        """
        events: list[Event] = []
        together = _Together()
        for source, message in items:
            key = source, message.track
            if isinstance(message, End):
                if key in self._tracks and key not in together.ending:
                    together.ending[key] = self._tracks[key]
                else:
                    events.append(Notice(source, "error", f"there is no track {message.track!r} to end"))
                continue
            # A track that ends makes room for the frames after it.
            if key in together.frames or key in together.ending or (together.ending and self._full_for(key)):
                self._lift(together, events)
            track = self._opened(key, now, events)
            if track is not None:
                self._check_clock(track, message.t, events)
                self._touch(track, now)
                together.frames[key] = track, message
                if message.end:
                    together.ending[key] = track
        self._lift(together, events)
        return events

    def skip(self, source: Source, frame: FrameMessage, now: float) -> list[Event]:
        """Counts the next frame of a track, which was dropped without lifting, and the frames dropped before it."""
        events: list[Event] = []
        track = self._opened((source, frame.track), now, events)
        if track is not None:
            track.sent += frame.dropped + 1
            self._touch(track, now)
            if frame.end:
                self._end([track], "asked", events)
        return events

    def expire(self, now: float, spare: Iterable[Source] = ()) -> list[Event]:
        """Ends the tracks that have been idle for too long; tracks of the sources in `spare` count as busy."""
        events: list[Event] = []
        spared = set(spare)
        for track in [track for track in self._tracks.values() if track.source in spared]:
            self._touch(track, now)
        over = list(takewhile(lambda track: now - track.last > self._idle, self._tracks.values()))
        self._end(over, "idle", events)
        return events

    def close(self, source: Source | None = None, why: Literal["gone", "closed"] = "closed") -> list[Event]:
        """Ends the tracks of a source, or all of them."""
        events: list[Event] = []
        over = [track for track in self._tracks.values() if source is None or track.source == source]
        self._end(sorted(over, key=lambda track: track.life), why, events)
        return events

    def _opened(self, key: tuple[Source, str], now: float, events: list[Event]) -> _Track | None:
        """The track, started if it is new; None, with an error for its source, if all slots are taken."""
        if key not in self._tracks:
            if not self._free:
                events += self.expire(now)
            if not self._free:
                slots = self._stream.tracks
                full = "the one slot for tracks is" if slots == 1 else f"all {slots} slots for tracks are"
                events.append(Notice(key[0], "error", f"no room for track {key[1]!r}: {full} taken"))
                return None
            slot = self._free.popleft()
            self._stream.reset(slot)
            self._tracks[key] = self._of_slot[slot] = _Track(*key, slot, self.lives, now)
            self.lives += 1
        return self._tracks[key]

    def _full_for(self, key: tuple[Source, str]) -> bool:
        return key not in self._tracks and not self._free

    def _check_clock(self, track: _Track, t: float | None, events: list[Event]) -> None:
        before, track.t = track.t, t
        if t is None or before is None:
            return
        if t < before:
            jump = f"went back from {before:.6g} to {t:.6g}"
        elif t - before > _JUMP:
            jump = f"went ahead from {before:.6g} to {t:.6g}"
        else:
            return
        events.append(
            Notice(track.source, "warning", f"track {track.name!r}: t {jump}; frames are lifted as they come")
        )

    def _touch(self, track: _Track, now: float) -> None:
        """Notes that the track has had a frame; `_tracks` stays in the order of their last frames."""
        track.last = now
        self._tracks.move_to_end((track.source, track.name))

    def _lift(self, together: _Together, events: list[Event]) -> None:
        """Lifts a frame of each of these tracks, ends those that are to end, and empties `together`."""
        if together.frames:
            tracks, frames = zip(*together.frames.values(), strict=True)
            self._push(tracks, frames, events)
        self._end(list(together.ending.values()), "asked", events)
        together.frames.clear()
        together.ending.clear()

    def _push(self, tracks: Sequence[_Track], frames: Sequence[FrameMessage], events: list[Event]) -> None:
        confidence = np.stack([frame.confidence for frame in frames])
        keypoints = np.stack([frame.keypoints for frame in frames])
        visible = (confidence >= self._min_confidence) & np.isfinite(keypoints).all(axis=-1)
        for track, frame, seen in zip(tracks, frames, visible, strict=True):
            track.sent += frame.dropped
            track.waiting.append((track.sent, self._moment.of(track.life, frame.t), frame, seen))
            track.sent += 1
        self.frames += len(frames)
        slots = [track.slot for track in tracks]
        events += self._lifted(self._stream.push(keypoints[:, None], visible[:, None], tracks=slots))

    def _end(
        self, tracks: Sequence[_Track], why: Literal["asked", "idle", "gone", "closed"], events: list[Event]
    ) -> None:
        """Ends tracks. Their due results are computed together, and their events come one track after the other."""
        if not tracks:
            return
        scales = [self._scale(track) for track in tracks]
        due: dict[int, list[LiftedFrame]] = {track.slot: [] for track in tracks}
        for result in self._stream.flush([track.slot for track in tracks]):
            due[result.track].append(result)
        for track, scale in zip(tracks, scales, strict=True):
            events += self._lifted(due[track.slot])
            events.append(Ended(track.source, track.name, track.sent, scale, why, track.life))
            del self._tracks[track.source, track.name], self._of_slot[track.slot]
            self._free.append(track.slot)

    def _scale(self, track: _Track) -> float | None:
        """Pixels in a model unit. If a track ends before its scale was fitted, the scale that `flush` will fit."""
        known = self._stream.normalization(track.slot)
        if known is None and any(visible.sum() > 1 for *_, visible in track.waiting):
            keypoints = np.stack([frame.keypoints for _, _, frame, _ in track.waiting])
            known = Normalization.fit(keypoints, np.stack([visible for *_, visible in track.waiting]))
        return None if known is None else known.scale

    def _lifted(self, results: Iterable[LiftedFrame]) -> Iterator[Lifted]:
        for result in results:
            track = self._of_slot[result.track]
            number, tick, frame, visible = track.waiting.popleft()
            self.results += 1
            yield Lifted(
                track.source, track.name, number, frame.t, result.joints, frame.keypoints, frame.confidence, visible,
                tick, track.life, result.uncertainty, result.provisional, result.scale, self._due(track, frame),
            )  # fmt: skip

    def _due(self, track: _Track, frame: FrameMessage) -> float | None:
        """When the frame came with which the result of `frame` was due; None if the track ended before."""
        later = self._stream.latency_frames
        if later > len(track.waiting):
            return None
        return (track.waiting[later - 1][2] if later else frame).came


@dataclass(slots=True)
class _Track:
    source: Source
    name: str
    slot: int
    life: int
    last: float
    t: float | None = None
    sent: int = 0
    waiting: deque[tuple[int, int, FrameMessage, Mask]] = field(default_factory=deque)


@dataclass(slots=True)
class _Together:
    """Frames of different tracks that are lifted together, and the tracks that end afterwards."""

    frames: dict[tuple[Source, str], tuple[_Track, FrameMessage]] = field(default_factory=dict)
    ending: dict[tuple[Source, str], _Track] = field(default_factory=dict)


class _Moment:
    """Numbers moments: the next begins when a track has another frame, or when a frame has another time."""

    def __init__(self) -> None:
        self._tick = -1
        self._t: float | None = None
        self._there: set[int] = set()

    def of(self, life: int, t: float | None) -> int:
        """The number of the moment that a frame of track `life` at time `t` belongs to."""
        if self._tick < 0 or life in self._there or t != self._t:
            self._tick += 1
            self._there.clear()
            self._t = t
        self._there.add(life)
        return self._tick
