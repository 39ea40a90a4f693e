"""`olift demo`: a generated animal with known 3D is filmed, detected with faults, lifted, and scored."""

from __future__ import annotations

import csv
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated

import typer

from olift_fast.cli.console import open_page, print_json, reported, say, warn
from olift_fast.cli.lift import report, summary
from olift_fast.cli.lifting_job import LiftingJob, lift_file
from olift_fast.cli.options import Debug, Json, ModelName
from olift_fast.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from olift_fast.tracks.skeleton import Skeleton

FPS = 30.0
SCORER = "olift_demo"
# Training seeds its generators with its seed and small counters, so it never draws an animal of this stream.
STREAM = (2**31, 2**31)


@dataclass(frozen=True)
class Clip:
    """One animal over T frames: the truth, and the output of a detector.

    keypoints (T, J, 2) pixels, NaN in gaps; likelihood (T, J), NaN in gaps; true_keypoints (T, J, 2) pixels;
    joints (T, J, 3) true, camera axes, pixels, relative to the frame's mean joint.
    """

    skeleton: Skeleton
    keypoints: np.ndarray
    likelihood: np.ndarray
    true_keypoints: np.ndarray
    joints: np.ndarray


@reported
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for the files; created if missing.")] = Path("olift-demo"),
    model: ModelName = "small",
    seed: Annotated[int, typer.Option(help="Each number gives another animal.")] = 17,
    frames: Annotated[int, typer.Option(help="Length of the clip, 30 frames a second.")] = 300,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Generate an animal, film it with gaps and noise, lift the keypoints, and measure the error against the truth.

    Writes keypoints.csv (DeepLabCut form), skeleton.json, truth.npz, lifted.npz and lifted.html.

    [bold]Examples[/bold]
      olift demo
      olift demo elsewhere --seed 7 --open
    """
    from olift_fast.atomic import writing

    if frames < 2 or seed < 0:
        raise InputError(f"--frames must be >= 2 and --seed >= 0, got {frames} and {seed}")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    clip = film(seed, frames)
    names = ("keypoints.csv", "skeleton.json", "truth.npz", "lifted.npz", "lifted.html")
    table, skeleton, truth, lifted, page = (folder / name for name in names)
    write_files(clip, table, skeleton, truth)
    drawable = importlib.util.find_spec("plotly") is not None
    job = LiftingJob(
        file=table, out=lifted, page=page if drawable else None, model=model, skeleton=str(skeleton), fps=FPS
    )
    outcome = lift_file(job, quiet=as_json)
    error, flat = errors(clip, outcome.result.joints[0])
    if as_json:
        print_json({**summary(outcome), "truth": str(truth), "sa_mpjpe_percent": error, "flat_sa_mpjpe_percent": flat})
    else:
        html = ["--html", page] if drawable else []
        command = ["olift", "lift", table, "--skeleton", skeleton, "--fps", f"{FPS:g}", "-o", lifted, *html]
        say(join(map(str, command)))
        report(outcome)
        say(
            f"error against the truth (SA-MPJPE): {error:.1f} % of the animal's RMS radius in the picture; "
            f"the flat guess (true x and y, no depth) is at {flat:.1f} %"
        )
        if not drawable:
            warn("not drawn: the page needs: pip install 'olift-fast[view]'")
    if open_ and drawable:
        open_page(page)


def film(seed: int, frames: int) -> Clip:
    """A quadruped that no training has seen, with a detector's noise, swaps, gaps and misplaced keypoints."""
    import numpy as np

    from olift_fast.data.corruption import Corruption, corrupt
    from olift_fast.data.generator import AnimalGenerator

    generator = AnimalGenerator(seed=(seed, *STREAM), corruption=Corruption.none(), fps=(FPS, FPS), without_edges=0.0)
    batch = generator.batch(1, frames, family="quadruped")
    rng = np.random.default_rng((seed, *STREAM))
    faults = Corruption(clean=0.0, missing=0.04, spans=0.06, limbs=0.03, occlusion=0.06)
    detected, visible, score = corrupt(rng, batch.keypoints, batch.skeleton, faults, depth=batch.joints[..., 2])
    # A detector that does not see a joint leaves a gap, or points somewhere else without much confidence.
    guessed = ~visible & (rng.random(visible.shape) < 0.5)
    radius = float(np.std(batch.joints))
    guess = batch.keypoints + rng.normal(0, radius, batch.keypoints.shape)
    keypoints = np.where(visible[..., None], detected, np.where(guessed[..., None], guess, np.nan))
    likelihood = np.where(visible, np.maximum(score, 0.3), np.where(guessed, 0.25 * rng.random(visible.shape), np.nan))
    return Clip(batch.skeleton, keypoints[0], likelihood[0], batch.keypoints[0], batch.joints[0])


def write_files(clip: Clip, table: Path, skeleton: Path, truth: Path) -> None:
    """The keypoints as a DeepLabCut table, the skeleton as JSON, the truth as npz.

    Raises:
        InputError: a file cannot be written.
    """
    import numpy as np

    from olift_fast.atomic import atomic_path

    with atomic_path(table) as path:
        path.write_text(deeplabcut_table(clip), encoding="utf-8")
    with atomic_path(skeleton) as path:
        path.write_text(clip.skeleton.to_json() + "\n", encoding="utf-8")
    with atomic_path(truth) as path:
        np.savez_compressed(
            path,
            joints=clip.joints,
            keypoints=clip.true_keypoints,
            names=np.array(clip.skeleton.names),
            edges=np.array(clip.skeleton.edges),
            fps=FPS,
        )


def deeplabcut_table(clip: Clip) -> str:
    """DeepLabCut's csv: three header rows, then the frame number and x, y, likelihood of each joint; gaps are empty."""
    names = [name for name in clip.skeleton.names for _ in range(3)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scorer", *[SCORER] * len(names)])
    writer.writerow(["bodyparts", *names])
    writer.writerow(["coords", *["x", "y", "likelihood"] * clip.skeleton.num_joints])
    for number, (points, scores) in enumerate(zip(clip.keypoints, clip.likelihood, strict=True)):
        cells = [
            f"{value:.4f}" if value == value else "" for p, s in zip(points, scores, strict=True) for value in (*p, s)
        ]
        writer.writerow([number, *cells])
    return text.getvalue()


def errors(clip: Clip, joints: np.ndarray) -> tuple[float, float]:
    """SA-MPJPE of `joints` (T, J, 3) and of the flat guess, in percent of the animal's RMS radius in the picture.

    The radius is the RMS distance of the true keypoints from their frame's center. The error is that of
    `olift_fast.train.sa_mpjpe`.
    """
    import numpy as np

    from olift_fast.runtime.alignment import similar

    target = clip.joints.reshape(-1, 3).astype(np.float64)
    flat = np.concatenate([clip.true_keypoints, np.zeros_like(clip.true_keypoints[..., :1])], axis=-1)
    centered = clip.true_keypoints - clip.true_keypoints.mean(axis=1, keepdims=True)
    radius = float(np.sqrt(np.square(centered).sum(axis=-1).mean()))
    aligned = (similar(points.reshape(-1, 3).astype(np.float64), target) for points in (joints, flat))
    found, guessed = (100 * float(np.linalg.norm(points - target, axis=-1).mean()) / radius for points in aligned)
    return round(found, 3), round(guessed, 3)
