"""The command `olift`: lift keypoint files, look at them, and check the installation."""

from __future__ import annotations

from olift_fast.cli.app import app, main

__all__ = ["app", "main"]
