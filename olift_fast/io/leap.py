"""LEAP's labels in a MATLAB file: version 7.3 is HDF5 and read here, older ones need SciPy (the extra `io`)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.io.parsed import Parsed


def read_leap(path: Path) -> Parsed:
    """Labels of a MATLAB 5 file: positions (J, 2, T), NaN where not labelled; skeleton.nodes and .edges (1-based).

    Raises:
        InputError: no positions, or another shape.
        MissingExtraError: SciPy is not installed.
    """
    try:
        loadmat = importlib.import_module("scipy.io").loadmat
    except ImportError as error:
        raise MissingExtraError("reading MATLAB 5 .mat files", "io") from error
    content = loadmat(path, simplify_cells=True, variable_names=["positions", "skeleton"])
    if "positions" not in content:
        raise InputError("a MATLAB file without the labels' 'positions'")
    skeleton = content.get("skeleton")
    named = isinstance(skeleton, dict) and "nodes" in skeleton and "edges" in skeleton
    nodes = [str(node) for node in np.atleast_1d(skeleton["nodes"])] if named else None
    edges = np.atleast_2d(skeleton["edges"]).astype(int) if named else np.zeros((0, 2), int)
    return _parsed(np.asarray(content["positions"]), nodes, edges)


def read_leap_h5(file: h5py.File) -> Parsed:
    """The same labels in a MATLAB 7.3 file, whose arrays HDF5 holds in reverse order.

    Raises:
        InputError: positions of another shape.
    """
    skeleton = file.get("skeleton")
    nodes, edges = None, np.zeros((0, 2), int)
    if isinstance(skeleton, h5py.Group) and "nodes" in skeleton:
        nodes = [_string(file, reference) for reference in np.asarray(skeleton["nodes"]).ravel()]
        if "edges" in skeleton:
            edges = np.asarray(skeleton["edges"]).T.astype(int)
    return _parsed(np.asarray(file["positions"]).T, nodes, edges)


def _parsed(positions: Any, nodes: list[str] | None, edges: Any) -> Parsed:
    if positions.ndim == 2:
        positions = positions[..., None]
    if positions.ndim != 3 or positions.shape[1] != 2:
        raise InputError(f"positions must be (joints, 2, frames), got {positions.shape}")
    bones = (edges.reshape(-1, 2) - 1).tolist()
    return Parsed("leap", positions.transpose(2, 0, 1)[None], None, nodes, bones)


def _string(file: h5py.File, reference: Any) -> str:
    return "".join(chr(int(code)) for code in np.asarray(file[reference]).ravel())
