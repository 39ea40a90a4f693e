"""Builds the page that lifts in the browser: `python docs/try/build.py build/try`, which `make try` runs.

The page's own sources are copied; what others made comes from npm, as docs/try/package-lock.json says; what the Python
package knows by heart (words, built-in skeletons, the viewer, the model) is written down by this file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MOST_MEGABYTES = 25
EXAMPLE = 17
"""The seed of the example: the animal of `olift demo`."""
VENDORED = {
    "onnxruntime-web": ("ort.wasm.min.mjs", "ort.webgpu.min.mjs"),
    "h5wasm": ("hdf5_hl.js", "hdf5_util.js", "file_handlers.js"),
}
# Compiled code is packed: the page unpacks it, whatever the server can do. The first is for processors alone.
COMPILED = ("ort-wasm-simd-threaded", "ort-wasm-simd-threaded.asyncify")


def main() -> None:
    """Builds the page into a folder, or prints its tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="is replaced")
    parser.add_argument("--tables", action="store_true", help="print the tables as JSON, and build nothing")
    parser.add_argument("--model", type=Path, help="an exported model to take, in place of exporting `small`")
    given = parser.parse_args()
    if given.tables:
        json.dump(tables(), sys.stdout)
    elif given.folder is None:
        parser.error("wanted a folder to build into, or --tables")
    else:
        build(given.folder, given.model)


def build(folder: Path, model: Path | None = None) -> None:
    """Builds the page beside `folder`, and puts it there once it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".try-") as temporary:
        page = Path(temporary) / "page"
        page.mkdir()
        for source in (HERE / "index.html", HERE / "style.css", *sorted((HERE / "src").glob("*.js"))):
            shutil.copy(source, page)
        (page / "tables.json").write_text(json.dumps(tables(), separators=(",", ":")), encoding="utf-8")
        _write_viewer(page / "viewer.html")
        _write_example(page / "example.csv")
        _write_model(page, model)
        _vendor(page / "vendor")
        size = sum(file.stat().st_size for file in page.rglob("*") if file.is_file()) / 1e6
        if size > MOST_MEGABYTES:
            raise SystemExit(f"the page has {size:.1f} MB, wanted at most {MOST_MEGABYTES}")
        if folder.exists():
            shutil.rmtree(folder)
        page.chmod(0o755)
        page.rename(folder)
    print(f"built {folder}: {size:.1f} MB")


def tables() -> dict[str, Any]:
    """What the page's script takes from the Python package."""
    from olift_fast import __version__
    from olift_fast.io.point_sets import PEOPLE
    from olift_fast.io.readers.openpose import RIGS
    from olift_fast.tracks import body_parts as words
    from olift_fast.tracks.draft import ENOUGH_JOINED
    from olift_fast.tracks.rigs import rig, rig_names
    from olift_fast.view.bones import TRACK_COLORS, shades_of
    from olift_fast.view.packing import MISSING

    sets = {
        "limbParts": words.LIMB_PARTS,
        "trunkParts": words.TRUNK_PARTS,
        "empty": words.EMPTY,
        "handles": words.HANDLES,
        "twist": words.TWIST,
    }
    trunk = ("NOSE", "HEAD", "NECK", "CHEST", "SPINE", "PELVIS", "BODY", "ROOT", "TAIL")
    limb = ("WRIST", "HEEL", "PALM", "HAND", "DIGIT")
    skeletons = {name: rig(name) for name in rig_names()}
    # As many tracks as have a color of their own before hues come again.
    tracks = 8 * len(TRACK_COLORS)
    return {
        "version": __version__,
        "words": {
            "meaning": words.MEANING,
            "girdleOf": words.GIRDLE_OF,
            "girdles": words.GIRDLES,
            "positions": words.POSITIONS,
            "joints": words.JOINTS,
            "sides": words.SIDES,
            "limbWords": words.LIMB_WORDS,
            "fins": words.FINS,
            "insect": words.INSECT,
            "lettered": words.LETTERED,
            "vertebrae": words.VERTEBRAE,
            "toes": words.TOES,
            "digits": words.DIGITS,
            **{name.lower(): getattr(words, name) for name in ("FIRST", "MIDDLE", "LAST", "END")},
            "trunk": {name.lower(): getattr(words, name) for name in trunk},
            "limb": {name.lower(): getattr(words, name) for name in limb},
            "sets": {name: sorted(chosen) for name, chosen in sets.items()},
        },
        "rigs": {
            name: {"names": skeleton.names, "edges": skeleton.edges, "sides": skeleton.sides}
            for name, skeleton in skeletons.items()
        },
        "openpose": RIGS,
        "people": PEOPLE,
        "enoughJoined": ENOUGH_JOINED,
        "colors": {theme: [shades_of(index, theme) for index in range(tracks)] for theme in ("light", "dark")},
        "missing": MISSING,
    }


def _write_viewer(path: Path) -> None:
    """The viewer page of `olift view`, in which the script fills in what is shown."""
    from olift_fast.view.html import page_template

    path.write_text(page_template(), encoding="utf-8")


def _write_example(path: Path) -> None:
    """A generated animal as a DeepLabCut table, for visitors without a file."""
    from olift_fast.cli.demo import deeplabcut_table, film

    path.write_text(deeplabcut_table(film(EXAMPLE, 300)), encoding="utf-8")


def _write_model(page: Path, given: Path | None) -> None:
    """The default model with weights of 16 bits, or the file that was given; and what its metadata tell."""
    import onnx

    path = page / "model.onnx"
    if given is not None:
        shutil.copy(given, path)
    else:
        from olift_fast import Lifter
        from olift_fast.model.export import export

        export(Lifter.from_pretrained("small"), path, weights="float16")
    told = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    frames = {name: int(told[f"olift.frames_{name}"]) for name in ("before", "after")}
    facts = {"name": told["olift.name"], "hops": int(told["olift.hops"]), **frames, "check": _example_of(path)}
    (page / "model.json").write_text(json.dumps(facts), encoding="utf-8")


def _example_of(path: Path) -> dict[str, Any]:
    """Keypoints, and the joints that the model gives for them: by these the page sees whether it computes well."""
    import numpy as np
    import onnxruntime

    frames, joints = 20, 5
    keypoints = np.random.default_rng(0).normal(size=(1, frames, joints, 2)).astype(np.float32).round(3)
    given = {
        "keypoints": keypoints,
        "visible": np.ones((1, frames, joints), np.bool_),
        "graph": np.ones((1, joints, joints), np.bool_),
        "sides": np.zeros((1, joints), np.float32),
    }
    (found,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, given)
    lists = {"keypoints": keypoints.ravel().tolist(), "joints": found.ravel().round(6).tolist()}
    return {"T": frames, "J": joints, **{name: [round(value, 6) for value in own] for name, own in lists.items()}}


def _vendor(folder: Path) -> None:
    """What npm brings, of the versions in package-lock.json."""
    folder.mkdir()
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, temporary)
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        subprocess.run(["npm", "ci", *quiet], cwd=temporary, check=True, stdout=subprocess.DEVNULL)
        modules = Path(temporary) / "node_modules"
        for package, names in VENDORED.items():
            own = folder / package
            own.mkdir()
            sources = modules / package / "dist" / ("esm" if package == "h5wasm" else "")
            for name in names:
                shutil.copy(sources / name, own)
            licenses = [file for file in (modules / package).glob("LICENSE*") if file.is_file()]
            for file in licenses:
                shutil.copy(file, own)
        own = folder / "onnxruntime-web"
        for name in COMPILED:
            shutil.copy(modules / "onnxruntime-web" / "dist" / f"{name}.mjs", own)
            code = (modules / "onnxruntime-web" / "dist" / f"{name}.wasm").read_bytes()
            (own / f"{name}.wasm.gz").write_bytes(gzip.compress(code, 9, mtime=0))


if __name__ == "__main__":
    main()
