"""How well steep cameras are told: ``python -m benchmarks.overhead FOLDER``; ``fit FOLDER`` writes the weights.

The shares go to benchmarks/results/scores/overhead.json.

FOLDER holds recordings of 3D motion in motion3d/, recorded/ and animated/. Cameras of all pitches see them and
generated animals, with a detector's faults; half of the recordings also turn slowly, since animators' animals walk
straight on. Scores are of whole families and persons that were held out: of five parts of them, each is judged by a
network fitted on the other four and on generated animals. Each clip counts twice: with its joints' names, and without.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.skeletons import group_of
from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import FAMILIES, AnimalGenerator
from olift_fast.data.mocap import Motion, load_motion, segments_of
from olift_fast.data.sources import observe
from olift_fast.tracks import overhead_weights
from olift_fast.tracks.overhead import CLEAR, FACTS, THRESHOLD, facts
from olift_fast.tracks.skeleton import Skeleton

Floats = npt.NDArray[np.float64]

RESULTS = Path(__file__).parent / "results" / "scores" / "overhead.json"
FRAMES = 300
FOLDS = 5
RANGES = ((0, 40), (40, 60), (60, 90), (75, 90), (-60, -45), (-90, -60))
# Degrees by which cameras look down, and the share of clips that each range sees.
ELEVATIONS = {(0, 40): 0.4, (45, 90): 0.35, (-20, 0): 0.05, (-90, -45): 0.2}
# Recordings that begin alike are of one body, and held out together.
TWINS = (
    ("qs_wolf", "qs_fox"), ("draconis",), ("qs_velociraptor", "qs_parasaurolophus"), ("qs_fish",), ("qs_dog",),
    ("animalia_rat", "animalia_opossum"), ("qs_horse", "qsfarm_horse", "qs_donkey", "qs_alpaca", "qs_deer", "qs_stag"),
)  # fmt: skip
WITHOUT_UPRIGHT = ("hand", "hand_at_work", "object", "articulated")
# What a clip counts in fitting: most animals are made of boxes.
WEIGHT = {"animals made of boxes": 0.4, "animals of animators": 1.5, "measured animals": 1.5}


class Sample(NamedTuple):
    """The facts of one clip, its recording ("" for a generated animal), and the degrees that its camera looks down."""

    facts: Floats
    recording: str
    elevation: float
    frames: int
    named: bool


def samples(folder: Path, clips: int, animals: int) -> Iterator[Sample]:
    """Of every recording `clips` clips, of people and measured animals three times as many; and generated animals."""
    paths = [path for part in ("motion3d", "recorded", "animated") for path in sorted((folder / part).glob("*.npz"))]
    for number, path in enumerate(paths):
        up = _up_axis(path)
        # Hands and `_hands` twins have no upright; of mouse_salk34 nobody knows it.
        if not up or "hands" in path.stem or path.stem == "mouse_salk34":
            continue
        motion = load_motion(path)
        often = 1 if group_of(path.stem).startswith("animals") else 3
        for clip in range(clips * often):
            rng = np.random.default_rng((2412, number, clip))
            positions = _clip(motion, up, _length(rng), rng)[None]
            elevation, camera = _camera(rng)
            batch = observe(positions, segments_of(motion)[0], rng, camera, Corruption(), path.stem)
            yield from _with_and_without_names(batch, path.stem, elevation)
    often = {"quadruped": 2.0, "human": 2.0, "rodent": 2.0}
    families = {name: often.get(name, 1.0) for name in FAMILIES if name not in WITHOUT_UPRIGHT}
    for number in range(animals):
        rng = np.random.default_rng((2412, number))
        elevation, camera = _camera(rng)
        batch = AnimalGenerator((2412, number), families, camera).batch(1, _length(rng))
        yield from _with_and_without_names(batch, "", elevation)


def _with_and_without_names(batch: ClipBatch, recording: str, elevation: float) -> Iterator[Sample]:
    nameless = Skeleton(tuple(f"joint{index}" for index in range(batch.skeleton.num_joints)))
    for named, skeleton in ((True, batch.skeleton), (False, nameless)):
        found = facts(batch.keypoints[0], batch.visible[0], skeleton)
        if found is not None:
            yield Sample(found, recording, elevation, batch.visible.shape[1], named)


def _up_axis(path: Path) -> str:
    with np.load(path) as content:
        return str(content["up_axis"]) if "up_axis" in content else "+z"


def _length(rng: np.random.Generator) -> int:
    return FRAMES if rng.random() < 0.6 else int(np.exp(rng.uniform(np.log(25), np.log(FRAMES))))


def _camera(rng: np.random.Generator) -> tuple[float, CameraRange]:
    low, high = list(ELEVATIONS)[rng.choice(len(ELEVATIONS), p=list(ELEVATIONS.values()))]
    elevation = float(rng.uniform(low, high))
    return elevation, CameraRange(elevation=(elevation, elevation), roll=(-15, 15) if rng.random() < 0.5 else (0, 0))


def _clip(motion: Motion, up: str, frames: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(T, J, 3) Z up: a part of one take, repeated where it is too short; in every other clip it turns slowly."""
    lengths = np.array([stop - start for start, stop in motion.clips], dtype=np.float64)
    start, stop = motion.clips[rng.choice(len(lengths), p=lengths / lengths.sum())]
    take = np.concatenate([motion.positions[start:stop]] * (1 + frames // (stop - start)))
    begin = int(rng.integers(len(take) - frames + 1))
    x, y, z = np.moveaxis(take[begin : begin + frames], -1, 0)
    x, y, z = {"+y": (x, -z, y), "+x": (y, z, x)}.get(up, (x, y, z))
    x, y = x - np.nanmean(x), y - np.nanmean(y)
    angle = rng.integers(2) * rng.uniform(-np.pi, np.pi) * np.linspace(0, 1, frames)[:, None]
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1).astype(np.float32)


def fit(rows: Sequence[Sample], width: int = 8, steps: int = 400) -> tuple[Floats, Floats]:
    """The network's two layers, biases first: hidden (width, 1 + facts), output (2, 1 + width); by AdamW."""
    found = np.stack([row.facts for row in rows])
    mean, spread = found.mean(0), found.std(0) + 1e-9
    inputs = torch.tensor((found - mean) / spread, dtype=torch.float32)
    elevation = torch.tensor([row.elevation for row in rows])
    classes = (elevation >= 45) + 2 * (elevation <= -45)
    weight = torch.tensor([WEIGHT.get(group_of(row.recording), 1.0) if row.recording else 1.0 for row in rows])
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(len(FACTS), width), torch.nn.Tanh(), torch.nn.Linear(width, 3))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02, weight_decay=0.1)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(len(rows), (1024,), generator=generator)
        loss = torch.nn.functional.cross_entropy(network(inputs[chosen]), classes[chosen], reduction="none")
        optimizer.zero_grad()
        (loss * weight[chosen]).mean().backward()
        optimizer.step()
        slower.step()
    (first, first_bias), (last, last_bias) = (
        (layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy())
        for layer in (network[0], network[2])
    )
    # The facts are taken as they are, and logits against those of a level camera.
    hidden = np.concatenate([(first_bias - first @ (mean / spread))[:, None], first / spread], axis=1)
    output = np.concatenate([last_bias[:, None], last], axis=1)
    return hidden, output[1:] - output[0]


def chances(rows: Sequence[Sample], layers: tuple[Floats, Floats]) -> Floats:
    """(R, 2) of each sample the chances of a camera above and below."""
    hidden, output = layers
    units = np.tanh(hidden[:, 0] + np.stack([row.facts for row in rows]) @ hidden[:, 1:].T)
    odds = np.exp(output[:, 0] + units @ output[:, 1:].T)
    return np.asarray(odds / (1 + odds.sum(1, keepdims=True)))


def held_out(rows: Sequence[Sample]) -> tuple[list[Sample], Floats]:
    """The samples of recordings, and their chances by networks that know neither their family nor their person."""
    families = [next((twins[0] for twins in TWINS if row.recording.startswith(twins)), row.recording) for row in rows]
    order = np.random.default_rng(0).permutation(sorted({family for family in families if family}))
    fold = {str(family): place % FOLDS for place, family in enumerate(order)}
    judged: list[Sample] = []
    found = []
    for part in range(FOLDS):
        out = [row for row, family in zip(rows, families, strict=True) if fold.get(family) == part]
        found.append(chances(out, fit([row for row, f in zip(rows, families, strict=True) if fold.get(f) != part])))
        judged += out
    return judged, np.concatenate(found)


class Share(NamedTuple):
    """How many recordings of a group that cameras of a range see are warned of, and rightly told from above or below.

    `told` and `opposite` are the shares of those that are warned of whose side is named, rightly and wrongly.
    """

    recordings: str
    names: bool
    elevation: tuple[int, int]
    clips: int
    warned: float
    told: float
    opposite: float


def shares(rows: Sequence[Sample], found: Floats, threshold: float) -> Iterator[Share]:
    """Of recordings of 300 frames, by group, with and without their names, and by camera."""
    elevation = np.array([row.elevation for row in rows])
    warned = found.sum(1) >= threshold
    whole = np.array([row.frames == FRAMES for row in rows])
    groups = np.array([group_of(row.recording) for row in rows])
    for named in (True, False):
        same = whole & np.array([row.named == named for row in rows])
        for group in (*dict.fromkeys(groups.tolist()), "all"):
            for low, high in RANGES:
                those = same & ((groups == group) | (group == "all")) & (elevation >= low) & (elevation <= high)
                steep = found[those & warned]
                side = (steep / steep.sum(1, keepdims=True))[:, 0 if low >= 0 else 1]
                right, wrong = (float(np.mean(part)) if len(part) else 0.0 for part in (side > CLEAR, side < 1 - CLEAR))
                share = float(warned[those].mean()) if those.any() else 0.0
                yield Share(group, named, (low, high), int(those.sum()), *(round(n, 4) for n in (share, right, wrong)))


def table(found: Sequence[Share]) -> Iterator[str]:
    """The shares as lines of a table."""
    yield "| recordings | names | " + " | ".join(f"{low} … {high}°" for low, high in RANGES) + " |"
    yield "|---|---|" + "---:|" * len(RANGES)
    for group, named in dict.fromkeys((share.recordings, share.names) for share in found):
        those = [share for share in found if (share.recordings, share.names) == (group, named)]
        cells = (f"{share.warned:.1%} (side {share.told:.0%}, wrong {share.opposite:.0%})" for share in those)
        yield f"| {group} | {'yes' if named else 'no'} | " + " | ".join(cells) + " |"


def quantiles(rows: Sequence[Sample], found: Floats) -> Iterator[str]:
    """Lines: the threshold at which 3 % of each kind of recordings by cameras at 0 … 40° are warned of."""
    groups = sorted({group_of(row.recording) for row in rows})
    for group in groups:
        for named in (True, False):
            level = [
                chance
                for row, chance in zip(rows, found.sum(1), strict=True)
                if group_of(row.recording) == group and row.named == named and 0 <= row.elevation <= 40
                and row.frames == FRAMES
            ]  # fmt: skip
            yield f"{group}, {'with' if named else 'without'} names: {np.quantile(level, 0.97):.3f} of {len(level)}"


def write(layers: tuple[Floats, Floats], path: Path) -> None:
    """The module of the weights, to three digits."""
    lines = [
        '"""Weights of the network in `overhead`, biases first; `python -m benchmarks.overhead fit` writes them."""',
        "",
        "import numpy as np",
        "",
        "# fmt: off",
    ]
    for name, layer in zip(("HIDDEN", "OUTPUT"), layers, strict=True):
        lines.append(f"{name} = np.array([")
        for row in layer:
            numbers = [f"{value:.3g}" for value in row]
            pieces = [", ".join(numbers[start : start + 15]) for start in range(0, len(numbers), 15)]
            lines.append("    [" + ",\n     ".join(pieces) + "],")
        lines.append("])")
    path.write_text("\n".join(lines) + "\n")


def main(*arguments: str) -> None:
    torch.set_num_threads(1)
    rows = list(samples(Path(arguments[-1]), clips=14, animals=2500))
    if arguments[0] == "fit":
        write(fit(rows), Path(overhead_weights.__file__))
        return
    judged, found = held_out(rows)
    told = list(shares(judged, found, THRESHOLD))
    print("\n".join([*table(told), *quantiles(judged, found)]))
    lines = ",\n".join(f"  {json.dumps(share._asdict())}" for share in told)
    RESULTS.write_text(f'{{"threshold": {THRESHOLD}, "frames": {FRAMES}, "rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
