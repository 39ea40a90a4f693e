"""Skeletons: joint names, the bones between them, and which side of the body each joint is on."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.tracks.kinds import kinds_of
from olift_fast.tracks.sides import infer_sides, twins


@dataclass(frozen=True)
class Skeleton:
    """Joint names, edges and sides. Immutable and hashable.

    Args:
        names: (J) distinct joint names.
        edges: the bones as pairs of joint indices; () if they are not known.
        sides: (J) +1 left, -1 right, 0 middle or unknown; () to infer them from the names.
        name: the rig's name, if it has one.
        inferred: (E) True for edges that were inferred from names or motion, not given; () if all were given.

    Raises:
        InputError: no joints; a repeated name, or one that can't be written to files (`check_writable`); an edge with
            an index outside of the joints, from a joint to itself, or twice; sides that are not J values of -1, 0, +1;
            or `inferred` without a value for each edge.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    sides: tuple[int, ...] = ()
    name: str | None = None
    inferred: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        # Accept lists, numpy strings and numpy integers, which come from files and arrays.
        names = tuple(str(name) for name in self.names)
        edges = tuple((int(a), int(b)) for a, b in self.edges)
        sides = tuple(int(side) for side in self.sides) or infer_sides(names)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "sides", sides)
        inferred = tuple(bool(guessed) for guessed in self.inferred)
        # If all edges are given this is always (), so that equal skeletons compare equal.
        object.__setattr__(self, "inferred", inferred if any(inferred) else ())
        check_writable("a skeleton's name", [str(self.name or "")])
        what = f"skeleton {self.name!r}" if self.name else "skeleton"
        _check(names, edges, sides, what)
        if inferred and len(inferred) != len(edges):
            raise InputError(f"{what}: inferred must have {len(edges)} values, one for each edge, got {len(inferred)}")

    @property
    def num_joints(self) -> int:
        """The number of joints, J."""
        return len(self.names)

    @cached_property
    def kinds(self) -> tuple[int, ...]:
        """(J) the kind of each joint by its name, an index into `KINDS`; 0 for a name without meaning."""
        return kinds_of(self.names)

    def pieces(self) -> tuple[tuple[int, ...], ...]:
        """The joints that edges connect, directly or through others: a tuple of indices for each piece, in order."""
        connected = _hop_distances(self.num_joints, self.edges) < self.num_joints
        return tuple(dict.fromkeys(tuple(np.flatnonzero(row).tolist()) for row in connected))

    def hop_distances(self) -> npt.NDArray[np.int64]:
        """(J, J) the number of edges on the shortest path between two joints; 0 on the diagonal, J without a path."""
        return _hop_distances(self.num_joints, self.edges).copy()

    def graph(self, hops: int) -> npt.NDArray[np.bool_]:
        """(J, J) True where two joints are at most `hops` edges apart; True everywhere if no edges are known.

        Raises:
            InputError: `hops` is negative.
        """
        if hops < 0:
            raise InputError(f"hops must be >= 0, got {hops}")
        if not self.edges:
            return np.ones((self.num_joints, self.num_joints), dtype=np.bool_)
        distances = _hop_distances(self.num_joints, self.edges)
        return (distances <= hops) & (distances < self.num_joints)

    def mirror(self) -> npt.NDArray[np.int64]:
        """(J) index of each joint's twin on the other side, by name; a joint without a twin has its own index."""
        return np.array([twin for twin, _ in twins(self.names)], dtype=np.int64)

    def permute(self, order: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Skeleton:
        """The same skeleton with joint `order[i]` at place i.

        Raises:
            InputError: `order` is not a permutation of 0 … J-1.
        """
        chosen = [int(index) for index in order]
        if sorted(chosen) != list(range(self.num_joints)):
            raise InputError(f"order must be a permutation of 0 … {self.num_joints - 1}, got {chosen}")
        return self._take(chosen)

    def subset(self, names: Sequence[str]) -> Skeleton:
        """The joints with these exact names, in this order, and the edges between them.

        Raises:
            InputError: a name is not in the skeleton, or comes twice.
        """
        place = {name: index for index, name in enumerate(self.names)}
        missing = [name for name in names if name not in place]
        if missing:
            raise InputError(self._missing_message(missing))
        return self._take([place[name] for name in names])

    def match(self, names: Sequence[str]) -> Skeleton:
        """This skeleton in the order and with the spelling of `names`; case and separators may differ.

        "Ear L", "ear_l" and "EarL" mean one joint. Joints that `names` leaves out are dropped with their edges.

        Raises:
            InputError: a name without a counterpart (the message suggests similar names), or two names of one joint.
        """
        exact = {name: index for index, name in enumerate(self.names)}
        loose: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            loose.setdefault(plain(name), []).append(index)
        chosen: list[int] = []
        missing: list[str] = []
        for name in map(str, names):
            candidates = [exact[name]] if name in exact else loose.get(plain(name), [])
            if len(candidates) == 1:
                chosen.append(candidates[0])
            else:
                missing.append(name)
        if missing:
            raise InputError(self._missing_message(missing))
        matched = self._take(chosen)
        return replace(matched, names=tuple(names))

    def to_json(self) -> str:
        """The skeleton as one line of JSON, for `from_json`."""
        content: dict[str, Any] = {"name": self.name, "names": self.names, "edges": self.edges, "sides": self.sides}
        if self.inferred:
            content["inferred"] = tuple(compress(self.edges, self.inferred))
        return json.dumps(content)

    @staticmethod
    def from_json(text: str | Mapping[str, Any]) -> Skeleton:
        """A skeleton from JSON text or the parsed object.

        The object has "names", and optionally "edges" (pairs of indices or of names), "sides", "name" and "inferred"
        (those of the edges that were inferred; pairs that are not edges are ignored).

        Raises:
            InputError: not JSON, not such an object, or not a valid skeleton.
        """
        if isinstance(text, str):
            try:
                content = json.loads(text)
            except json.JSONDecodeError as error:
                raise InputError(f"skeleton is not JSON: {error}") from error
        else:
            content = text
        return _from_object(content)

    def _take(self, chosen: Sequence[int]) -> Skeleton:
        place = {old: new for new, old in enumerate(chosen)}
        kept = [a in place and b in place for a, b in self.edges]
        return Skeleton(
            tuple(self.names[index] for index in chosen),
            tuple((place[a], place[b]) for a, b in compress(self.edges, kept)),
            tuple(self.sides[index] for index in chosen),
            self.name,
            tuple(compress(self.inferred, kept)),
        )

    def _missing_message(self, missing: Sequence[str]) -> str:
        known = {plain(name): name for name in self.names}
        parts = []
        for name in missing:
            close = [known[key] for key in difflib.get_close_matches(plain(name), list(known), n=2)]
            parts.append(f"{name!r}" + (f" (close: {', '.join(close)})" if close else ""))
        what = f"skeleton {self.name!r}" if self.name else f"skeleton of {self.num_joints} joints"
        return f"{what} has no single joint for {', '.join(parts)}"


def check_writable(what: str, names: Iterable[str]) -> None:
    """Raises InputError, which begins with `what`, for a name with a NUL or half of a surrogate pair.

    Tables can't be written with such a name, and other files would lose a part of it.
    """
    wrong = next((name for name in names if _UNWRITABLE.search(name)), None)
    if wrong is not None:
        raise InputError(f"{what} must be text without NUL and without halves of surrogate pairs, got {wrong!r:.60}")


_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


def plain(name: str) -> str:
    """The name in lower case without separators, as `Skeleton.match` compares it."""
    return re.sub(r"[\W_]+", "", name).casefold()


@lru_cache(maxsize=256)
def _hop_distances(num_joints: int, edges: tuple[tuple[int, int], ...]) -> npt.NDArray[np.int64]:
    adjacent = np.eye(num_joints, dtype=np.float32)
    for a, b in edges:
        adjacent[a, b] = adjacent[b, a] = 1
    distances = np.full((num_joints, num_joints), num_joints, dtype=np.int64)
    reached = np.eye(num_joints, dtype=np.float32)
    distances[reached > 0] = 0
    for hop in range(1, num_joints):
        reached = (reached @ adjacent > 0).astype(np.float32)
        fresh = (reached > 0) & (distances == num_joints)
        if not fresh.any():
            break
        distances[fresh] = hop
    return distances


def _check(names: tuple[str, ...], edges: tuple[tuple[int, int], ...], sides: tuple[int, ...], what: str) -> None:
    if not names:
        raise InputError(f"{what} must have at least one joint, got none")
    check_writable(f"{what}: joint names", names)
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise InputError(f"{what}: joint names must be distinct, got {', '.join(map(repr, repeated))} more than once")
    seen: set[frozenset[int]] = set()
    for a, b in edges:
        if not (0 <= a < len(names) and 0 <= b < len(names)):
            raise InputError(f"{what}: edge ({a}, {b}) must join joints 0 … {len(names) - 1}")
        if a == b:
            raise InputError(f"{what}: edge ({a}, {b}) joins {names[a]!r} to itself")
        if frozenset((a, b)) in seen:
            raise InputError(f"{what}: edge {names[a]!r} to {names[b]!r} is given twice")
        seen.add(frozenset((a, b)))
    if len(sides) != len(names):
        raise InputError(f"{what}: sides must have {len(names)} values, one for each joint, got {len(sides)}")
    if not set(sides) <= {-1, 0, 1}:
        raise InputError(f"{what}: sides must be -1, 0 or +1, got {sorted(set(sides) - {-1, 0, 1})}")


_KEYS = ("name", "names", "edges", "sides", "inferred")


def _from_object(content: Any) -> Skeleton:
    if not isinstance(content, Mapping) or "names" not in content:
        raise InputError('skeleton must be a JSON object with "names" and, where known, "edges"')
    unknown = sorted(set(content) - set(_KEYS))
    if unknown:
        raise InputError(f"skeleton has unknown key {unknown[0]!r}; known: {', '.join(map(json.dumps, _KEYS))}")
    names, edges, sides, inferred = (content.get(key) or () for key in ("names", "edges", "sides", "inferred"))
    if not _is_list(names) or not all(isinstance(name, str) for name in names):
        raise InputError(f'skeleton "names" must be a list of strings, got {names!r:.60}')
    for key, pairs in (("edges", edges), ("inferred", inferred)):
        if not _is_list(pairs) or not all(_is_list(pair) and len(pair) == 2 for pair in pairs):
            raise InputError(f'skeleton "{key}" must be a list of pairs, got {pairs!r:.60}')
    if not _is_list(sides) or not all(isinstance(side, int) for side in sides):
        raise InputError(f'skeleton "sides" must be a list of -1, 0, +1, got {sides!r:.60}')
    place = {name: index for index, name in enumerate(names)}

    def joint(value: Any) -> int:
        if isinstance(value, str) and value in place:
            return place[value]
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise InputError(f'skeleton "edges" must name joints or give their index, got {value!r:.60}')

    found = tuple((joint(a), joint(b)) for a, b in edges)
    guessed = {frozenset(pair) for pair in _known_pairs(inferred, place)}
    return Skeleton(
        tuple(names),
        found,
        tuple(sides),
        content.get("name"),
        tuple(frozenset(edge) in guessed for edge in found),
    )


def _known_pairs(pairs: Sequence[Sequence[Any]], place: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """The pairs as indices, without pairs that name an unknown joint, which may have been renamed."""
    for pair in pairs:
        a, b = (place.get(value, -1) if isinstance(value, str) else value for value in pair)
        if isinstance(a, int) and isinstance(b, int) and min(a, b) >= 0:
            yield a, b


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
