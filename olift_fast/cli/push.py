"""`olift push`: put a checkpoint on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from olift_fast.cli.checks import check_input
from olift_fast.cli.console import print_json, reported, say
from olift_fast.cli.options import Debug, Json


@reported
def push(
    model: Annotated[str, typer.Argument(help="Checkpoint: a shipped name or a folder.", show_default=False)],
    repo: Annotated[
        str,
        typer.Argument(help="owner/name on the Hub; created if missing.", show_default=False, metavar="OWNER/NAME"),
    ],
    card: Annotated[
        Path | None,
        typer.Option(
            "--card",
            help="The model card, in Markdown; by default the README.md of MODEL's folder, or else a short card.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    license: Annotated[
        str | None, typer.Option("--license", help="License for the card's metadata: apache-2.0, …", show_default=False)
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", help="The branch; main by default.", show_default=False)
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="The commit message.", show_default=False)
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Put a checkpoint on the Hub: config.json, model.safetensors and the model card, in one commit.

    Log in first: `hf auth login`, or set HF_TOKEN. It needs the extra hub.

    [bold]Examples[/bold]
      olift push mine me/mouse --license apache-2.0
      olift push mine me/mouse --card mouse.md --private
      olift lift clip.csv --model me/mouse
    """
    from olift_fast.model.checkpoints import Publication, read_card
    from olift_fast.model.checkpoints import push as put

    if card is not None:
        check_input(card)
    text = None if card is None else read_card(card)
    how = Publication(card=text, license=license, private=private, revision=revision, message=message)
    url = put(model, repo, how)
    if as_json:
        print_json({"model": repo, "commit": url})
    else:
        say(f"pushed: {url}; olift lift FILE --model {repo}{'' if revision is None else f'@{revision}'}")
