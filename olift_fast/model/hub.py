"""Models on a Hub: fetches single files into the cache of ``huggingface_hub``, and uploads files to a repository.

"owner/name" is a model's newest state, "owner/name@revision" that of a branch, a tag or a commit. The environment
variables of that library choose the Hub and the cache: ``HF_ENDPOINT``, ``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN``.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from olift_fast._version import __version__
from olift_fast.errors import InputError, MissingExtraError, printable
from olift_fast.model.foreign import plain_line

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*")
_COMMIT, _HASH = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
MAX_REPO, MAX_REVISION = 96, 200
"""The most characters of "owner/name", and of a revision."""
_PIECE = 2**20
_QUIET = threading.RLock()
"""`_quiet` changes settings of the whole process, so only one call runs at a time."""


class HubModel(NamedTuple):
    """A model on the Hub: "owner/name", and a branch, a tag or a commit; None stands for the main branch."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def hub_model(name: str, revision: str | None = None) -> HubModel | None:
    """The model that "owner/name" or "owner/name@revision" means; None if the name has another form.

    Raises:
        InputError: the revision is not valid, or there are two of them.
    """
    repo, at, told = name.partition("@")
    if not _REPO.fullmatch(repo) or len(repo) > MAX_REPO or "--" in repo or ".." in repo:
        return None
    if at and revision is not None:
        raise InputError(f"model {name!r} has a revision, so revision must be left out, got {revision!r}")
    wanted = told if at else revision
    if wanted is not None and (not _REVISION.fullmatch(wanted) or len(wanted) > MAX_REVISION or ".." in wanted):
        raise InputError(f"model {repo!r}: revision must be a branch, a tag or a commit, got {wanted!r}")
    return HubModel(repo, wanted)


def fetched(model: HubModel, name: str, most: int) -> Path:
    """One file of a model: from the cache if that is the newest, else from the Hub.

    A commit that is in the cache needs no network. Without network, or with ``HF_HUB_OFFLINE=1``, the file that was
    fetched last is taken. The content is compared with the hash from the Hub, which is its name in the cache.

    Args:
        model: the model.
        name: the file's name.
        most: the most bytes that the file may have; a larger one is not fetched.

    Returns:
        The file in the cache, in a folder named after the commit (`commit_of`).

    Raises:
        InputError: no such model, revision or file; no access; no network; or the file is too large or damaged. One
            line, with the next step.
        MissingExtraError: the extra `hub` is not installed.
    """
    hub = _library(f"model {str(model)!r}: no such folder is here, and fetching it from the Hub")
    about: dict[str, Any] = {"library_name": "olift-fast", "library_version": __version__}
    with _told(hub, model, f"fetch {name}"):
        there = hub.hf_hub_download(model.repo, name, revision=model.revision, dry_run=True, **about)
        if not _COMMIT.fullmatch(there.commit_hash):
            raise InputError(
                f"model {str(model)!r}: the Hub must name a commit by 40 hexadecimal digits, got {there.commit_hash!r}"
            )
        if there.file_size is None or there.file_size > most:
            size = "an unknown number" if there.file_size is None else f"{there.file_size:,}"
            raise InputError(f"model {str(model)!r}: {name} must have at most {most:,} bytes, got {size}")
        path = Path(hub.hf_hub_download(model.repo, name, revision=model.revision, **about))
        _check_content(path, f"model {str(model)!r}: {name}")
    return path


def commit_of(path: Path) -> str:
    """The commit that a file of `fetched` belongs to."""
    return path.parent.name


def uploaded(
    folder: Path, files: Mapping[str, bool], model: HubModel, *, private: bool = False, message: str | None = None
) -> str:
    """Put files of a folder into a model's repository, in one commit. The repository is created if missing.

    Args:
        folder: where the files are.
        files: their names, each with whether it replaces a file of that name.
        model: the repository, and the branch, which is created if missing.
        private: make the repository private.
        message: the commit message.

    Returns:
        The web address of the commit.

    Raises:
        InputError: not logged in, no right to write there, no network, or the repository is public although `private`
            was asked for: one line, with the next step.
        MissingExtraError: the extra `hub` is not installed.
    """
    hub = _library(f"model {model.repo!r}: pushing it to the Hub")
    api = hub.HfApi(library_name="olift-fast", library_version=__version__)
    with _told(hub, model, "push", writing=True):
        api.create_repo(model.repo, exist_ok=True, private=private or None)
        if private and not api.model_info(model.repo).private:
            raise InputError(
                f"model {model.repo!r} is on the Hub already, and public: make it private in its settings there, "
                "or leave private out"
            )
        if model.revision is not None:
            api.create_branch(model.repo, branch=model.revision, exist_ok=True)
        sent = [
            hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(folder / name))
            for name, replaces in files.items()
            if replaces or not api.file_exists(model.repo, name, revision=model.revision)
        ]
        commit = api.create_commit(
            model.repo,
            sent,
            commit_message=message or f"A lifter, pushed by olift-fast {__version__}",
            revision=model.revision,
        )
    return str(commit.commit_url)


def _library(what: str) -> Any:
    try:
        hub = importlib.import_module("huggingface_hub")
        for part in ("constants", "errors", "utils"):
            importlib.import_module(f"huggingface_hub.{part}")
    except ImportError as error:
        raise MissingExtraError(what, "hub") from error
    return hub


@contextmanager
def _told(hub: Any, model: HubModel, doing: str, writing: bool = False) -> Iterator[None]:
    """Turns the library's errors within the block into an InputError of one line that says what to do next."""
    errors, place = hub.errors, hub.constants.ENDPOINT
    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    here = "" if writing else "no such folder is here, and "
    unknown = f"model {model.repo!r}: {here}no such model is at {place}, or it is private: check the name, or {log_in}"
    try:
        with _QUIET, _quiet(hub):
            yield
    except InputError:
        raise
    except errors.LocalTokenNotFoundError as error:
        raise InputError(f"model {model.repo!r}: the Hub wants to know who you are: {log_in}") from error
    except errors.GatedRepoError as error:
        raise InputError(
            f"model {model.repo!r} is given on request: ask for it on {place}/{model.repo}, then {log_in}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(unknown) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"model {model.repo!r} has no revision {model.revision!r}: give a branch, a tag or a commit of it, "
            "or leave it out for the newest"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise InputError(f"model {str(model)!r} is not in the cache, and {_why_no_answer(hub, error)}") from error
    except errors.EntryNotFoundError as error:
        raise InputError(
            f"model {str(model)!r}: can't {doing}, it has no such file: a lifter of this package has config.json and "
            "model.safetensors"
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401 and not writing:
            raise InputError(unknown) from error
        known = {401: f"; {log_in}", 403: "; you need the right to, from its owner", 429: "; wait some minutes"}
        said = plain_line(getattr(error, "server_message", None) or "")
        raise InputError(
            f"model {str(model)!r}: can't {doing}: {place} answers {status}{f' ({said})' if said else ''}"
            f"{known.get(status, '')}"
        ) from error
    except (OSError, errors.HTTPError, ValueError) as error:
        raise InputError(f"model {str(model)!r}: can't {doing}: {_first_line(error)}") from error


@contextmanager
def _quiet(hub: Any) -> Iterator[None]:
    """Silences the library's warnings, and its progress bars where stderr is not a terminal."""
    logger, bars = logging.getLogger("huggingface_hub"), hub.utils.are_progress_bars_disabled()
    level = logger.level
    logger.setLevel(max(level, logging.ERROR))
    if not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if not bars:
            hub.utils.enable_progress_bars()


def _why_no_answer(hub: Any, error: BaseException) -> str:
    """Why a file that the cache lacks can't be fetched, with the next step."""
    cause = error.__cause__ or error
    if isinstance(cause, hub.errors.OfflineModeIsEnabled) or hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids fetching it: load it once without that variable"
    if isinstance(cause, hub.errors.FileMetadataError):
        return f"{hub.constants.ENDPOINT} does not answer as a Hub does: check HF_ENDPOINT and your network's login"
    return (
        f"{hub.constants.ENDPOINT} can't be reached ({_first_line(cause)}): "
        "load it once with network, or give a folder that has it"
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return plain_line(printable(lines[0].strip()) if lines else type(error).__name__)


def _check_content(path: Path, what: str) -> None:
    """Compares a file of the cache with the hash that is its name: SHA-256, or git's hash for small files.

    Raises:
        InputError: the hashes differ. The file is removed from the cache, so that the next call fetches it again.
    """
    if not path.is_symlink():
        # A cache without links keeps no hash.
        return
    wanted = Path(os.readlink(path)).name
    if not _HASH.fullmatch(wanted):
        raise InputError(f"{what} must come with its hash (SHA-256, or git's), got {plain_line(wanted)!r} as its ETag")
    if len(wanted) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != wanted:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise InputError(
            f"{what} is damaged, and was removed from the cache: its hash must be {plain_line(wanted)}, "
            f"got {digest.hexdigest()}; try again"
        )
