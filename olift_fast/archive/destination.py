"""Where results go: a folder, or a place in a store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from olift_fast.archive.sources import local_of
from olift_fast.archive.stores import is_url, remote_of
from olift_fast.atomic import atomic_path, writing
from olift_fast.errors import InputError


class Destination:
    """A folder on this machine, or one in a store that fsspec opens.

    Args:
        place: a path or a URL.

    Attributes:
        place: the same; a path for ``file://``.
        folder: the folder; None in a store.
    """

    def __init__(self, place: str) -> None:
        self.place = local_of(place)
        self.folder = None if is_url(self.place) else Path(self.place)
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder}: is a file, wanted a folder for the results")

    def sizes(self) -> Mapping[str, int] | Callable[[str], int | None]:
        """Sizes in bytes of the results that are there, by their paths below DEST."""
        if self.folder is None:
            remote, path = remote_of(self.place)
            return remote.sizes(path)
        return self._size

    def _size(self, name: str) -> int | None:
        assert self.folder is not None
        try:
            return os.stat(self.folder / name).st_size
        except OSError:
            return None

    def shown(self, name: str) -> str:
        """The path or URL of a file below DEST."""
        return str(self.folder / name) if self.folder is not None else f"{self.place.rstrip('/')}/{name}"

    def keep(self, local: Path, name: str) -> None:
        """Copies a file to DEST: it is there in full or not at all.

        Raises:
            InputError: it can't be written.
        """
        if self.folder is None:
            remote, place = remote_of(self.place)
            remote.put(local, f"{place.rstrip('/')}/{name}")
            return
        path = self.folder / name
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_bytes(local.read_bytes())

    def read(self, name: str) -> bytes:
        """The content of a small file below DEST; raises InputError where there is none."""
        if self.folder is None:
            remote, path = remote_of(self.place)
            return remote.read(f"{path.rstrip('/')}/{name}")
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise InputError(f"{self.shown(name)}: {error.strerror or error}") from error

    def keep_text(self, text: str, name: str) -> None:
        """`keep` for a text."""
        with tempfile.TemporaryDirectory(prefix="olift-archive-") as folder:
            local = Path(folder) / "text"
            local.write_text(text, encoding="utf-8")
            self.keep(local, name)

    def remove(self, name: str) -> None:
        """Deletes a file below DEST, if it is there."""
        if self.folder is None:
            remote, path = remote_of(self.place)
            remote.remove(f"{path.rstrip('/')}/{name}")
        else:
            (self.folder / name).unlink(missing_ok=True)
