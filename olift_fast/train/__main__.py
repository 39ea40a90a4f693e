"""``python -m olift_fast.train``: train a checkpoint on generated animals and real motion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import WEIGHTS
from olift_fast.model import Lifter, LifterConfig
from olift_fast.train.loop import Schedule, train
from olift_fast.train.mixture import REAL_WEIGHTS, Mixture


def main(
    out: Annotated[Path, typer.Option(help="Folder for config.json, model.safetensors and log.jsonl.")],
    real: Annotated[Path | None, typer.Option(help="Folder of real motion; none trains on generated animals.")] = None,
    preset: Annotated[str, typer.Option(help="small, small-causal, base or large.")] = "small",
    look_ahead: Annotated[
        str | None,
        typer.Option(
            help="Frames to the right that a motion layer attends, and how often: '0:4 8:2' trains for two delays."
        ),
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 24,
    clips: Annotated[int, typer.Option(help="Clips of each of the 4 skeletons in a batch.")] = 6,
    start: Annotated[str | None, typer.Option(help="Checkpoint to start from, by name or folder.")] = None,
    rate: Annotated[float, typer.Option(help="Peak of the learning rate.")] = 1e-3,
    real_share: Annotated[float, typer.Option(help="Share of real motion.")] = 0.45,
    human: Annotated[float, typer.Option(help="Weight of human motion; the others sum to 6.5.")] = 5.0,
    people: Annotated[float, typer.Option(help="Weight of generated people; the other families sum to 15.8.")] = 3.0,
    recombined: Annotated[float, typer.Option(help="Share of real clips with a part of another's body.")] = 0.0,
    clean: Annotated[float, typer.Option(help="Share of clips without detector-like faults.")] = 0.15,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = 9000,
    seed: Annotated[int, typer.Option(help="Of weights and data.")] = 0,
    name: Annotated[str | None, typer.Option(help="What results say they were lifted with; the preset.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that make data.")] = 1,
    bfloat16: Annotated[bool, typer.Option(help="Linear layers in bfloat16.")] = True,
    compiled: Annotated[bool, typer.Option(help="Through torch.compile.")] = True,
) -> None:
    """Train a lifter and save the average of its weights."""
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    if start is None:
        lifter = Lifter(LifterConfig.preset(preset))
    else:
        lifter = Lifter.from_pretrained(start).with_window(LifterConfig.preset(preset).window)
    lifter.name = name or preset
    weights = {**REAL_WEIGHTS, "human_cmu": human}
    mixture = Mixture(
        seed=seed,
        frames=frames,
        clips=clips,
        real=real,
        real_share=real_share,
        real_weights=weights,
        recombined=recombined,
        families={**WEIGHTS, "human": people},
        corruption=Corruption(clean=clean),
        hops=lifter.config.hops,
    )
    schedule = Schedule(steps=steps, learning_rate=rate, bfloat16=bfloat16, look_ahead=_shares(look_ahead))
    average = train(lifter, mixture.loader(workers), schedule, out, compiled=compiled)
    average.save_pretrained(out)


def _shares(text: str | None) -> dict[int, float] | None:
    """'0:4 8:2' as {0: 4.0, 8: 2.0}."""
    if text is None:
        return None
    try:
        pairs = [pair.split(":") for pair in text.split()]
        return {int(frames): float(share) for frames, share in pairs}
    except ValueError:
        raise typer.BadParameter(f"--look-ahead must be like '0:4 8:2', got {text!r}") from None


if __name__ == "__main__":
    typer.run(main)
