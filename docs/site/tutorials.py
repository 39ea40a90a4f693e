"""A hook of mkdocs: the tutorials run when the site is built, and their pages show what came out.

A tutorial is a Markdown file in docs/tutorials/. Its ``python`` and ``bash`` blocks are the cells of a notebook, which
jupytext reads and nbclient executes, in a folder that holds a copy of docs/tutorials/data/. An error in a cell is an
error of the build. Beside the page stand the notebook, to download, and the web pages that its cells wrote.

What came out is kept in build/tutorials/, until a block, the data or the package changes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "docs/tutorials/data"
KEPT = ROOT / "build/tutorials"
SECONDS = 1800
"""For one cell: it guards against what never ends. A tutorial is written to take less than a minute."""
FENCE = re.compile(r"^```(python|bash)\n([\s\S]*?)^```\n", flags=re.MULTILINE)
COLORS = re.compile(r"\x1b\[[0-9;]*m")
KERNEL = """---
jupyter:
  kernelspec: { name: python3, display_name: Python 3, language: python }
---

"""


def on_files(files: Files, config: Any) -> Files:
    """Runs the tutorials, and adds what they wrote."""
    for file in filter(is_tutorial, list(files.documentation_pages())):
        made = run_once(ROOT / "docs" / file.src_uri)
        for path in sorted(made.iterdir()):
            source = f"tutorials/{path.name}" if path.suffix == ".ipynb" else f"{folder_of(file)}/{path.name}"
            files.append(File.generated(config, source, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Puts what came out below each block."""
    if not is_tutorial(page.file):
        return markdown
    name = Path(page.file.src_uri).stem
    path = run_folder(ROOT / "docs" / page.file.src_uri) / f"{name}.ipynb"
    cells = enumerate(code_cells(nbformat.read(path, as_version=4)))
    shown = FENCE.sub(lambda block: block[0] + "\n".join(outputs(*next(cells), name)), markdown)
    title, rest = shown.split("\n", 1)
    buttons = [f"[This page as a notebook]({path.name}){{ .md-button download }}"]
    buttons += [f"[{made.name}]({name}/{made.name}){{ .md-button }}" for made in sorted(path.parent.glob("*.html"))]
    return f"{title}\n\n{' '.join(buttons)}\n{rest}"


def is_tutorial(file: File) -> bool:
    """Whether a page of the site is one of docs/tutorials/, and not their list."""
    return bool(re.fullmatch(r"tutorials/(?!index)\w+\.md", file.src_uri))


def run_once(page: Path) -> Path:
    """The folder with the executed notebook and all that its cells wrote for the page."""
    folder = run_folder(page)
    if folder.exists():
        return folder
    notebook = jupytext.reads(KERNEL + page.read_text(encoding="utf-8"), fmt="md")
    with tempfile.TemporaryDirectory() as scratch:
        here, made = Path(scratch) / "work", Path(scratch) / "made"
        shutil.copytree(DATA, here)
        made.mkdir()
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        where = {"metadata": {"path": str(here)}}
        # Over files and not over ports, which others on the machine could reach.
        over = Config(KernelManager={"transport": "ipc", "connection_file": f"{scratch}/kernel.json"})
        NotebookClient(notebook, config=over, timeout=SECONDS, startup_timeout=SECONDS, resources=where).execute()
        nbformat.write(notebook, made / f"{page.stem}.ipynb")
        for number, cell in enumerate(code_cells(notebook)):
            for place, picture in pictures(cell):
                (made / f"{number}-{place}.png").write_bytes(base64.b64decode(picture))
        for path in here.glob("*.html"):
            shutil.copy(path, made)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, folder)
    return folder


def run_folder(page: Path) -> Path:
    """Where a run of this page is kept: the same name only while its blocks, the data and the package are the same."""
    digest = hashlib.sha256(repr(FENCE.findall(page.read_text(encoding="utf-8"))).encode())
    for path in sorted([*DATA.rglob("*"), *(ROOT / "olift_fast").rglob("*")]):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return KEPT / f"{page.stem}-{digest.hexdigest()[:16]}"


def code_cells(notebook: Any) -> list[Any]:
    """One for each block that FENCE finds."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(cell: Any) -> Iterator[tuple[int, str]]:
    """The pictures among a cell's outputs, and their places there."""
    for number, output in enumerate(cell.outputs):
        if "image/png" in output.get("data", {}):
            yield number, output.data["image/png"]


def outputs(number: int, cell: Any, folder: str) -> Iterator[str]:
    """What a cell printed, returned and drew, in Markdown."""
    printed = [output for output in cell.outputs if "image/png" not in output.get("data", {})]
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in printed]
    if text := COLORS.sub("", "".join(texts)).rstrip():
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        # A table keeps its lines, and scrolls; sentences break.
        kind = "table" if "──" in lines else "sentences"
        yield f"\n```{{ .text .output .{kind} }}\n{lines}\n```\n"
    for place, _ in pictures(cell):
        yield f"\n![what the block draws]({folder}/{number}-{place}.png)\n"


def folder_of(file: File) -> str:
    """The folder of a tutorial's files in the site."""
    return file.src_uri.removesuffix(".md")
