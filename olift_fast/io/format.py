"""The records of formats: a `Format` for each one that is read, an `OutputFormat` for each one that is written."""

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
        name: the value of `format=` and `--format`.
        extensions: the usual endings of such a file's name, for docs/formats.md; a file is recognized by its content.
        example: what follows ``olift lift`` in an example: a usual name, and the options that such a file needs.
        extra: the extra that reading needs; None if the package itself is enough.
        description: the tool and the kind of file, in a few words.
        containers: the kinds of file that can have this format.
        matches: whether a file's content has this format; the first match in `readers.FORMATS` reads the file.
        read: turns the content into tracks.
        recognized_by: what `matches` looks for, in a few words of Markdown.
        takes: what `read` takes from the file, and how, in Markdown.
        hint: this format's name in the error about a file of no known format; "" if the error shall not name it.
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
"""What a format needs: a single track, a known frame rate, a skeleton with edges."""


class OutputFormat(NamedTuple):
    """A format that `write_lifted` writes.

    Args:
        name: the value of `format=`.
        suffix: the ending of a file's name that chooses this format. If several endings fit, the longest counts.
        extra: the extra that writing needs; None if the package itself is enough.
        description: the kind of file, in a few words of Markdown.
        holds: the parts of a result that the file keeps.
        drops: the parts that it leaves out.
        write: writes a result to a path that does not exist yet.
        module: the module that writing needs, which the extra installs; None if `extra` is None.
        title: the format's name in messages: "BVH".
        wants: what a result must have to be written in this format.
        check: raises InputError for tracks, lifted or not, that can't be written in this format. None if `wants` says
            all.
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
