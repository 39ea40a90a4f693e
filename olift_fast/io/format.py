"""What a reader says of its format, and a writer of its files: one record each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from olift_fast.io.open_container import Container
from olift_fast.io.parsed import Parsed
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks


class Format(NamedTuple):
    """A format that `read_keypoints` knows.

    Args:
        name: what `format=` and `--format` take.
        extensions: the usual endings of such a file's name; they are shown, but a file is recognized by its content.
        example: a file's usual name, and the options that lifting it usually takes, as they follow ``olift lift``.
        extra: the extra that reading needs; None where the package itself is enough.
        description: the tool and the kind of file, in a few words.
        containers: the kinds of file that hold this format.
        matches: whether the content of such a file is of this format; the first of `readers.FORMATS` that says so reads
            the file.
        read: turns that content into tracks.
        recognized_by: what `matches` looks for, in a few words of Markdown.
        takes: what `read` takes from the file and how it reads it, in Markdown.
        hint: what the error about a file of no known format calls this one; empty leaves it out.
    """

    name: str
    extensions: tuple[str, ...]
    example: str
    extra: str | None
    description: str
    containers: tuple[Container, ...]
    matches: Callable[[Any], bool]
    read: Callable[[Any], Parsed]
    recognized_by: str
    takes: str
    hint: str = ""


Want = Literal["one track", "fps", "bones"]
"""What a format can't do without: a single track, a known number of frames a second, a skeleton with edges."""


class OutputFormat(NamedTuple):
    """A format that `write_lifted` writes.

    Args:
        name: what `format=` takes.
        suffix: the ending of a file's name that chooses this format; the longest one that fits counts.
        extra: the extra that writing needs; None where the package itself is enough.
        description: the kind of file, in a few words of Markdown.
        holds: which parts of a result the file keeps.
        drops: which parts it has no place for.
        write: writes a result to a path that does not exist yet.
        module: the module that writing needs and the extra brings; None where `extra` is.
        title: what messages call such files: "BVH".
        wants: what a result must have to be written so.
        check: raises InputError for other tracks, lifted or not yet, that can't be written so; None where all can.
    """

    name: str
    suffix: str
    extra: str | None
    description: str
    holds: str
    drops: str
    write: Callable[[LiftedTracks, Path], None]
    module: str | None = None
    title: str = ""
    wants: tuple[Want, ...] = ()
    check: Callable[[KeypointTracks | LiftedTracks], object] | None = None
