"""Reads skeleton files: SLEAP's in JSON and YAML, COCO's categories, and lists of nodes and edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton

#: The keys under which tools list the joints and the bones.
_LISTS = (("nodes", "edges"), ("keypoints", "skeleton"), ("bodyparts", "skeleton"), ("keypoint_names", "skeleton"))

#: An object with one of these keys is a file of keypoints: its reader finds the joints.
_RECORDINGS = {"annotations", "images", "labels", "skeletons", "scores"}


def skeleton_of_object(content: Any) -> Skeleton | None:
    """The skeleton of a parsed JSON or YAML file; None if the file is of another kind.

    The kinds are: SLEAP's skeleton (in JSON a graph of nodes and links, in YAML nodes and edges below the skeleton's
    name); COCO's category (`keypoints` and `skeleton`, whose bones give joints by number from 1, or by name); and
    `nodes`, `bodyparts` or `keypoint_names` with edges that give joints by name, or by number from 0. A joint is a
    name, or an object with a `name`.

    Raises:
        InputError: there are several skeletons, an edge does not join two joints, or a link refers to nothing.
    """
    if isinstance(content, Mapping) and isinstance(content.get("nx_graph"), Mapping):
        content = content["nx_graph"]
    if isinstance(content, Mapping) and {"categories"} == set(content) - {"info", "licenses"}:
        content = content["categories"]
    if isinstance(content, list) and content and all(map(_lists, content)):
        if len(content) > 1:
            raise InputError(f"holds {len(content)} skeletons, wanted one")
        content = content[0]
    if not isinstance(content, Mapping):
        return None
    if isinstance(content.get("nodes"), list) and isinstance(content.get("links"), list):
        return _of_graph(content)
    if _lists(content) is None:
        inner = {str(name): value for name, value in content.items() if _lists(value)}
        if not inner or len(inner) < len(content):
            return None
        if len(inner) > 1:
            raise InputError(f"holds {len(inner)} skeletons ({', '.join(inner):.80}), wanted one")
        return _of_lists(*inner.popitem())
    name = content.get("name")
    return _of_lists(name if isinstance(name, str) else None, content)


def bones(pairs: Any, names: Sequence[str], first: int) -> list[tuple[int, int]]:
    """The edges as pairs of joint indices. They give joints by name or by number.

    Args:
        pairs: the edges.
        names: the joints' names.
        first: the number of the first joint; 0 if one of the edges has a 0.

    Raises:
        InputError: an edge is not a pair, or names no joint.
    """
    place = {name: index for index, name in enumerate(names)}
    listed = [_ends(pair) for pair in pairs or ()]
    first = 0 if any(end == 0 for pair in listed for end in pair) else first
    found = []
    for pair in listed:
        ends = []
        for end in pair:
            number = place.get(str(end))
            if number is None:
                try:
                    number = int(end) - first
                except (TypeError, ValueError) as error:
                    raise InputError(f"an edge joins {end!r:.40}, which is no joint") from error
            ends.append(number)
        found.append((ends[0], ends[1]))
    return found


def _lists(content: Any) -> tuple[str, str] | None:
    """The keys of an object's joints and bones; None if it has no joints."""
    if not isinstance(content, Mapping) or _RECORDINGS & set(content):
        return None
    for keys in _LISTS:
        joints = content.get(keys[0])
        if isinstance(joints, list) and joints and all(map(_is_joint, joints)):
            return keys
    return None


def _is_joint(value: Any) -> bool:
    return isinstance(value.get("name") if isinstance(value, Mapping) else value, str)


def _of_lists(name: str | None, content: Mapping[str, Any]) -> Skeleton:
    keys = _lists(content)
    assert keys is not None
    joints, edges = keys
    names = [str(joint["name"] if isinstance(joint, Mapping) else joint) for joint in content[joints]]
    given = content.get(edges) or content.get("edges") or content.get("skeleton") or ()
    return Skeleton(tuple(names), tuple(bones(given, names, 1 if joints == "keypoints" else 0)), name=name)


def _ends(pair: Any) -> tuple[Any, Any]:
    """The two joints of an edge: a pair, or SLEAP's object of a source and a destination."""
    if isinstance(pair, Mapping):
        pair = [pair.get("source"), pair.get("destination", pair.get("target"))]
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise InputError(f"an edge must join two joints, got {pair!r:.40}")
    first, second = (end.get("name") if isinstance(end, Mapping) else end for end in pair)
    return first, second


def _of_graph(content: Mapping[str, Any]) -> Skeleton:
    """The skeleton of SLEAP's JSON, which writes an object out once, and refers to it by its number afterwards.

    SLEAP numbers nodes and types of links together. sleap-io numbers them separately, and may write a node out again.
    """
    objects = list(_objects(content))
    nodes = [value for kind, value in objects if kind == "node"]
    kinds = [value for kind, value in objects if kind == "type"]
    together = len(set(nodes)) == len(nodes) and all(
        0 < number <= len(objects) and objects[number - 1][0] == kind for kind, number in _references(content)
    )
    distinct = list(dict.fromkeys(nodes))

    def resolved(value: Any, kind: str) -> Any:
        if not isinstance(value, Mapping):
            return value
        if "py/id" not in value:
            return _object(value)[1]
        listed: Sequence[Any] = distinct if kind == "node" else kinds
        number = int(value["py/id"]) - 1
        chosen = objects[number][1] if together else listed[number] if 0 <= number < len(listed) else None
        if chosen is None:
            raise InputError(f"a skeleton's link refers to {kind} {number + 1}, which is not there")
        return chosen

    names = [str(resolved(node["id"] if isinstance(node, Mapping) else node, "node")) for node in content["nodes"]]
    edges = []
    for place, link in enumerate(content["links"]):
        if resolved(link.get("type", 1), "type") == 1:
            ends = [str(resolved(link[end], "node")) for end in ("source", "target")]
            edges.append((int(link.get("edge_insert_idx", place)), ends))
    graph = content.get("graph")
    name = graph.get("name") if isinstance(graph, Mapping) else None
    return Skeleton(tuple(names), tuple(bones([ends for _, ends in sorted(edges)], names, 0)), name=name or None)


def _objects(value: Any) -> Iterator[tuple[str, Any]]:
    """The nodes (their names) and types of links (their numbers) that a graph writes out, in its order."""
    if isinstance(value, Mapping):
        if "py/reduce" in value or "py/state" in value:
            yield _object(value)
            return
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from _objects(one)


def _object(value: Mapping[str, Any]) -> tuple[str, Any]:
    if "py/reduce" in value:
        return "type", int(next(part["py/tuple"][0] for part in value["py/reduce"] if part and "py/tuple" in part))
    state = value.get("py/state", value)
    return "node", str(state["py/tuple"][0] if "py/tuple" in state else state["name"])


def _references(content: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The nodes and types of links that a graph refers to by number."""
    held = [("node", node.get("id")) for node in content["nodes"] if isinstance(node, Mapping)]
    for link in content["links"]:
        held += [("node", link.get("source")), ("node", link.get("target")), ("type", link.get("type"))]
    for kind, value in held:
        if isinstance(value, Mapping) and "py/id" in value:
            yield kind, int(value["py/id"])
