"""Things: rigid ones (boxes, tools, furniture, vehicles, sets of points) and ones with hinges, slides and arms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.generator.bodies import PITCH, ROLL, STRETCH, YAW, Body, Gait, Posture, Turn, Vector, log_normal

Points = NDArray[np.float64]
Place = Points | Sequence[float]
Maker = Callable[["_Thing"], None]
NOWHERE = np.zeros((0, 3))


def rigid_object(rng: np.random.Generator) -> Body:
    """Points that keep their distances, linked by a tree. Most of its links are short, such as the edges of a box."""
    return _made(rng, RIGID, "object")


def articulated_object(rng: np.random.Generator) -> Body:
    """Rigid parts joined by hinges and slides: lids, doors, drawers, scissors, robot arms, diggers."""
    return _made(rng, ARTICULATED, "articulated")


def _made(rng: np.random.Generator, makers: Sequence[tuple[float, Maker]], family: str) -> Body:
    body = Body(family, (Posture(support="free"),), (Gait(1, 0, 0),))
    body.variety = 0.4
    body.still = 0.15
    body.changes = 0.6 if family == "articulated" else 0.0
    body.change_seconds = (0.5, 2.5)
    weights = np.array([weight for weight, _ in makers])
    makers[int(rng.choice(len(makers), p=weights / weights.sum()))][1](_Thing(body, rng))
    return body


class _Thing:
    """A body under construction; its points are given by their places at angle 0."""

    def __init__(self, body: Body, rng: np.random.Generator) -> None:
        self.body, self.rng = body, rng
        self.places: list[Points] = []
        # Real rigs of things sometimes link points that are far apart.
        self.anyhow = rng.random() < 0.25

    def part(self, points: Points, parents: Sequence[int] = (), left: Points = NOWHERE) -> list[int]:
        """Add rigid points (N, 3) to the part with the points `parents`, and points `left` (M, 3) with mirror images.

        Returns the indices of all points of the part, with the parents.
        """
        known = list(parents)
        for point in _nearest_first(points, [self.places[node] for node in known]):
            known.append(self.point(point, known))
        pairs: list[tuple[int, int]] = []
        for point in _nearest_first(left, [self.places[node] for node in known]):
            options = [*((node, node) for node in known), *pairs]
            nearest = options[self._choose(point, [pair[0] for pair in options])]
            offset = (point - self.places[nearest[0]]).tolist()
            pairs.append(self.body.pair(f"point_{len(self.places)}", nearest, offset, "part"))
            self.places += [point, point * [1, -1, 1]]
        return known + [node for pair in pairs for node in pair]

    def point(self, place: Points, parents: Sequence[int], turns: Sequence[Turn] = ()) -> int:
        """Add one point, linked to one of `parents`. Its turns move all points that are linked to it later."""
        parent = parents[self._choose(place, parents)] if parents else -1
        offset = place - self.places[parent] if parents else place
        self.places.append(place)
        return self.body.add(f"point_{len(self.places)}", parent, offset.tolist(), "part", turns)

    def _choose(self, place: Points, nodes: Sequence[int]) -> int:
        if self.anyhow and self.rng.random() < 0.5:
            return int(self.rng.integers(len(nodes)))
        return int(np.argmin([np.linalg.norm(self.places[node] - place) for node in nodes]))


def _nearest_first(points: Points, known: Sequence[Points]) -> list[Points]:
    """The points in the order in which a minimum spanning tree reaches them (Prim, 1957)."""
    left = list(points)
    reached = list(known) or left[:1]
    order: list[Points] = [] if known else [left.pop(0)]
    while left:
        distances = np.linalg.norm(np.array(left)[:, None] - np.array(reached), axis=-1).min(axis=1)
        order.append(left.pop(int(np.argmin(distances))))
        reached.append(order[-1])
    return order


def _hinge(name: str, axis: Vector, low: float, high: float) -> Turn:
    """A turn whose rest angle varies over the whole range between its limits."""
    return Turn(name, axis, low, high, 0.5 * (low + high), 0.33 * (high - low), 1.0)


def _corners(low: Place, high: Place) -> Points:
    """The 8 corners of an upright box, the lower ones first."""
    return np.array([(x, y, z) for z in (low[2], high[2]) for x in (low[0], high[0]) for y in (low[1], high[1])], float)


def _rectangle(center: Place, x: float, y: float) -> Points:
    """Four corners of a level rectangle; x and y are half its sides."""
    return np.asarray(center, float) + np.array([(-x, -y, 0), (-x, y, 0), (x, -y, 0), (x, y, 0)])


def _half_sizes(rng: np.random.Generator, x: float, y: float, z: float, sigma: float = 0.35) -> list[float]:
    return [log_normal(rng, value, sigma) for value in (x, y, z)]


def _cloud(thing: _Thing) -> None:
    """Points anywhere in an ellipsoid, or near its surface."""
    rng = thing.rng
    points = rng.normal(size=(int(rng.integers(5, 25)), 3))
    if rng.random() < 0.5:
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    thing.body.carried = {"held": 3, "thrown": 1, "turned": 1.5, "driven": 0.3, "standing": 0.2}
    thing.part(points * np.array(_half_sizes(rng, 1, 0.8, 0.6, 0.5)))


def _box(thing: _Thing) -> None:
    """Corners of a box, a brick, a book or a sheet, and points on it."""
    rng = thing.rng
    size = np.array(_half_sizes(rng, 1, 0.7, rng.choice((0.5, 0.05)), 0.4))
    marks = rng.uniform(-1, 1, (int(rng.integers(0, 7)), 3))
    marks[np.arange(len(marks)), rng.integers(0, 3, len(marks))] = 1
    thing.body.carried = {"held": 3, "thrown": 1.2, "turned": 1.5, "driven": 0.3, "standing": 0.3}
    thing.part(np.concatenate([_corners(-size, size), marks * size]))


def _tool(thing: _Thing) -> None:
    """A handle with a head across its end: hammer, wrench, spoon, racket, brush."""
    rng = thing.rng
    width, height, reach = _half_sizes(rng, 0.3, 0.15, 0.25, 0.5)
    handle = np.zeros((int(rng.integers(2, 5)), 3))
    handle[:, 0] = np.linspace(0, 1.9, len(handle))
    low, high = (2, -width, -height), (2 + reach, width, height)
    head = _ring(low, high) if rng.random() < 0.5 else np.concatenate([_corners(low, high), [[2 + reach, 0, 0]]])
    thing.body.carried = {"held": 5, "thrown": 0.7, "turned": 0.5}
    thing.part(np.concatenate([handle, head[:2], head[2:][rng.random(len(head) - 2) < rng.uniform(0.6, 1)]]))


def _ring(low: Place, high: Place) -> Points:
    """8 points on a level ellipse that fills the box, at half its height."""
    ends = np.array([low, high], float)
    angle = np.linspace(0, 2 * np.pi, 9)[:-1]
    return ends.mean(axis=0) + 0.5 * (ends[1] - ends[0]) * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)


def _bottle(thing: _Thing) -> None:
    """Rings of points about an axis: bottle, cup, vase, wheel, lamp."""
    rng = thing.rng
    height = log_normal(rng, 1.2, 0.6)
    angle = np.linspace(0, 2 * np.pi, int(rng.integers(3, 9)))[:-1] + rng.uniform(0, 6)
    heights = np.sort(rng.uniform(0, height, int(rng.integers(1, 3))))
    rings = [
        np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full_like(angle, z)], axis=-1)
        for z, radius in zip([0, *heights], _half_sizes(rng, 0.5, 0.5, 0.4), strict=False)
    ]
    thing.body.carried = {"held": 3, "thrown": 0.8, "turned": 1.5, "standing": 0.2}
    thing.part(np.concatenate([*rings, [[0, 0, height]]]))


def _furniture(thing: _Thing) -> None:
    """Feet, a plate or seat over them, often a back or a shelf: chair, table, stool, bed, cabinet."""
    rng = thing.rng
    x, y, _ = _half_sizes(rng, 0.6, 0.6, 1)
    seat, back = log_normal(rng, 0.9, 0.3), log_normal(rng, 0.9, 0.3)
    inset = rng.uniform(0.7, 1)
    points = np.concatenate([_rectangle((0, 0, 0), inset * x, inset * y), _rectangle((0, 0, seat), x, y)])
    if rng.random() < 0.6:
        lean = rng.uniform(0, 0.3)
        points = np.concatenate([points, _rectangle((-x - lean, 0, seat + back), 0.02, y)[:2]])
        if rng.random() < 0.3:
            points = np.concatenate([points, _rectangle((0, 0, seat + 0.4 * back), 0.7 * x, y)])
    thing.body.carried = {"turned": 3, "held": 1.5, "driven": 0.7, "standing": 0.6, "thrown": 0.2}
    _halves(thing, points)


def _vehicle(thing: _Thing) -> None:
    """Wheels, lights, roof, mirrors: car, van, truck, cart, scooter, drone or boat by its corners."""
    rng = thing.rng
    long, wide, high = _half_sizes(rng, 2.0, 0.8, 0.7, 0.3)
    wheels = [(x, wide, 0.2) for x in np.linspace(-0.65, 0.65, int(rng.choice((2, 2, 2, 3)))) * long]
    lights = [(long, 0.8 * wide, 0.6 * high), (-long, 0.85 * wide, 0.7 * high)]
    roof = [(rng.uniform(0, 0.4) * long, 0.75 * wide, 2 * high), (-rng.uniform(0.4, 0.9) * long, 0.75 * wide, 2 * high)]
    more = [(0.4 * long, 1.15 * wide, 1.2 * high), (long, 0.5 * wide, 0.25), (-long, 0.5 * wide, 0.25)]
    kept = [point for point in (*lights, *roof, *more) if rng.random() < 0.75]
    left = np.array([*wheels, *kept])
    thing.body.carried = {"driven": 6, "turned": 1.5, "standing": 0.5, "held": 1}
    _halves(thing, np.concatenate([left, left * [1, -1, 1]]))


def _halves(thing: _Thing, points: Points) -> None:
    """Add symmetric points: as left and right, or, as in most rigs of things, without sides."""
    if thing.rng.random() < 0.4:
        middle = np.array([[0, 0, points[:, 2].mean()]])
        thing.part(middle, left=points[points[:, 1] > 0])
    else:
        thing.part(points)


def _lid(thing: _Thing) -> None:
    """Two plates or boxes with one common edge: box with a lid, laptop, book, piano, suitcase, toaster oven."""
    rng = thing.rng
    x, y, z = _half_sizes(rng, 0.7, 1, rng.choice((0.03, 0.4)), 0.4)
    thick = log_normal(rng, 0.05, 0.5)
    base = _corners((0, -y, -2 * z - thick), (2 * x, y, -thick))
    if rng.random() < 0.4:
        base = base[4:]
    thing.body.carried = {"turned": 2, "held": 2, "standing": 1}
    nodes = thing.part(base)
    hinge = thing.point(np.array([0, -y, 0.0]), nodes, [_hinge("lid", PITCH, 0, rng.uniform(90, 178))])
    lid = _rectangle((x, 0, thick), x, y)
    thing.part(np.concatenate([[[0, y, 0]], lid[rng.random(4) < 0.9], [[1.9 * x, 0, 0]]]), [hinge])


def _door(thing: _Thing) -> None:
    """A frame or cabinet with one door, or two, and handles."""
    rng = thing.rng
    deep, wide, high = _half_sizes(rng, rng.choice((0.05, 0.5)), 0.5, 1, 0.3)
    thing.body.carried = {"turned": 2, "standing": 2, "held": 0.4}
    nodes = thing.part(_corners((-2 * deep, -wide, 0), (0, wide, 2 * high)))
    both = rng.random() < 0.3
    for side in (1.0, -1.0) if both else (rng.choice((1.0, -1.0)),):
        edge, free = side * 0.97 * wide, side * (0.02 if both else -0.97) * wide
        opens = (0.0, 0.0, float(side))
        hinge = thing.point(np.array([0.03, edge, 0.1]), nodes, [_hinge("door", opens, 0, rng.uniform(80, 170))])
        leaf = [(0.03, edge, 1.95 * high), (0.03, free, 1.95 * high), (0.03, free, 0.1), (0.1, 0.85 * free, high)]
        thing.part(np.array(leaf), [hinge])


def _drawers(thing: _Thing) -> None:
    """A chest of drawers, a slide or a piston: parts that are pulled out."""
    rng = thing.rng
    deep, wide, high = _half_sizes(rng, 0.5, 0.6, 0.8, 0.3)
    thing.body.carried = {"turned": 2, "standing": 2, "held": 0.4}
    nodes = thing.part(_corners((-2 * deep, -wide, 0), (0, wide, 2 * high)))
    count = int(rng.integers(1, 4))
    for index in range(count):
        middle = 2 * high * (index + 0.5) / count
        rail = thing.point(np.array([-2 * deep, 0, middle]), nodes)
        front = thing.point(np.array([0.02, 0, middle]), [rail], [_hinge("drawer", STRETCH, 0, rng.uniform(50, 95))])
        tall = 0.8 * high / count
        thing.part(_rectangle((0.02, 0, middle - tall), 0.01, 0.9 * wide)[2:], [front])
        thing.part(_rectangle((0.02, 0, middle + tall), 0.01, 0.9 * wide)[2:], [front])


def _scissors(thing: _Thing) -> None:
    """Two levers that cross at a pivot: scissors, pliers, shears, tongs."""
    rng = thing.rng
    blade, grip, width = _half_sizes(rng, 1, 1, 0.15, 0.4)
    widest = rng.uniform(25, 80)
    thing.body.carried = {"held": 6, "turned": 0.5, "thrown": 0.2}
    thing.body.changes, thing.body.change_seconds = 1.5, (0.2, 0.8)
    lever = np.array([(blade, 0, 0), (0.5 * blade, 0.5 * width, 0), (-grip, -2 * width, 0), (-0.5 * grip, -width, 0)])
    bow = np.array([(-1.2 * grip, -width, 0), (-1.2 * grip, -3 * width, 0)])
    levers = np.concatenate([lever, bow]) if rng.random() < 0.5 else lever
    nodes = thing.part(np.concatenate([[[0, 0, 0]], levers]))
    over = thing.point(np.array([0, 0, rng.uniform(0.05, 0.12)]), nodes[:1], [_hinge("lever", YAW, 2, widest)])
    thing.part(levers * [1, -1, 1] + thing.places[over], [over])


def _arm(thing: _Thing) -> None:
    """A robot's arm or a lamp: a foot, a chain of hinges, often a gripper at its end."""
    rng = thing.rng
    thing.body.carried = {"standing": 3, "turned": 2, "driven": 1, "held": 0.3}
    thing.body.change_seconds = (0.7, 3.0)
    foot = thing.part(_rectangle((0, 0, 0), *_half_sizes(rng, 0.3, 0.3, 1)[:2]))
    place = np.array([0.0, 0.0, log_normal(rng, 0.3, 0.4)])
    links = int(rng.integers(2, 6))
    node = thing.point(place, foot, [_hinge("base", YAW, -150, 150), _hinge("lift", PITCH, -70, 70)])
    for index in range(links):
        place = place + np.array([0, 0, log_normal(rng, 1.6 / links, 0.35)])
        bend = _hinge(f"bend_{index}", PITCH, -120, 120) if rng.random() < 0.7 else _hinge("side", ROLL, -90, 90)
        turns = [bend, _hinge("roll", YAW, -120, 120)] if rng.random() < 0.4 else [bend]
        node = thing.point(place, [node], turns)
    if rng.random() < 0.7:
        for side in (1.0, -1.0):
            grip = _hinge("grip", (float(side), 0.0, 0.0), -35, 15)
            finger = thing.point(place + np.array([0, 0.08 * side, 0.08]), [node], [grip])
            thing.part(place + np.array([(0, 0.1 * side, 0.3), (0, 0.03 * side, 0.38)]), [finger])
    else:
        thing.part(place + _rectangle((0, 0, 0.25), 0.12, 0.08), [node])


def _digger(thing: _Thing) -> None:
    """An excavator, a crane or a loader: tracks, a cab that turns, a boom, a stick and a bucket."""
    rng = thing.rng
    long, wide, _ = _half_sizes(rng, 1, 0.6, 1, 0.25)
    boom, stick, bucket = _half_sizes(rng, 1.8, 1.1, 0.4, 0.3)
    thing.body.carried = {"driven": 2, "standing": 2, "turned": 1.5, "held": 0.3}
    thing.body.change_seconds = (0.8, 3.0)
    tracks = thing.part(_rectangle((0, 0, 0), long, wide))
    turret = thing.point(np.array([0, 0, 0.3]), tracks, [_hinge("cab", YAW, -100, 100)])
    cab = thing.part(_corners((-long, -wide, 0.35), (0.3, wide, 0.8))[rng.random(8) < 0.8], [turret])
    base = np.array([0.4, 0.0, 0.5])
    last = thing.point(base, [cab[0]], [_hinge("boom", PITCH, 0, 65)])
    for length, turn in ((boom, _hinge("stick", PITCH, -140, -30)), (stick, _hinge("bucket", PITCH, -110, 20))):
        base = base + np.array([length, 0, 0])
        last = thing.point(base, [last], [turn])
    thing.part(base + np.array([(bucket, 0.3, 0), (bucket, -0.3, 0), (0.5 * bucket, 0, 0.5 * bucket)]), [last])


RIGID: tuple[tuple[float, Maker], ...] = (
    (2.5, _cloud),
    (2.5, _box),
    (2.0, _tool),
    (1.0, _bottle),
    (1.5, _furniture),
    (2.0, _vehicle),
)
ARTICULATED: tuple[tuple[float, Maker], ...] = (
    (1.5, _lid),
    (1.0, _door),
    (1.0, _drawers),
    (1.0, _scissors),
    (2.0, _arm),
    (1.0, _digger),
)
