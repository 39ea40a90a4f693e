"""Which commit a checkout is at."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def revision_of(folder: Path) -> str | None:
    """What ``git describe`` calls the commit of a checkout; None where there is no git, or no checkout."""
    if shutil.which("git") is None:
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or None
