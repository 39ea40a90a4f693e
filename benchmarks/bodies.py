"""What steady bones cost, and signs of trust beside true errors: ``python -m benchmarks.bodies MODEL FOLDER``.

FOLDER holds recordings in motion3d/ and paired/. They are seen and cut as for `olift eval`, in clips of 48 frames and,
where they are long enough, of 300, without faults of a detector and with them. The rows go to
benchmarks/results/scores/bodies-MODEL.json, and `python -m benchmarks.scores` makes tables of them. The drift of bone
lengths with faults, the mean over the recordings of motion, goes into the config of a checkpoint that ships, where
`olift lift` finds it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.scores import MOTION, RECORDS, write_rows
from olift_fast.bodies.angles import joint_angles
from olift_fast.bodies.rigid import DEPTH, steady_joints
from olift_fast.bodies.signs import jumping
from olift_fast.data.clips import ClipBatch
from olift_fast.model import Lifter, MirrorDisagreement
from olift_fast.model.checkpoints import CONFIG, SHIPPED, shipped
from olift_fast.train.batches import collate
from olift_fast.train.held_out import held_out
from olift_fast.train.metrics import bone_length_drift, bone_ratio_error, sa_mpjpe

LENGTHS = (48, 300)
AT_ONCE = 16


def rows(lifter: Lifter, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each source, length of clips, and kind of 2D."""
    for noise in (False, True):
        for frames in LENGTHS:
            sources = held_out(folder, noise, frames=frames, paired=frames == LENGTHS[0])
            for name, clips in sources.items():
                if clips.visible.shape[1] > 1 and (frames == LENGTHS[0] or clips.visible.shape[1] == frames):
                    facts = {"source": name, "faults": noise, "frames": clips.visible.shape[1], "clips": len(clips)}
                    yield {**facts, **scores(lifter, clips)}


def scores(lifter: Lifter, clips: ClipBatch) -> dict[str, float]:
    """The errors and the drift of what is lifted, and of its steady bones, and the signs of trust.

    All are in %, but for the angles at joints: their median absolute error in degrees.
    """
    disagreement, parts = MirrorDisagreement(), []
    with torch.inference_mode():
        for batch in collate([clips], lifter.config.hops, told=[clips.skeleton]).split(AT_ONCE):
            told = batch.told(lifter.config)
            parts.append((lifter(batch.keypoints, batch.visible, **told), batch.joints, batch.labelled, batch.visible))
            disagreement.lift(lifter, batch.keypoints, batch.visible, **told)
    lifted, target, labelled, visible = (torch.cat(part) for part in zip(*parts, strict=True))
    steady = torch.from_numpy(np.stack([steadied(*one, clips) for one in zip(lifted, visible, strict=True)]))
    found = {"steady_" + name: value for name, value in errors(steady, target, labelled, clips).items()}
    jumps = [float(jumping(joints).mean()) for joints in lifted.numpy()]
    found |= errors(lifted, target, labelled, clips)
    found |= {"jumps": 100 * statistics.mean(jumps), "mirror": 100 * (disagreement.share or 0.0)}
    return {name: round(value, 4) for name, value in found.items()}


def steadied(joints: Tensor, visible: Tensor, clips: ClipBatch) -> np.ndarray:
    """As `olift lift --rigid` does with a model that gives no standard deviations."""
    return steady_joints(joints.numpy(), clips.skeleton, visible.numpy(), np.array([1.0, 1.0, DEPTH]))


def errors(joints: Tensor, target: Tensor, labelled: Tensor, clips: ClipBatch) -> dict[str, float]:
    edges = clips.skeleton.edges
    mine, true = (
        np.stack(
            [
                angle.values
                for angle in joint_angles(torch.where(labelled[..., None], x, torch.nan).numpy(), clips.skeleton)
            ]
        )
        for x in (joints.double(), target.double())
    )
    return {
        "sa_mpjpe": 100 * float(sa_mpjpe(joints, target, labelled).mean()),
        "drift": 100 * float(bone_length_drift(joints, labelled, edges).nanmean()),
        "ratios": 100 * float(bone_ratio_error(joints, target, labelled, edges).nanmean()),
        "angles": float(np.nanmedian(np.abs(mine - true))),
    }


def tell(folder: Path, drift: float) -> None:
    """Puts the drift into the config of a checkpoint."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config["validation"] = {"bone_length_drift": round(drift, 4)}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", help="a shipped name, or a folder")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    found = list(rows(Lifter.from_pretrained(given.model), given.folder))
    out = RECORDS / f"bodies-{Path(given.model).name}.json"
    write_rows(out, found)
    if given.model in shipped():
        usual = [row for row in found if row["faults"] and row["frames"] == LENGTHS[0] and row["source"] in MOTION]
        tell(SHIPPED / given.model, statistics.mean(row["drift"] for row in usual) / 100)


if __name__ == "__main__":
    main()
