"""Reads pickles of plain values without running anything. PyTables stores the labels of a table as such pickles.

A pickle is a program. The ones read here can only build numbers, strings, lists, tuples and dictionaries. They can't
use a class or a function of another module. Functions of this module build the NumPy strings that some pandas tables
have as labels.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

from olift_fast.errors import InputError

#: An attribute in an HDF5 header has at most 64 KiB; HDF5 can store larger ones elsewhere.
_MAX_BYTES = 2**24

_ALLOWED = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2"),
        *("LONG", "LONG1", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE"),
        *("SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE"),
        *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "GET", "BINGET"),
        *("LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    }
)


def load_plain(data: bytes, what: str) -> Any:
    """The value that a pickle of plain values holds.

    Args:
        what: what the pickle is, for messages.

    Raises:
        InputError: the data hold anything but plain values, or are not a pickle.
    """
    if len(data) > _MAX_BYTES:
        raise InputError(f"{what} is a pickle of {len(data):,} bytes, wanted at most {_MAX_BYTES:,}")
    try:
        for operation, argument, _ in pickletools.genops(data):
            # The unpickler's memo takes memory up to its highest index.
            puts_far = operation.name.endswith("PUT") and not 0 <= int(argument or 0) < len(data)
            if operation.name not in _ALLOWED or puts_far:
                raise InputError(f"{what} is a pickle with the operation {operation.name}, which is not run")
        return _Plain(io.BytesIO(data), encoding="utf-8", what=what).load()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{what} is not a readable pickle: {' '.join(str(error).split()):.100}") from error


class _Plain(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, *, encoding: str, what: str) -> None:
        super().__init__(file, encoding=encoding)
        self._what = what

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """This module's function in place of NumPy's function of that name, if it is one that makes strings.

        Raises:
            InputError: any other name.
        """
        known = _STAND_INS.get((module, name))
        if known is None:
            raise InputError(f"{self._what} is a pickle that asks for {f'{module}.{name}':.80}, which is not run")
        return known


class _Type:
    """In place of numpy.dtype: the kind of a NumPy scalar, such as "U4"."""

    def __init__(self, name: str = "", *_: Any) -> None:
        self.name = str(name)

    def __setstate__(self, state: Any) -> None:
        """Ignores NumPy's byte order, sizes and alignment: the name tells enough."""


def _scalar(kind: Any, data: Any) -> str:
    """In place of NumPy's function `scalar`: the text of a NumPy string."""
    raw = data.encode("latin-1") if isinstance(data, str) else bytes(data)
    if not isinstance(kind, _Type) or kind.name[:1] not in ("U", "S"):
        raise InputError("labels must be texts or whole numbers")
    return raw.decode("utf-32-le" if kind.name[0] == "U" else "utf-8").rstrip("\0")


def _encode(text: str, encoding: str) -> bytes:
    """In place of `_codecs.encode`, which old pickles call to make bytes."""
    if encoding != "latin1":
        raise InputError(f"labels in the encoding {encoding!r:.20} are not known")
    return text.encode("latin-1")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _encode,
}
