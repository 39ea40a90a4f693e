"""`olift finetune`: train a checkpoint further, on a few clips of your own animals."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from olift_fast.cli.checks import check_count, check_not_model
from olift_fast.cli.console import reported, say
from olift_fast.cli.evaluate import print_scores, shown
from olift_fast.cli.options import Debug, ModelName
from olift_fast.cli.train import first_process, watching
from olift_fast.errors import InputError


@reported
def finetune(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder with motion3d/: an .npz for each kind of animal.", show_default=False, readable=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the new checkpoint.", show_default=False)],
    model: ModelName = "small",
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = 600,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Replace a value of the recipe, as in olift train; can be repeated.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,
    debug: Debug = False,
) -> None:
    """Teach a checkpoint your own animals from a few clips whose 3D is known, and score both on clips held out.

    The last fifth of each recording is held out, to measure the gain. docs/data.md describes the .npz. Needs the extra
    train.

    [bold]Examples[/bold]
      olift finetune recordings --out mine
      olift finetune recordings --out mine --model small-causal --steps 2000    for live streams
      olift finetune recordings --out mine --set data.real_share=0.5
    """
    check_count("--steps", steps)
    from olift_fast.model import Lifter
    from olift_fast.model.checkpoints import as_model, folder_of, pinned
    from olift_fast.train import fit, load_config
    from olift_fast.train.config import RECIPES
    from olift_fast.train.evaluate import FLAT, Way, check_time_table, flat, lifted_by, score_all
    from olift_fast.train.held_out import held_out
    from olift_fast.train.memory import keep_freed_memory
    from olift_fast.train.toml import as_change

    for key, option in (("model.start", "--model"), ("run.out", "--out"), ("data.real", "DATA")):
        if any(change.split("=")[0].strip() == key for change in changes or ()):
            raise InputError(f"--set {key} must be given as {option}")
    model = pinned(model)
    check_not_model(out, folder_of(model))
    before = Lifter.from_pretrained(model)
    given: dict[str, Any] = {
        "model.start": model,
        "model.name": out.resolve().name,
        "data.real": str(data / "motion3d"),
        "run.out": str(out),
        "schedule.steps": steps,
        "schedule.warmup": min(60, steps // 10),
    }
    if before.config.window[1] == 0:
        # small-causal works with several latencies. Trained with its own window alone, it would forget the others.
        given["schedule.look_ahead"] = load_config(RECIPES / "small-causal.toml").schedule.look_ahead
    # Its inputs (pitch, kinds) and its cameras stay those of its own training.
    known = load_config(RECIPES / "small-all.toml").data
    if before.config.pitch:
        given["data.pitch_told"] = known.pitch_told
        given["data.camera"] = {"views": known.camera.views, "roll": known.camera.roll}
    if before.config.kinds:
        given |= {"data.kinds_told": known.kinds_told, "data.graphs": known.graphs}
    config = load_config(RECIPES / "finetune.toml", [*(as_change(*item) for item in given.items()), *(changes or ())])
    check_time_table(model, before.config)
    clips = held_out(data, noise=True, paired=False)
    keep_freed_memory()
    with watching(config) as watch:
        lifter = fit(config, resume=resume, watch=watch)
    if first_process():
        names = [model, as_model(out)]
        lifters = {shown(name, names): own for name, own in zip(names, (before, lifter.cpu()), strict=True)}
        hops = lifter.config.hops
        ways = {FLAT: Way(flat, hops), **{name: Way(lifted_by(own), hops) for name, own in lifters.items()}}
        print_scores(score_all(clips, ways))
        say(f"trained: {out}; olift lift FILE --model {quote(as_model(out))}")
