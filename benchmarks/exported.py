"""How large exported files are, and how well they lift: ``python -m benchmarks.exported MODEL FOLDER``.

FOLDER holds recordings as `olift eval` takes them. The lifter and its ONNX files of each kind of weights lift the
held-out clips; sizes and errors go to benchmarks/results/scores/exported-MODEL.json, and `python -m benchmarks.scores`
makes the table of docs/export.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import onnxruntime
import torch

from benchmarks.scores import RECORDS, write_rows
from olift_fast.model import Lifter
from olift_fast.model.export import export
from olift_fast.model.onnx_file import Weights
from olift_fast.train.batches import Batch
from olift_fast.train.evaluate import FLAT, Method, Way, flat, lifted_by, score_all
from olift_fast.train.held_out import held_out

ITSELF = "itself"


def lifted_by_file(path: Path) -> Method:
    """An exported file as a method."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def method(batch: Batch) -> torch.Tensor:
        given = {name: getattr(batch, name).numpy() for name in names}
        # Joints that pad a batch are not masked in a file; a batch here is of one skeleton, so there are none.
        assert bool(batch.joint_mask.all())
        return torch.from_numpy(session.run(["joints"], given)[0])

    return method


def rows(lifter: Lifter, folder: Path) -> Iterator[dict[str, Any]]:
    """An error a source and file, with the file's size."""
    hops = lifter.config.hops
    clips = held_out(folder, noise=True, cameras=2)
    with tempfile.TemporaryDirectory() as scratch:
        ways, sizes = {FLAT: Way(flat), ITSELF: Way(lifted_by(lifter), hops)}, {}
        for weights in get_args(Weights):
            path = export(lifter, Path(scratch) / f"{weights}.onnx", weights=weights)
            ways[weights], sizes[weights] = Way(lifted_by_file(path), hops), path.stat().st_size
        for score in score_all(clips, ways):
            facts = {"source": score.source, "clips": score.clips, "file": score.method}
            yield {**facts, "bytes": sizes.get(score.method), "sa_mpjpe": score.values["sa_mpjpe"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", help="a shipped name, or a folder")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    found = list(rows(Lifter.from_pretrained(given.model), given.folder))
    out = RECORDS / f"exported-{Path(given.model).name}.json"
    write_rows(out, found)


if __name__ == "__main__":
    main()
