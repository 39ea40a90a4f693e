"""Animations that the page wrote beside those of the Python package: the same joints, and the same numbers."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


def assert_bvh_alike(own: Path, wanted: Path, tolerance: float = 1e-4) -> None:
    """The same hierarchy, and all numbers within the tolerance: of the size of offsets and places, of a degree."""
    rows, others = own.read_text().splitlines(), wanted.read_text().splitlines()
    assert len(rows) == len(others)
    start = others.index("MOTION") + 3
    for row, other in zip(rows[:start], others[:start], strict=True):
        words, numbers = _parts(row)
        other_words, other_numbers = _parts(other)
        assert words == other_words
        np.testing.assert_allclose(numbers, other_numbers, rtol=1e-6, atol=tolerance, err_msg=other)
    values, expected = (np.array([row.split() for row in some[start:]], float) for some in (rows, others))
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=tolerance)


def _parts(line: str) -> tuple[list[str], list[float]]:
    """The words of a line as they stand, blanks before them too, and the numbers of an offset or a rate."""
    head, sign, rest = line.partition("OFFSET ")
    if not sign:
        head, sign, rest = line.partition("Frame Time: ")
    return ([head, sign], [float(cell) for cell in rest.split()]) if sign else ([line], [])


def assert_glb_alike(own: Path, wanted: Path, tolerance: float = 1e-5) -> None:
    """Nodes, meshes and facts are the same one by one, and all arrays within the tolerance of their size."""
    content, data = parts_of(own)
    expected, other_data = parts_of(wanted)
    assert set(content) == set(expected)
    _assert_alike(content, expected, tolerance, "")
    for place, accessor in enumerate(expected["accessors"]):
        found, values = array_of(content, data, place), array_of(expected, other_data, place)
        assert found.dtype == values.dtype
        size = max(1.0, np.abs(values).max(initial=0))
        np.testing.assert_allclose(found, values, rtol=0, atol=tolerance * size, err_msg=str((place, accessor)))
        if "min" in accessor:
            own_accessor = content["accessors"][place]
            np.testing.assert_array_equal(found.min(axis=0), np.float32(own_accessor["min"]))
            np.testing.assert_array_equal(found.max(axis=0), np.float32(own_accessor["max"]))


def parts_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON and the buffer of a GLB file, whose parts fit each other."""
    whole = path.read_bytes()
    magic, version, total, length, kind = struct.unpack_from("<4sII I4s", whole)
    assert (magic, version, total, kind) == (b"glTF", 2, len(whole), b"JSON") and length % 4 == 0
    size, kind = struct.unpack_from("<I4s", whole, 20 + length)
    data = whole[28 + length :]
    content = json.loads(whole[20 : 20 + length])
    assert kind == b"BIN\0" and size == len(data) == content["buffers"][0]["byteLength"]
    return content, data


def array_of(content: dict[str, Any], data: bytes, accessor: int) -> npt.NDArray[Any]:
    """(count, width) the numbers of an accessor."""
    one = content["accessors"][accessor]
    view = content["bufferViews"][one["bufferView"]]
    kind = np.dtype("<f4") if one["componentType"] == 5126 else np.dtype("<u2")
    width = _WIDTHS[one["type"]]
    assert view["byteLength"] == one["count"] * width * kind.itemsize and view["byteOffset"] % 4 == 0
    return np.frombuffer(data, kind, one["count"] * width, view["byteOffset"]).reshape(one["count"], width)


def _assert_alike(found: Any, wanted: Any, tolerance: float, place: str) -> None:
    """The same values of JSON; numbers that are not whole within the tolerance."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict) and list(found) == list(wanted), place
        for key, value in wanted.items():
            _assert_alike(found[key], value, tolerance, f"{place}.{key}")
    elif isinstance(wanted, list):
        assert isinstance(found, list) and len(found) == len(wanted), place
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            _assert_alike(one, other, tolerance, f"{place}[{index}]")
    elif isinstance(wanted, float):
        assert abs(found - wanted) <= tolerance * max(1, abs(wanted)), (place, found, wanted)
    else:
        assert found == wanted, place
