"""Reads one damaged file, and judges what happens: what `fuzz` says that none may do is a failure."""

from __future__ import annotations

import mmap
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mutations import Input
from mutations_of_arrays import CANARY

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.io import read_keypoints
from olift_fast.tracks.containers import KeypointTracks

SECONDS = 5.0
"""The CPU time that reading one input may take."""
MEMORY = 10**9
"""The bytes that reading one input may add to the process."""


class Outcome(NamedTuple):
    """What became of one input.

    Args:
        kind: "read", "refused" or "failed".
        message: the error's message, or why it is a failure.
        where: the place in the code that a failure came from.
        ms: milliseconds of CPU time.
        memory: the most bytes that the worker has ever added to what it began with.
    """

    kind: str
    message: str
    where: str
    ms: float
    memory: int


Judgment = tuple[str, str, str | None]
"""As in `Outcome` kind and message; and why it is a failure all the same, or None."""


class TooSlow(BaseException):
    """Raised by the timer; no reader catches it."""


_notes = mmap.mmap(-1, 1000)
"""What a reader did that none may do. This memory is shared with the child process in which it may have done it."""
_watching = False


def read_input(folder: Path, made: Input, base: int = 0) -> Outcome:
    """Writes an input into a folder, reads it there, and judges what happens."""
    path = write_input(folder, made)

    def read() -> Judgment:
        try:
            tracks = read_keypoints(path, format=made.asked, image_size=made.image_size, allow_pickle=made.allow_pickle)
        except InputError as error:
            return "refused", str(error).removeprefix(f"{path}: "), wrong_refusal(error, str(path))
        except MissingExtraError as error:
            return "refused", str(error), None
        return "read", "", wrong_tracks(tracks)

    return judged(read, made.allow_pickle, base)


def judged(take: Callable[[], Judgment], allow_pickle: bool = False, base: int = 0) -> Outcome:
    """What became of an input that is taken in here: its judgment, or another exception, or too much time."""
    _notes[:] = bytes(len(_notes))
    began = _cpu_seconds()
    where = ""
    try:
        with _watched(allow_pickle):
            kind, message, fault = take()
    except TooSlow as error:
        kind, message, where, fault = "failed", "", place_of(error), f"took over {SECONDS:g} s"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        kind, message, where, fault = "failed", "", place_of(error), f"{type(error).__name__}: {error}"
    ms = (_cpu_seconds() - began) * 1e3
    if ms > SECONDS * 1e3:
        fault = f"took over {SECONDS:g} s"
    fault = _notes[:].rstrip(b"\0").decode(errors="replace") or fault
    if fault:
        kind, message = "failed", fault
    return Outcome(kind, message[:1000], where, ms, max(peak_memory() - base, 0))


def write_input(folder: Path, made: Input) -> Path:
    """The input as a file or folder in an empty `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / made.file
    if isinstance(made.content, bytes):
        path.write_bytes(made.content)
        return path
    path.mkdir()
    for name, content in made.content.items():
        if content is None:
            (path / name).mkdir(exist_ok=True)
        else:
            (path / name).write_bytes(content)
    return path


def wrong_tracks(tracks: KeypointTracks) -> str | None:
    """Why tracks don't fit together; None where they do."""
    points, confidence = tracks.keypoints, tracks.confidence
    shape = (len(tracks.tracks), tracks.num_frames, len(tracks.skeleton.names))
    there = np.isfinite(points).all(axis=-1)
    visible = tracks.visible()
    size = tracks.image_size
    checks = {
        "keypoints are no (N, T, J, 2) float32": points.shape == (*shape, 2) and points.dtype == np.float32,
        "confidence is no (N, T, J)": confidence.shape == shape,
        "nothing there": bool(there.any()),
        "visible keypoints that are not finite": bool(np.isfinite(points[visible]).all()),
        "confidence outside of [0, 1]": bool(((confidence >= 0) & (confidence <= 1)).all()),
        "confidence where there is no keypoint": not confidence[~there].any(),
        "a keypoint there without confidence": bool((confidence[there] > 0).all()),
        "half a keypoint": bool((np.isnan(points).all(axis=-1) == ~there).all()),
        "frames that don't increase": tracks.frames is None
        or (tracks.frames.shape == (shape[1],) and bool((np.diff(tracks.frames) > 0).all())),
        "edges out of range": all(0 <= a < shape[2] and 0 <= b < shape[2] and a != b for a, b in tracks.skeleton.edges),
        "names that repeat or are no text": _distinct(tracks.tracks) and _distinct(tracks.skeleton.names),
        "no positive fps": tracks.fps is None or (np.isfinite(tracks.fps) and tracks.fps > 0),
        "no image size": size is None or (len(size) == 2 and all(type(side) is int and side > 0 for side in size)),
        "notes that are no lines": all(_is_line(note) for note in (*tracks.notes, *tracks.warnings)),
        "values of a file that was not given": not (points == np.float32(CANARY)).any(),
    }
    return next((what for what, holds in checks.items() if not holds), None)


def wrong_refusal(error: InputError, path: str) -> str | None:
    """Why a refusal is unfit: it begins with the path, is one line, under 500 characters, and needed little memory."""
    message = str(error)
    what = message.removeprefix(f"{path}: ")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) and not _too_nested(cause):
            return f"needs over {MEMORY:,} bytes: {what}"
        cause = cause.__cause__ or cause.__context__
    if what == message:
        return f"refusal without the path: {message}"
    if not _is_line(what):
        return f"refusal with control characters: {what!r}"
    if len(what) >= 500:
        return f"refusal of {len(what)} characters: {what}"
    return None if what.strip() else "refusal without a reason"


def _too_nested(error: MemoryError) -> bool:
    """Whether this is how Python's parser, which reads the headers of NumPy's files, refuses many brackets."""
    return traceback.extract_tb(error.__traceback__)[-1].filename.endswith("ast.py")


def _distinct(names: Sequence[str]) -> bool:
    return all(type(name) is str for name in names) and len(set(names)) == len(names)


def _is_line(text: Any) -> bool:
    return isinstance(text, str) and text.isprintable()


def peak_memory() -> int:
    """The most bytes of memory that this process, or a child of it, has ever had."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024


def _cpu_seconds() -> float:
    """The CPU time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _note(what: str) -> None:
    if not _notes[0]:
        data = what.encode(errors="replace")[: len(_notes)]
        _notes[: len(data)] = data


def place_of(error: BaseException) -> str:
    """The last line of the package that an exception passed, and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "olift_fast" in frame.filename] or frames
    last = {f"{Path(frame.filename).name}:{frame.lineno}": None for frame in (own[-1], frames[-1])}
    return " ".join(last)


@contextmanager
def _watched(allow_pickle: bool) -> Iterator[None]:
    """Limits the CPU time, and notes what no reader may do; warnings are errors."""
    global _watching

    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    _watching = not allow_pickle
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        _watching = False


_ACTS = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.system", "os.exec", "subprocess.Popen", "socket.connect")


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event == "pickle.find_class":
        # What a child process of the readers' own sends back is pickled.
        if not sys._getframe(1).f_code.co_filename.endswith("in_child.py"):
            _note(f"unpickled {args[0]}.{args[1]}")
    elif event == "open":
        path, _, flags = args
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and not isinstance(path, int) and path != os.devnull:
            _note(f"opened a file for writing: {path!r:.100}")
    elif event in _ACTS:
        _note(f"{event}{args!r:.100}")


def prepare() -> None:
    """Once in each process that reads inputs: what is done behind the readers' backs is noted."""
    global _notes
    _notes = mmap.mmap(-1, len(_notes))  # its own: the process that began this one and its others share the first
    sys.addaudithook(_audit)
    sys.dont_write_bytecode = True
    sys.unraisablehook = lambda what: _note(f"{type(what.exc_value).__name__} in passing: {what.exc_value}")


def limit_memory() -> None:
    """Limits the address space of this process to what it has now and `MEMORY`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
