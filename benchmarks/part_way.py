"""What is learned and what is forgotten, part of the way to fine-tuned weights: ``python -m benchmarks.part_way``.

The first step of the table in docs/studies.md is a training on five clips, of which RIG/motion3d holds the recording:

    olift finetune RIG --out tuned --model small-all --steps 400 --set model.share=1 --set 'data.real_frames={RIG=240}'
    python -m benchmarks.part_way small-all tuned RIG FOLDER

FOLDER holds recordings in motion3d/, recorded/, animated/ and paired/. The errors go to
benchmarks/results/scores/part-way-RIG.json.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

from benchmarks.families import fewer
from benchmarks.scores import RECORDS, write_rows
from olift_fast.model import Lifter
from olift_fast.train.evaluate import FLAT, Way, flat, lifted_by, score_all
from olift_fast.train.families import VALIDATION_NAME
from olift_fast.train.fitting import go_part_way
from olift_fast.train.held_out import held_out, held_out_families

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
OTHERS = ("qs_wolf", "aw_camel", "qs_snake", "animalia_rat", "qs_dog_husky")
"""Families left out of training that are scored besides the five recordings and those before real cameras."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("start", help="what was fine-tuned: a shipped name, or a folder")
    parser.add_argument("tuned", help="the fine-tuned checkpoint, of share 1")
    parser.add_argument("rig", type=Path, help="folder whose motion3d/ holds the recording that was learned")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    start, tuned = Lifter.from_pretrained(given.start), Lifter.from_pretrained(given.tuned)
    families = held_out_families([given.folder / "animated"], [VALIDATION_NAME], cameras=1)
    sets = {name: fewer(clips, 24) for name, clips in held_out(given.rig, noise=True, paired=False).items()}
    sets |= {name: fewer(clips, 16) for name, clips in held_out(given.folder, noise=True).items()}
    sets |= {name: fewer(families[name], 12) for name in OTHERS}
    ways = {FLAT: Way(flat)}
    for share in SHARES:
        lifter = copy.deepcopy(tuned)
        go_part_way(lifter, start, share)
        ways[f"{share:g}"] = Way(lifted_by(lifter), lifter.config.hops)
    found = [
        {"source": score.source, "share": score.method, "clips": score.clips, **score.values}
        for score in score_all(sets, ways)
    ]
    write_rows(RECORDS / f"part-way-{given.rig.name}.json", found)
    for row in found:
        print(f"{row['source']}, {row['share']}: {row['sa_mpjpe']}")


if __name__ == "__main__":
    main()
