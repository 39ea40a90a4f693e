"""Results name the commit that they are of, where there is git to ask."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.revision import revision_of


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_names_the_commit(tmp_path: Path) -> None:
    assert revision_of(tmp_path) is None
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    for arguments in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    wanted = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    found = revision_of(tmp_path)
    assert found and wanted.startswith(found)


def test_without_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision_of(Path(__file__).parent) is None
