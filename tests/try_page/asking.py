"""Questions to the modules of the page that lifts in the browser, which node answers, and pages that are built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRY = ROOT / "docs" / "try"
BUILT = ROOT / "build" / "try"


def ask(what: str, folder: Path, **given: Any) -> Any:
    """What `answer.mjs` answers; the page's tables are kept in a file of the folder."""
    node = shutil.which("node")
    if node is None:
        missing("no node on PATH")
    tables = folder / "tables.json"
    if not tables.exists():
        tables.write_text(_tables())
    question = json.dumps({"ask": what, "tables": str(tables), **given})
    script = Path(__file__).with_name("answer.mjs")
    answer = subprocess.run([str(node), str(script)], input=question, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def missing(what: str) -> None:
    """Skips the test, or fails it where all must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@cache
def _tables() -> str:
    made = subprocess.run([sys.executable, TRY / "build.py", "--tables"], capture_output=True, text=True, check=True)
    return made.stdout
