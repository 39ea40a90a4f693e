"""Imports the libraries of the extra `io` when a file needs them, and silences their log lines and warnings."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from olift_fast.errors import MissingExtraError


def require(module: str, what: str) -> Any:
    """The module of this name. `what` is a phrase for the error, which names what needs it: "reading NWB files".

    Raises:
        MissingExtraError: the extra `io` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(what, "io") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silences log lines and warnings of these libraries, because the command line prints its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # movement logs through loguru, to stderr.
            logger = importlib.import_module("loguru").logger
        except ImportError:
            yield
            return
        logger.disable("movement")
        try:
            yield
        finally:
            logger.enable("movement")
