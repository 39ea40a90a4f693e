"""Reads the tables that pandas writes to HDF5, in both of its layouts, without pandas.

``format="table"`` is one compound array: the index and blocks of columns, whose labels are pickled attributes.
``format="fixed"`` is an array for each block and for each level of its labels. PyTables pickles attributes that are
not strings or numbers; `load_plain` reads those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.hdf5 import array, text
from olift_fast.io.parsed import check_size
from olift_fast.io.plain_pickle import load_plain

#: The key under which DeepLabCut writes every table.
_USUAL_KEY = "df_with_missing"


@dataclass(frozen=True)
class PandasTable:
    """The content of a data frame.

    Args:
        levels: the names of the levels of the columns' labels, "" for a level without a name; None if the file does not
            tell.
        columns: the label of each column, with a text for each level.
        values: (rows, columns) float32; float64 if the labels have one level, because columns may then hold times.
        index: (rows) numbers, texts, or times as datetime64 or timedelta64. An index with several levels becomes its
            last level if that holds numbers, else a path of all levels.
    """

    levels: tuple[str, ...] | None
    columns: list[tuple[str, ...]]
    values: npt.NDArray[np.floating[Any]]
    index: npt.NDArray[Any]


def holds_tables(file: h5py.File) -> bool:
    """Whether pandas wrote the file."""
    return bool(_pandas_groups(file))


def read_table(file: h5py.File) -> PandasTable:
    """The data frame of a file. Of several, the one under DeepLabCut's key, or the only one of body parts.

    Raises:
        InputError: there is none, or several are left; values that are not numbers, or labels that are neither numbers
            nor texts.
    """
    groups = _pandas_groups(file)
    frames = {key: group for key, group in groups.items() if _kind(group) in ("frame", "frame_table")}
    if not frames:
        kinds = ", ".join(f"{key!r} ({_kind(group)})" for key, group in list(groups.items())[:6])
        raise InputError(f"holds no table of pandas, but {kinds}")
    if len(frames) > 1:
        usual = {key: group for key, group in frames.items() if key == _USUAL_KEY}
        frames = usual or {key: group for key, group in frames.items() if _has_bodyparts(group)} or frames
    if len(frames) > 1:
        keys = ", ".join(sorted(frames)[:6])
        raise InputError(f"holds {len(frames)} tables, {keys}: save the one to read in a file of its own")
    group = next(iter(frames.values()))
    return _read_appendable(group) if _kind(group) == "frame_table" else _read_fixed(group)


def _pandas_groups(file: h5py.File) -> dict[str, h5py.Group]:
    """The groups that pandas marked, by their keys: at the top, or one level below."""
    groups: dict[str, h5py.Group] = {}
    for key, group in file.items():
        if isinstance(group, h5py.Group):
            groups[key] = group
            groups |= {f"{key}/{name}": member for name, member in group.items() if isinstance(member, h5py.Group)}
    return {key: group for key, group in groups.items() if "pandas_type" in group.attrs}


def _has_bodyparts(group: h5py.Group) -> bool:
    if _kind(group) == "frame_table":
        return "bodyparts" in (_level_names(group) or ())
    levels = (member for key, member in group.items() if key.startswith("axis0_level"))
    return any(isinstance(level, h5py.Dataset) and _name(level) == "bodyparts" for level in levels)


def _kind(group: h5py.Group) -> str:
    return text(group.attrs["pandas_type"])


def _read_appendable(group: h5py.Group) -> PandasTable:
    rows = array(group, "table")
    attributes = group["table"].attrs
    fields = rows.dtype.names or ()
    if "index" not in fields or "non_index_axes" not in group.attrs:
        raise InputError(f"{group.name}/table must have an 'index' and values, got {', '.join(fields) or 'numbers'}")
    columns = _labels(_pickled(group, "non_index_axes")[0][1])
    blocks = [name for name in fields if name.startswith("values_block_")]
    labeled = [(rows[name], _labels(_pickled(group["table"], f"{name}_kind"))) for name in blocks]
    values = _joined(columns, labeled, len(rows))
    kind = text(attributes.get("index_kind", ""))
    return PandasTable(_level_names(group), columns, values, _unconverted(rows["index"], kind, "index"))


def _level_names(group: h5py.Group) -> tuple[str, ...] | None:
    try:
        names = _pickled(group, "info")[1]["names"]
    except (InputError, LookupError, TypeError):
        # The pickle may hold a pandas object, which is not built.
        return None
    return tuple("" if name is None else str(name) for name in names)


def _read_fixed(group: h5py.Group) -> PandasTable:
    levels, columns = _multi_index(group, "axis0")
    _, index = _multi_index(group, "axis1")
    labeled = []
    for block in range(int(group.attrs["nblocks"])):
        name = f"block{block}_values"
        values = array(group, name)
        # PyTables stores pandas' first dimension last, and marks the array as transposed.
        values = values if bool(group[name].attrs.get("transposed", False)) else values.T
        labeled.append((values, _multi_index(group, f"block{block}_items")[1]))
    if isinstance(index, list):
        # The folders of a picture tell one video from another.
        numbers = all(label[-1].replace(".", "", 1).isdigit() for label in index)
        index = np.array([label[-1] if numbers else "/".join(label) for label in index])
    return PandasTable(tuple(levels), columns, _joined(columns, labeled, len(index)), index)


def _multi_index(group: h5py.Group, key: str) -> tuple[list[str], Any]:
    """The names of an index's levels, and its labels: tuples of texts; an array for rows with one level."""
    if text(group.attrs[f"{key}_variety"]) != "multi":
        kind = text(group[key].attrs.get("kind", ""))
        labels = _unconverted(array(group, key), kind, key)
        return [_name(group[key])], [(str(label),) for label in labels] if key != "axis1" else labels
    count = int(group.attrs[f"{key}_nlevels"])
    names, columns = [], []
    for number in range(count):
        node = f"{key}_level{number}"
        values = _unconverted(array(group, node), text(group[node].attrs.get("kind", "")), node)
        # A code of -1 stands for a label that is missing.
        codes = array(group, f"{key}_label{number}").astype(np.int64)
        columns.append(["" if code < 0 else str(values[code]) for code in codes.tolist()])
        names.append(_name(group[node]))
    return names, list(zip(*columns, strict=True))


def _name(node: h5py.Dataset) -> str:
    name = text(node.attrs["name"]) if "name" in node.attrs else ""
    # "N." is the pickle of None, which pandas writes for a level without a name.
    return "" if name == "N." else name


def _joined(columns: list[tuple[str, ...]], blocks: list[Any], rows: int) -> npt.NDArray[np.floating[Any]]:
    """The values of all blocks in the order of `columns`."""
    check_size(1, rows, len(columns))
    place = {label: column for column, label in enumerate(columns)}
    joined = np.full((rows, len(columns)), np.nan, np.float32 if columns and len(columns[0]) > 1 else np.float64)
    for values, labels in blocks:
        if values.dtype.kind == "O":
            raise InputError(
                f"column {' / '.join(labels[0])} holds Python objects, wanted numbers: save the table anew after "
                "df = df.astype(float), or as csv"
            )
        if values.shape != (rows, len(labels)):
            raise InputError(f"a block of {values.shape} values does not fit {rows} rows and {len(labels)} columns")
        if values.dtype.kind not in "fiub":
            raise InputError(f"column {' / '.join(labels[0])} holds {values.dtype} values, wanted numbers")
        with np.errstate(over="ignore"):
            joined[:, [place[label] for label in labels]] = values
    return joined


def _labels(values: Any) -> list[tuple[str, ...]]:
    if not isinstance(values, list):
        raise InputError(f"the columns' labels must be a list, got {type(values).__name__}")
    return [tuple(map(str, label)) if isinstance(label, tuple) else (str(label),) for label in values]


def _pickled(node: h5py.HLObject, name: str) -> Any:
    value = node.attrs[name]
    data = value.tobytes() if isinstance(value, np.ndarray) else bytes(value)
    return load_plain(data, f"{node.name.lstrip('/')}: {name}")


def _unconverted(values: npt.NDArray[Any], kind: str, what: str) -> npt.NDArray[Any]:
    """An index as pandas had it. The file stores numbers or bytes, and beside them their kind."""
    if kind.startswith(("datetime64", "timedelta64")) and values.dtype.kind == "i":
        return values.astype(np.int64).view(kind if "[" in kind else f"{kind}[ns]")
    if values.dtype.kind == "S":
        return np.array([value.decode("utf-8") for value in values.ravel()])
    if values.dtype.kind not in "iufbU":
        raise InputError(f"{what} holds {kind or values.dtype} labels, wanted texts or numbers")
    return values.ravel()
