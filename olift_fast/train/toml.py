"""Reads TOML tables into dataclasses, by their type hints, and turns dataclasses into values that JSON can hold."""

from __future__ import annotations

import json
import math
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from olift_fast.errors import InputError
from olift_fast.model.foreign import plain_line, shown, unreadable
from olift_fast.odd_files import refuse_odd

MAX_BYTES = 2**20
"""The largest TOML file that is read."""
_LONGEST = 500
"""Characters of a message about a table at most; such a message may quote names and values of the file."""
WANTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Path: "a path as a string",
}


class Reader:
    """Reads tables into dataclasses. A wrong entry is an InputError that names file, key, value and the value wanted.

    Args:
        source: the file's name.
        origins: for keys that do not come from the file, where they come from ("--set").
        elsewhere: fields that the file may not set, and the keys that set them.
    """

    def __init__(self, source: str, origins: Mapping[str, str], elsewhere: Mapping[str, str]) -> None:
        self.source = source
        self.origins = origins
        self.elsewhere = elsewhere

    def dataclass(self, kind: Any, table: Any, key: str) -> Any:
        """An instance of the dataclass `kind` from the table at `key`; the key "" is the whole file."""
        if not isinstance(table, dict):
            self._fail(key, "a table", table)
        hints = get_type_hints(kind)
        known = {f.name: f for f in fields(kind) if self._join(key, f.name) not in self.elsewhere}
        for name, value in table.items():
            if name not in known:
                self._unknown(self._join(key, name), value, list(known))
        for name, entry in known.items():
            if name not in table and _required(entry):
                wanted = "a table" if is_dataclass(hints[name]) else WANTED.get(hints[name], "a value")
                raise InputError(f"{self.source}: {self._join(key, name)} is missing, wanted {wanted}")
        values = {name: self.value(hints[name], value, self._join(key, name)) for name, value in table.items()}
        try:
            return kind(**values)
        except ValueError as error:
            changed = [self.origins[found] for name in table if (found := self._join(key, name)) in self.origins]
            where = " with ".join([self.source, *dict.fromkeys(changed)])
            raise InputError(f"{where}: {key}: {plain_line(str(error), _LONGEST)}") from error

    def value(self, hint: Any, value: Any, key: str) -> Any:
        """The value converted to the type `hint`: whole numbers to floats, arrays to tuples, strings to paths."""
        kind, parts = get_origin(hint), get_args(hint)
        if kind in (Union, types.UnionType):
            # TOML has no None; a key that is left out means None.
            (hint,) = (part for part in parts if part is not type(None))
            return self.value(hint, value, key)
        if is_dataclass(hint):
            return self.dataclass(hint, value, key)
        if kind is Literal:
            return value if value in parts else self._fail(key, "one of " + ", ".join(map(repr, parts)), value)
        if kind in (tuple, Sequence, list):
            return self._array(parts, value, key)
        if kind in (Mapping, dict):
            if not isinstance(value, dict):
                self._fail(key, "a table", value)
            return {
                self._name(parts[0], name, key): self.value(parts[1], v, f"{key}.{name}") for name, v in value.items()
            }
        if hint is Any:
            return tuple(value) if isinstance(value, list) else value
        accepted = {float: (int, float), Path: (str,)}.get(hint, (hint,))
        if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
            self._fail(key, WANTED[hint], value)
        if isinstance(value, float) and not math.isfinite(value):
            self._fail(key, "a finite number", value)
        if hint is Path and "\0" in value:
            self._fail(key, WANTED[hint], value)
        try:
            return hint(value)
        except OverflowError:
            return self._fail(key, "a number that a float can hold", value)

    def _array(self, parts: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
        free = len(parts) == 1 or parts[-1] is Ellipsis
        if not isinstance(value, list) or not (free or len(value) == len(parts)):
            self._fail(key, "an array" if free else f"an array of {len(parts)}", value)
        hints = [parts[0]] * len(value) if free else parts
        return tuple(
            self.value(hint, item, f"{key}[{i}]") for i, (hint, item) in enumerate(zip(hints, value, strict=True))
        )

    def _name(self, hint: Any, name: str, key: str) -> Any:
        """A key of a mapping, converted to `hint`; TOML's keys are strings."""
        if hint is not int:
            return name
        if name.isascii() and name.isdigit():
            return int(name)
        message = f"{plain_line(f'{key}.{name}', 100)} must have a whole number as its key, got {shown(name)}"
        raise InputError(f"{self._origin(f'{key}.{name}')}: {message}")

    def _unknown(self, key: str, value: Any, known: list[str]) -> NoReturn:
        where = self._origin(key)
        if key in self.elsewhere:
            raise InputError(f"{where}: {key} follows {self.elsewhere[key]}: set that, got {key} = {shown(value)}")
        wanted = f"wanted one of {', '.join(known)}"
        raise InputError(f"{where}: there is no key {plain_line(key, 100)} (= {shown(value)}), {wanted}")

    def _fail(self, key: str, wanted: str, value: Any) -> NoReturn:
        raise InputError(f"{self._origin(key)}: {plain_line(key, 100)} must be {wanted}, got {shown(value)}")

    def _origin(self, key: str) -> str:
        """Where a value comes from: the file, or "--set" of its key or of a table that contains it."""
        above = (
            origin for name, origin in self.origins.items() if key == name or key.startswith((f"{name}.", f"{name}["))
        )
        return next(above, self.source)

    @staticmethod
    def _join(key: str, name: str) -> str:
        return f"{key}.{name}" if key else name


def read_toml(path: Path, absent: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: the file.
        absent: what follows "PATH: no such file" in the error if there is no such file.

    Raises:
        InputError: the file is missing, unreadable, larger than `MAX_BYTES` or not TOML.
    """
    refuse_odd(path)
    try:
        # A file without an end, such as a device, is read to the limit only; a pipe is fine.
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{absent}") from None
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: must be a file of at most {MAX_BYTES:,} bytes, got more")
    try:
        return tomllib.loads(content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n"))
    except RecursionError:
        raise InputError(f"{path}: is not TOML that can be read: brackets are nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{path}: is not TOML: {plain_line(str(error))}") from error


def as_change(key: str, value: Any) -> str:
    """A change in the form that `load_config` takes, "key=value"; value is a string, a number or a table of numbers."""
    if isinstance(value, Mapping):
        return f"{key}={{{', '.join(as_change(json.dumps(name), item) for name, item in value.items())}}}"
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def plain(value: Any) -> Any:
    """A dataclass as JSON values: dictionaries with string keys, lists, numbers, strings, None.

    A source of clips (`olift_fast.data.sources.ClipSource`) becomes its name.
    """
    if hasattr(value, "draw"):
        return str(value.name)
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def differences(one: Any, other: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Where two results of `plain` differ: key, first value, second value; None for a key that is missing."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = dict.fromkeys([*one, *other])
        return [
            found
            for name in names
            for found in differences(one.get(name), other.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if one == other else [(key, one, other)]


def _required(entry: Field[Any]) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING
