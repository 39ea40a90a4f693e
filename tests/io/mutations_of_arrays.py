"""Damaged HDF5 and NumPy files: functions of a generator of random numbers and the content, for `mutations`."""

from __future__ import annotations

import io
import random
import struct
import time
import zipfile
from typing import Any

import h5py
import numpy as np
from mutations_of_text import BYTES, change_tree, json_tree, span

CANARY = 987654.0
"""All values of the files that lie beside the folder of the inputs, which no reader may open."""
CANARY_FILE = "../../canary.h5"


def flip_metadata(draw: random.Random, data: bytes) -> bytes:
    """Flips in the first bytes, and in words that hold small numbers: sizes, versions, addresses."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 2, 4))):
        place = draw.randrange(min(len(changed), 2048))
        if draw.random() < 0.5 and place + 8 <= len(changed):
            struct.pack_into("<Q", changed, place, draw.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, len(data))))
        else:
            changed[place] = draw.randrange(256)
    return bytes(changed)


def hdf5_objects(draw: random.Random, data: bytes) -> bytes:
    """Objects and attributes dropped, renamed, of other types, shapes and storage; links that lead elsewhere."""
    buffer, began = io.BytesIO(data), int(time.time())
    try:
        with h5py.File(buffer, "r+") as file:
            for _ in range(draw.choice((1, 1, 2, 4))):
                _change_object(draw, file)
    except Exception:  # noqa: BLE001 - a change that HDF5 refuses: what was written up to there is an input as well
        pass
    changed = buffer.getvalue()
    for now in range(began, int(time.time()) + 1):
        # HDF5 writes the time of a change; it must not tell one run from the next.
        changed = changed.replace(struct.pack("<I", now), struct.pack("<I", 10**9))
    return changed


def _change_object(draw: random.Random, file: h5py.File) -> None:
    names: list[str] = []
    file.visit(names.append)
    name = draw.choice(names)
    node = file[name]
    parent, last = node.parent, name.rsplit("/", 1)[-1]
    kind = draw.randrange(10)
    if kind == 0:
        del parent[last]
    elif kind == 1:
        parent.move(last, draw.choice((last + "x", last.upper(), "tracks", "position", "x\n\x1b[1m", "ä")))
    elif kind == 2:
        del parent[last]
        parent[last] = draw.choice(
            (
                h5py.SoftLink("/nowhere"),
                h5py.SoftLink(f"/{name}"),
                h5py.SoftLink("/"),
                h5py.ExternalLink(CANARY_FILE, "/values"),
                h5py.ExternalLink(CANARY_FILE, "/"),
                h5py.ExternalLink("/dev/zero", "/values"),
            )
        )
    elif kind == 3:
        del parent[last]
        parent[last] = file[draw.choice([other for other in [*names, "/"] if other in file])]
    elif kind == 4 or (isinstance(node, h5py.Group) and kind < 7):
        _change_attribute(draw, node if draw.random() < 0.7 else file)
    elif isinstance(node, h5py.Dataset):
        _replace_dataset(draw, parent, last, node)
    elif draw.random() < 0.5:
        del parent[last]
        parent.create_group(last)
    else:
        del parent[last]
        parent[last] = draw.choice((1, "text", [1.5, 2.5]))


_DTYPES = (
    "i1",
    "u1",
    "<i8",
    "<u8",
    ">f4",
    "<f2",
    "<f8",
    "c16",
    "S5",
    "?",
    [("x", "f8"), ("y", "f8")],
    [("score", "S3")],
)


def _replace_dataset(draw: random.Random, parent: h5py.Group, last: str, node: h5py.Dataset) -> None:
    """Other values, type, shape or storage under the same name, and the same attributes."""
    attributes = dict(node.attrs)
    shape = node.shape or ()
    kind = draw.randrange(12)
    if node.dtype.names and kind < 4:
        values = node[()]
        values[draw.choice(node.dtype.names)] = draw.choice((0, 255, -1, 2**31, 2**62))
        node[()] = values
        return
    if kind < 4 and np.issubdtype(node.dtype, np.number) and node.size:
        flat = np.array(node[()]).reshape(-1)
        flat[draw.randrange(len(flat))] = draw.choice((0, 1, 127, 100, np.float64(-1).astype(flat.dtype), 2))
        node[()] = flat.reshape(shape)
        return
    values = node[()] if node.size and node.size < 10_000 else np.zeros(3)
    del parent[last]
    wide = [draw.choice((1, 2, size, size * 1000, 2**20, 2**31, 2**40)) for size in shape] or [2**33]
    made = (
        lambda: parent.create_dataset(last, shape, dtype=np.dtype(draw.choice(_DTYPES))),
        lambda: parent.create_dataset(last, wide, dtype=node.dtype, chunks=tuple(min(size, 16) for size in wide)),
        lambda: parent.create_dataset(
            last, wide, dtype="u1", chunks=tuple(min(size, 16) for size in wide), fillvalue=1
        ),
        lambda: parent.create_dataset(last, data=np.asarray(values)[..., None]),
        lambda: parent.create_dataset(last, data=np.asarray(values)[:0] if shape else h5py.Empty("f8")),
        lambda: parent.create_dataset(last, data=np.asarray(values).reshape(-1)),
        lambda: parent.create_dataset(last, data=np.asarray(values).T),
        lambda: parent.create_dataset(last, data=h5py.Empty(node.dtype)),
        lambda: parent.create_dataset(last, shape, dtype=h5py.string_dtype()),
        lambda: parent.create_dataset(last, shape, dtype=h5py.vlen_dtype(np.dtype("i4"))),
        lambda: parent.create_dataset(last, shape, dtype=h5py.ref_dtype),
        lambda: parent.create_dataset(last, shape, dtype=h5py.regionref_dtype),
        lambda: parent.create_dataset(last, shape, dtype=h5py.enum_dtype({"a": 0, "b": 1}, "i1")),
        lambda: parent.create_dataset(last, shape, dtype=np.dtype((np.void, 6))),
        lambda: parent.create_dataset(last, shape, "f8", external=[("../../canary.raw", 0, h5py.h5f.UNLIMITED)]),
        lambda: parent.create_virtual_dataset(last, _elsewhere(shape), fillvalue=1),
        lambda: parent.create_dataset(last, data=["\ud83d\ude00 \n", "x\0y", ""] * 2),
        lambda: parent.create_dataset(last, data=draw.choice((7, -1.5, "text", b"\xff\xfe"))),
    )
    node = draw.choice(made)()
    for name, value in attributes.items():
        if draw.random() < 0.9 and name not in ("DIMENSION_LIST", "REFERENCE_LIST"):
            node.attrs[name] = value


def _elsewhere(shape: tuple[int, ...]) -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout(shape, "f8")
    layout[...] = h5py.VirtualSource(CANARY_FILE, "values", shape=shape)
    return layout


def _change_attribute(draw: random.Random, node: Any) -> None:
    names = list(node.attrs)
    name = draw.choice(
        [*names, *names, "dims", "pandas_type", "nwb_version", "neurodata_type", "json", "ds_type", "fps"]
    )
    kind = draw.randrange(5)
    old = node.attrs[name] if name in names else b""
    if kind == 0 and name in names:
        del node.attrs[name]
    elif kind < 3 and isinstance(old, bytes | str) and old:
        content = old if isinstance(old, bytes) else old.encode()
        changed = draw.choice((json_tree, *BYTES))(draw, content)
        node.attrs[name] = np.bytes_(changed.replace(b"\0", b"0")[:60_000] or b"x")
    else:
        values = (
            0,
            -1,
            2**40,
            1e300,
            float("nan"),
            "",
            "x" * 500,
            "\n\x1b[1m",
            b"\xff",
            [],
            [1, 2],
            [[1.0]],
            ["a", "b"],
        )
        node.attrs[name] = draw.choice((*values, h5py.Empty("f8"), np.ones((3, 4)), np.bool_(True)))


_SHAPES = (
    *("(4, 3, 2)", "()", "(0,)", "(-1, 3, 2)", "(2, 4, 3, 2)", "(1, 2, 4, 3, 2)", "(1000000, 1000000, 2)", "(48,)"),
    *("(1099511627776, 0, 2)", "(9223372036854775808,)", "(4, 3.5, 2)", "[4, 3, 2]", "(2, 4, 2, 3)", "(4, 3, 2, 2)"),
    *("None", "(10**9,)"),
)
_KINDS = (
    *("'<f8'", "'>f8'", "'<f4'", "'|u1'", "'|O'", "'<U3'", "'<c16'", "'|b1'", "'<M8[s]'", "'|V8'", "'<f16'", "'<i8'"),
    *(
        "[('x', '<f4'), ('y', '<f4')]",
        "[('x', '|O')]",
        "'<U1000000000'",
        "'f8,f8'",
        "''",
        "3",
        "'<f8x'",
        "('<f8', (2,))",
    ),
)


def npy_header(draw: random.Random, data: bytes) -> bytes:
    """Another header for the same values: what it announces need not be there."""
    shape, kind = draw.choice(_SHAPES), draw.choice(_KINDS)
    order = draw.choice(("False", "False", "True", "2"))
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    if draw.random() < 0.1:
        header = draw.choice(
            (b"(" * 300, b"__import__('os')", b"{'descr': '<f8'}", b"\xff\xfe", header * 40, b"[" * 9000)
        )
    version = draw.choice((1, 1, 2, 3, 9))
    length = draw.choice((len(header), len(header), len(header), 0, 65_000))
    body = data[128:] if draw.random() < 0.8 else draw.choice((b"", b"\0" * 100_000))
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", length) + header + body


def zip_members(draw: random.Random, data: bytes) -> bytes:
    """The archive written again, with members that are missing, renamed, damaged, or much larger than they look."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # noqa: BLE001 - an archive that is damaged already
        return span(draw, data)
    for _ in range(draw.choice((1, 1, 2))):
        if not members:
            break
        name = draw.choice(list(members))
        kind = draw.randrange(7)
        if kind == 0:
            del members[name]
        elif kind == 1:
            members[draw.choice(("../../evil.npy", "/tmp/evil.npy", "x.npy", "keypoints", "a\nb.npy"))] = members.pop(
                name
            )
        elif kind == 2:
            members[name] = members[draw.choice(list(members))]
        elif kind == 3:
            members[name] = _zeros(draw)
        elif kind == 4:
            members[name] = draw.choice(BYTES)(draw, members[name]) if members[name] else b""
        else:
            members[name] = npy_header(draw, members[name])
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)), compresslevel=1
    ) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _zeros(draw: random.Random) -> bytes:
    """An array of a few values, or seldom of 20 MB, which packs to almost nothing."""
    shape = (1000, 1000, 5, 2) if draw.random() < 0.01 else draw.choice(((2, 5, 3, 2), (9, 9, 2), (3,), ()))
    buffer = io.BytesIO()
    np.save(buffer, np.ones(shape, draw.choice(("u1", "<f2", "<f8"))))
    return buffer.getvalue()


def damage_pickled(draw: random.Random, data: bytes) -> bytes:
    """The dictionaries of an archive, changed and pickled again: a pickle from here is safe to open."""
    with np.load(io.BytesIO(data), allow_pickle=True) as archive:
        members = {name: archive[name].tolist() for name in archive.files}
    for _ in range(draw.choice((1, 2, 4))):
        name = draw.choice(list(members))
        members[name] = change_tree(draw, members[name])
    arrays = {}
    for name, value in members.items():
        several = isinstance(value, list)
        arrays[name] = np.empty(len(value) if several else (), dtype=object)
        arrays[name][...] = np.fromiter(value, object, len(value)) if several else value
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
