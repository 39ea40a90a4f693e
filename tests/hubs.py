"""A fake Hub (`fake_hub`) in place of the real one, for tests in this process and for programs that they start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_hub import FakeHub, serving


@contextmanager
def hub_in_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A fake Hub that ``huggingface_hub`` asks, with its cache in the folder, and nobody logged in."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with serving() as hub:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        values = {
            "ENDPOINT": hub.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(folder / "cache"),
            "HF_TOKEN_PATH": str(folder / "token"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,
        }
        for name, value in values.items():
            monkeypatch.setattr(constants, name, value)
        # For workers in processes of their own.
        for name, value in {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(folder / "cache")}.items():
            monkeypatch.setenv(name, value)
        yield hub


def environment(hub: FakeHub, folder: Path) -> dict[str, str]:
    """The variables with which a program asks the fake Hub, with its cache in the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return kept | {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder), "HF_HUB_DISABLE_XET": "1"}
