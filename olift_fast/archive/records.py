"""What an archive notes about its recordings: a record for each file, and from it a row of the table for each track."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

from olift_fast.archive.hashes import hash_of_json
from olift_fast.archive.settings import LiftSettings

Status = Literal["done", "failed", "skipped"]
Record = dict[str, Any]
"""The record of one file, as a JSON object. Its keys are those of `COLUMNS`; those of a track are in "tracks"."""

_OF_FILE: dict[str, str] = {
    "path": "string",
    "status": "string",
    "error": "string",
    "why": "string",
    "input_bytes": "int64",
    "input_modified": "string",
    "input_sha256": "string",
    "format": "string",
    "skeleton": "string",
    "skeleton_from": "string",
    "model": "string",
    "model_sha256": "string",
    "version": "string",
    "output": "string",
    "output_bytes": "int64",
    "output_sha256": "string",
    "warnings": "string",
    "seconds_fetch": "double",
    "seconds_read": "double",
    "seconds_lift": "double",
    "seconds_write": "double",
    "finished": "string",
    "host": "string",
}
_OF_TRACK: dict[str, str] = {
    "track": "string",
    "frames": "int64",
    "joints": "int64",
    "hidden_share": "double",
    "bone_drift": "double",
    "uncertainty": "double",
    "jump_share": "double",
}
COLUMNS: dict[str, str] = {"path": "string", **_OF_TRACK, **_OF_FILE, "settings_sha256": "string"}
"""Columns of the manifest and their types, as Arrow names them."""

QUALITY = {
    "hidden_share": "share of the keypoints that are hidden",
    "bone_drift": "drift of bone lengths within 48 frames: their standard deviation over their mean",
    "uncertainty": "mean standard deviation of depth, in the animal's sizes",
    "jump_share": "share of frames in which a joint jumps, as in the line of trust",
}
"""Figures of a track's quality, and what each is; less is better."""


def rows_of(record: Record) -> Iterator[dict[str, Any]]:
    """The rows of a file, with all of `COLUMNS`: one for each track. A file without tracks has one row, and the columns
    of a track are None in it.

    In a file that is done, the status of a track without a visible keypoint is "skipped".
    """
    shared = {name: record.get(name) for name in _OF_FILE}
    shared["settings_sha256"] = hash_of_json(record.get("settings"))
    for track in record.get("tracks") or [{}]:
        own = {name: track.get(name) for name in _OF_TRACK}
        status = {name: track[name] for name in ("status", "error") if name in track}
        row = shared | own | status
        yield {name: row[name] for name in COLUMNS}


@cache
def _unset() -> dict[str, Any]:
    return LiftSettings().told()


def reason_to_lift(record: Record | None, wanted: Record, *, retry_failed: bool) -> str | None:
    """Why a file is to be lifted, in words; None if nothing has changed since its record.

    This compares neither the input's content nor the result in DEST.

    Args:
        record: the file's record from an earlier run, if there is one.
        wanted: what a record would say now about "settings", "model", "model_sha256", "version" and "output".
        retry_failed: lift again what failed.
    """
    if record is None:
        return "new"
    if retry_failed and record["status"] == "failed":
        return "it failed before"
    # A record that is older than an option was lifted with the option's default.
    old, new = _unset() | (record.get("settings") or {}), wanted["settings"]
    differ = [f"{name} was {old.get(name)!r}, is {new[name]!r}" for name in new if old.get(name) != new[name]]
    if differ:
        return f"the settings changed: {', '.join(differ)}"
    if record.get("model_sha256") != wanted["model_sha256"]:
        return f"the model changed: was {record.get('model')}, is {wanted['model']}"
    if record.get("version") != wanted["version"]:
        return f"olift-fast was {record.get('version')}, is {wanted['version']}"
    if record.get("output") != wanted["output"]:
        return f"its result was called {record.get('output')}"
    return None
