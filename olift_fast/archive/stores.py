"""Reads and writes files on other machines through fsspec: ``s3://``, ``gs://``, ``https://`` and others."""

from __future__ import annotations

import glob
import importlib
import importlib.util
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from olift_fast.errors import InputError, MissingExtraError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_IN_ONE_PIECE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "memory"}
"""In these stores a new object is there in full or not at all. In others, a file is uploaded, and then renamed."""


def is_url(text: str) -> bool:
    """Whether the text begins like a URL."""
    return _URL.match(text) is not None


class Stored(NamedTuple):
    """A file in a store: its path there, its size, and a mark that changes with its content."""

    path: str
    bytes: int
    modified: str


class Remote:
    """A store that `fsspec` opens.

    Args:
        files: fsspec's file system.
        scheme: what its URLs begin with: "s3".
        prefix: the part of a URL before the path: "sftp://host/".
    """

    def __init__(self, files: Any, scheme: str, prefix: str) -> None:
        self._files, self.scheme, self._prefix = files, scheme, prefix

    @classmethod
    def of(cls, url: str) -> tuple[Remote, str]:
        """The store of a URL, and the path in it.

        Raises:
            MissingExtraError: fsspec is not installed, or the package that it needs for https.
            InputError: fsspec does not know such URLs, or needs a package for them that no extra installs.
        """
        scheme = url.partition("://")[0].lower()
        try:
            core = importlib.import_module("fsspec.core")
            with telling(url):
                files, path = core.url_to_fs(url)
        except ImportError as error:
            if importlib.util.find_spec("fsspec") is None or scheme in ("http", "https"):
                raise MissingExtraError(f"opening {scheme}:// URLs", "archive") from error
            raise InputError(f"{url}: a package is missing: {error}") from error
        whole, inner = url.rstrip("/"), path.strip("/")
        prefix = whole.removesuffix(inner) if whole.endswith(inner) else f"{scheme}://"
        return cls(files, scheme, prefix), path

    def url_of(self, path: str) -> str:
        """The URL of a path."""
        return path if is_url(path) else self._prefix + path.lstrip("/")

    def found(self, path: str) -> Iterator[Stored]:
        """The file at a path, the files below it, or those that match it if it is a glob; in the order of their paths.

        Raises:
            InputError: there is no such file, or the store refuses.
        """
        with telling(self.url_of(path)):
            if glob.has_magic(path):
                found = self._files.glob(path, detail=True)
            elif self._files.isfile(path):
                found = {path: self._files.info(path)}
            else:
                found = self._files.find(path, detail=True)
        if not found:
            raise InputError(f"{self.url_of(path)}: no such file or folder")
        for name in sorted(found):
            if found[name].get("type", "file") == "file":
                yield Stored(name, int(found[name].get("size") or 0), _modified(found[name]))

    def sizes(self, path: str) -> dict[str, int]:
        """The sizes of all files below a path, by their paths relative to it; empty if there are none."""
        with telling(self.url_of(path)):
            try:
                self._files.invalidate_cache()
                found = self._files.find(path, detail=True)
            except FileNotFoundError:
                return {}
        start = len(path.rstrip("/")) + 1
        return {name[start:]: int(told.get("size") or 0) for name, told in found.items()}

    def fetch(self, path: str, local: Path) -> None:
        """Copies a file, or the files of a folder, to this machine.

        Raises:
            InputError: there is no such file, or the store refuses.
        """
        with telling(self.url_of(path)):
            self._files.get_file(path, str(local))

    def read(self, path: str) -> bytes:
        """The content of a small file; raises InputError if there is no such file."""
        with telling(self.url_of(path)):
            return bytes(self._files.cat_file(path))

    def put(self, local: Path, path: str) -> None:
        """Uploads a file, in full or not at all.

        Raises:
            InputError: the store refuses.
        """
        with telling(self.url_of(path)):
            folder = path.rpartition("/")[0]
            if self.scheme in _IN_ONE_PIECE:
                self._files.put_file(str(local), path)
                return
            self._files.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/.{secrets.token_hex(4)}.tmp"
            try:
                self._files.put_file(str(local), temporary)
                self._files.mv(temporary, path)
            except BaseException:
                if self._files.exists(temporary):
                    self._files.rm_file(temporary)
                raise

    def remove(self, path: str) -> None:
        """Deletes a file, if it is there."""
        with telling(self.url_of(path)):
            if self._files.exists(path):
                self._files.rm_file(path)


@lru_cache(maxsize=256)
def remote_of(url: str) -> tuple[Remote, str]:
    """`Remote.of`; the answers for the last 256 URLs are kept."""
    return Remote.of(url)


@contextmanager
def telling(url: str) -> Iterator[None]:
    """Turns the errors of a store's library into an InputError of one line that names the URL.

    Raises:
        InputError: no such file, no credentials, no network, or whatever else went wrong.
    """
    try:
        yield
    except (InputError, ImportError, KeyboardInterrupt):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{url}: no such file or folder") from error
    except Exception as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        told = "no credentials: " if "redential" in type(error).__name__ + cause else ""
        raise InputError(f"{url}: {told}{cause:.300}") from error


def _modified(told: dict[str, Any]) -> str:
    known = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")
    return next((str(told[key]) for key in known if told.get(key)), "")
