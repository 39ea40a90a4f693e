"""`olift finetune`: a shipped checkpoint, taught one's own animals from a few clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from olift_fast.cli.console import reported
from olift_fast.cli.evaluate import print_scores, shown
from olift_fast.cli.options import Debug, ModelName
from olift_fast.cli.train import watching
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
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 600,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Goes before the recipe's value, as in olift train; can be repeated.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,
    debug: Debug = False,
) -> None:
    """Teach a checkpoint your own animals from a few recorded clips, and score both on clips that were held out.

    The last fifth of each recording is never trained on: it tells whether it was worth it. docs/data.md has what an
    .npz holds. Needs the extra train.

    [bold]Examples[/bold]
      olift finetune recordings --out mine
      olift finetune recordings --out mine --model small-causal --steps 2000
      olift finetune recordings --out mine --set data.real_share=0.5
    """
    from olift_fast.model import Lifter
    from olift_fast.train import fit, load_config
    from olift_fast.train.evaluate import Method, flat, lifted_by, score
    from olift_fast.train.held_out import held_out
    from olift_fast.train.memory import keep_freed_memory

    motion = data / "motion3d"
    if not any(motion.glob("*.npz")):
        raise InputError(f"{data}: must hold recordings in motion3d/, found none")
    given = {"model.start": model, "data.real": str(motion), "run.out": str(out), "schedule.steps": steps}
    written = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items()]
    config = load_config("finetune", [*written, *(changes or ())])
    keep_freed_memory()
    with watching(config) as watch:
        lifter = fit(config, resume=resume, watch=watch)
    methods: dict[str, Method] = {"flat guess": flat}
    for name, each in ((model, Lifter.from_pretrained(model)), (str(out), lifter)):
        methods[shown(name, [model, str(out)])] = lifted_by(each)
    print_scores(
        [
            score(source, clips, name, method, lifter.config.hops)
            for source, clips in held_out(data, noise=True, paired=False).items()
            for name, method in methods.items()
        ]
    )
    typer.echo(f"trained: {out}; olift lift FILE --model {out}")
