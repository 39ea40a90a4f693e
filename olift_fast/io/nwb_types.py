"""Finds the groups of an NWB file by their type, or by the type that theirs extends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import h5py

from olift_fast.errors import InputError
from olift_fast.io.hdf5 import array, text
from olift_fast.io.open_container import load_json


class TypedGroups:
    """The groups of a file that have an NWB type.

    Args:
        file: the file. Its group `specifications` defines the types that its extensions add.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._parents = dict(_definitions(file))
        self._groups: list[tuple[h5py.Group, str]] = []
        file.visititems(self._note)

    def all_of(self, kind: str) -> list[h5py.Group]:
        """The groups of a type, or of one that extends it, in the order of their names."""
        return [group for group, found in self._groups if self._is_a(found, kind)]

    def within(self, group: h5py.Group, kind: str) -> list[h5py.Group]:
        """The members of a group that are of a type, or that are links to groups of that type."""
        members = [member for member in group.values() if isinstance(member, h5py.Group)]
        return [member for member in members if self._is_a(text(member.attrs.get("neurodata_type", "")), kind)]

    def interfaces(self) -> list[tuple[h5py.Group, str]]:
        """The groups directly in the processing modules, each with its type."""
        return [(group, kind) for group, kind in self._groups if re.fullmatch("/processing/[^/]+/[^/]+", group.name)]

    def _note(self, name: str, member: Any) -> None:
        if isinstance(member, h5py.Group) and "neurodata_type" in member.attrs:
            self._groups.append((member, text(member.attrs["neurodata_type"])))

    def _is_a(self, kind: str, wanted: str) -> bool:
        for _ in range(len(self._parents) + 1):
            if kind == wanted:
                return True
            if kind not in self._parents:
                return False
            kind = self._parents[kind]
        return False


def _definitions(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Each type that an extension of the file defines, and the type that it extends."""
    specifications = file.get("specifications")
    for name, versions in specifications.items() if isinstance(specifications, h5py.Group) else ():
        if name in ("core", "hdmf-common", "hdmf-experimental") or not isinstance(versions, h5py.Group):
            continue
        for version in versions.values():
            for source in version if isinstance(version, h5py.Group) else ():
                try:
                    yield from _defined(load_json(text(array(version, source))))
                except InputError:
                    # A definition that can't be read is left out. The types of ndx-pose itself need no definition.
                    continue


def _defined(specification: Any) -> Iterator[tuple[str, str]]:
    members = [specification]
    while members:
        member = members.pop()
        if isinstance(member, list):
            members += member
        elif isinstance(member, Mapping):
            kind = member.get("neurodata_type_def") or member.get("data_type_def")
            extends = member.get("neurodata_type_inc") or member.get("data_type_inc")
            if isinstance(kind, str) and isinstance(extends, str):
                yield kind, extends
            members += [value for value in member.values() if isinstance(value, list | dict)]
