"""docs/architecture.md names only files and names that exist."""

from __future__ import annotations

import pkgutil
import re
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "olift_fast"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACEHOLDER = re.compile(r"NAME|BACKEND")
FENCED = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)

SPANS = sorted(set(re.findall(r"`([^`\n]+)`", FENCED.sub("", PAGE))))
FILES = [s for s in SPANS if re.fullmatch(r"[\w./-]+", s) and ("/" in s or s.endswith((".py", ".md", ".txt", ".yml")))]
NAMES = [s for s in SPANS if re.fullmatch(r"[A-Za-z]\w*(\.\w+)+", s) and s not in FILES]


def lies_beside_another(path: str) -> bool:
    """A bare file name, of which there is one in some folder of the package: `eager.py`."""
    return "/" not in path and any(PACKAGE.rglob(path))


def names(dotted: str) -> bool:
    """Whether a module, or an attribute of one, has this name, below `olift_fast` or by itself."""
    for full in (f"olift_fast.{dotted}", dotted):
        with suppress(ImportError, AttributeError):
            pkgutil.resolve_name(full)
            return True
    return False


@pytest.mark.parametrize("path", [path for path in FILES if not PLACEHOLDER.search(path)])
def test_every_path_on_the_page_exists(path: str) -> None:
    assert (ROOT / path).exists() or (PACKAGE / path).exists() or lies_beside_another(path)


@pytest.mark.parametrize("name", [name for name in NAMES if not PLACEHOLDER.search(name)])
def test_every_name_on_the_page_exists(name: str) -> None:
    assert names(name)


def test_folders_of_placeholders_exist() -> None:
    folders = {
        path[: PLACEHOLDER.search(path).start()].rpartition("/")[0] for path in FILES if PLACEHOLDER.search(path)
    }
    assert folders
    assert all((ROOT / folder).is_dir() or (PACKAGE / folder).is_dir() for folder in folders)


def test_the_page_is_read_in_one_go() -> None:
    assert len(PAGE.splitlines()) <= 240
    assert {"ops.backends.choose_backend", "model.lift_tracks"} <= set(NAMES)
    assert {"io/readers/deeplabcut.py", "ops/banded_attention/triton_kernels.py"} <= set(FILES)
