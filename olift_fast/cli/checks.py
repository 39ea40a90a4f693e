"""Checks of paths and options before any work is done. Each raises an error of one line that names the bad value."""

from __future__ import annotations

import os
from pathlib import Path

from olift_fast.atomic import link_target, writing
from olift_fast.errors import InputError, by_option
from olift_fast.odd_files import refuse_odd


def check_input(path: Path) -> None:
    """Raises InputError unless the file, the folder or the pipe is there."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    refuse_odd(path)


def check_lifted(path: Path) -> None:
    """`check_input` for a result, which is not a folder."""
    check_input(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, wanted what `olift lift` wrote (.npz)")


def check_output(path: Path, source: Path | None, option: str = "-o") -> None:
    """Raises InputError if `path`, given by `option`, can't be written or is the input itself."""
    with writing(path):
        target = link_target(path)
    folder = target.parent
    if not folder.is_dir():
        raise InputError(f"{path}: cannot be written: {folder} is not a folder")
    if path.is_dir():
        raise InputError(f"{path}: cannot be written: it is a folder, wanted a file name")
    if target.exists() and not target.is_file():
        raise InputError(f"{path}: cannot be written: it is a device, a pipe or a socket, wanted a file name")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: cannot be written: no permission in {folder}; choose another place with {option}")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise InputError(f"{path}: is the input itself; choose another name with {option}")


def check_not_model(out: Path, model: Path) -> None:
    """Raises InputError if ``--out`` is the folder of the checkpoint to start from."""
    if out.resolve() == model.resolve():
        raise InputError(f"--out must be another folder than --model, got {out}")


def check_result(path: Path, source: Path | None, option: str = "-o") -> None:
    """`check_output` for a result: its suffix must be known, and the packages that write such files installed.

    Raises:
        InputError: an unknown suffix, or as `check_output`.
        MissingExtraError: the extra `io` is needed.
    """
    from olift_fast.io.write import require_writer

    check_output(path, source, option)
    require_writer(path)


def check_page(page: Path, source: Path, result: Path | None = None) -> None:
    """`check_output` for the page of `result`; its name must end in .html.

    Raises:
        InputError: its name does not end in .html, it has the result's name, or as `check_output`.
        MissingExtraError: the extra `view` is needed.
    """
    from olift_fast.view import require_plotly

    require_plotly()
    check_output(page, source)
    if result is not None and page.resolve() == result.resolve():
        raise InputError(f"{page}: is asked for as result and as page; give them two names")
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{page}: a page's name must end in .html, got {page.suffix or 'no ending'!r}")


def check_ending(suffix: str) -> None:
    """Raises InputError where what ``--format-out`` says is no ending of a format."""
    if not suffix.startswith(".") or "/" in suffix or os.sep in suffix:
        raise InputError(f"--format-out must be an ending, as .csv, got {suffix!r}")
    from olift_fast.io.write import kind_of

    name = f"result{suffix}"
    with by_option(f"{name}: the name", "--format-out"):
        kind_of(Path(name))


def check_min_confidence(value: float) -> None:
    """Raises InputError unless it is within 0 … 1."""
    if not 0 <= value <= 1:
        raise InputError(f"--min-confidence must be within 0 … 1, got {value:g}")


def check_image_size(size: tuple[int, int] | None) -> None:
    """Raises InputError unless it is None or two positive numbers."""
    if size is not None and min(size) < 1:
        raise InputError(f"--image-size must be a width and a height in pixels, got {size[0]} {size[1]}")


def check_offset_of_video(offset: int | None, video: Path | None) -> None:
    """Raises InputError if there is an offset but no video."""
    if offset is not None and video is None:
        raise InputError(f"--offset {offset} is of a --video: give its file")


def check_threads(count: int | None) -> None:
    """Raises InputError unless `count` is None or at least 1."""
    check_count("--threads", count)


def check_count(option: str, count: int | None) -> None:
    """Raises InputError unless the option's value is None or at least 1."""
    if count is not None and count < 1:
        raise InputError(f"{option} must be >= 1, got {count}")
