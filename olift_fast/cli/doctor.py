"""`olift doctor`: what is installed, which backends can run, and why the others can't."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

import typer

from olift_fast._version import __version__
from olift_fast.cli.console import print_json, reported
from olift_fast.cli.options import Debug, Json
from olift_fast.errors import plural, printable

if TYPE_CHECKING:
    from olift_fast.ops.backends import Backend

EXTRAS = {
    "io": {"movement": "movement", "sleap-io": "sleap_io", "pyarrow": "pyarrow", "ezc3d": "ezc3d"},
    "view": {"plotly": "plotly"},
    "smooth": {"scipy": "scipy"},
    "video": {"opencv-python-headless": "cv2", "imageio-ffmpeg": "imageio_ffmpeg", "pillow": "PIL"},
    "stream": {"viser": "viser", "websockets": "websockets"},
    "train": {"lightning-fabric": "lightning_fabric", "tensorboard": "tensorboard"},
    "export": {"onnx": "onnx", "onnxscript": "onnxscript"},
    "archive": {"aiohttp": "aiohttp", "fsspec": "fsspec"},
    "ray": {"ray": "ray"},
    "hub": {"huggingface-hub": "huggingface_hub"},
    "bench": {"matplotlib": "matplotlib"},
}
"""The packages that each extra of `pyproject.toml` installs, and the modules by which they are found."""
# "reference" is the old name of "eager".
BACKENDS: tuple[Backend, ...] = ("eager", "reference", "native", "cuda", "triton")
PACKAGES = ("torch", "numpy", "safetensors", "h5py", "typer", "rich", "triton")


@reported
def doctor(
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what is installed, which backends can run, and why the others can't.

    Exit code 0 if files can be lifted, 1 if not.

    [bold]Examples[/bold]
      olift doctor
      olift doctor --json | jq .backends
    """
    findings = examine()
    if as_json:
        print_json(findings)
    else:
        for line in _lines(findings):
            typer.echo(_colored(printable(line)))
    if not findings["ok"]:
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """The content of `olift doctor --json`."""
    findings: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": {name: _installed(name) for name in PACKAGES},
        "extras": {
            extra: dict(_found(name, module) for name, module in needs.items()) for extra, needs in EXTRAS.items()
        },
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith("OLIFT_")},
    }
    from olift_fast.model.checkpoints import SHIPPED, shipped
    from olift_fast.runtime.threads import thread_count

    checkpoints = [
        {"name": name, "megabytes": round((SHIPPED / name / "model.safetensors").stat().st_size / 1e6, 2)}
        for name in shipped()
    ]
    missing, threads, native = _why_no_torch(), thread_count(), _native()  # torch first: the others follow it
    problems = [] if checkpoints else ["no checkpoint is installed: `olift lift` needs --model FOLDER"]
    if missing and not native["available"]:
        problems.append(f"nothing can lift: {missing}, and {native['why']}")
    return findings | {
        "torch": missing,
        "threads": threads,
        "cuda": {"available": False, "why": missing} if missing else _cuda(),
        "native": native,
        "backends": dict.fromkeys(BACKENDS, missing) | {"native": native.get("why")} if missing else _backends(),
        "checkpoints": checkpoints,
        "problems": problems,
        "ok": not problems,
    }


def _why_no_torch() -> str | None:
    """Why torch can't be imported; None if it can."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        return f"torch cannot be imported: {' '.join(str(error).split())}"
    return None


def _found(package: str, module: str) -> tuple[str, str | None]:
    """The package that a module belongs to, and its version; the version is None if the module is missing.

    Another package may have the same module: opencv-python instead of opencv-python-headless.
    """
    if importlib.util.find_spec(module) is None:
        return package, None
    if version := _installed(package):
        return package, version
    from importlib.metadata import packages_distributions

    for other in packages_distributions().get(module, ()):
        return other, _installed(other)
    return package, "of unknown version"


def _installed(package: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cuda() -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        return {
            "available": False,
            "why": "this torch is built without CUDA" if torch.version.cuda is None else "no GPU",
        }
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"available": True, "version": torch.version.cuda, "devices": names}


def _native() -> dict[str, Any]:
    from olift_fast.runtime.native_module import native_module, why_not_native

    module = native_module()
    return {"available": False, "why": why_not_native()} if module is None else {"available": True, **module.info()}


def _backends() -> dict[str, str | None]:
    """For each backend, why it can't run here; None if it can."""
    from olift_fast.ops.backends import why_not

    return {name: why_not(name) for name in BACKENDS}


_COLORS = {"✓": typer.colors.GREEN, "✗": typer.colors.YELLOW}


def _colored(line: str) -> str:
    """The line with its tick or cross, if it begins with one, in color."""
    mark = line.strip()[:1]
    return line.replace(mark, typer.style(mark, fg=_COLORS[mark]), 1) if mark in _COLORS else line


def _lines(findings: dict[str, Any]) -> list[str]:
    """The findings as lines: a tick for each part that is there, the reason for each that is not."""
    good, bad = _COLORS
    lines = [f"olift {findings['version']}, Python {findings['python']}, {findings['platform']}"]
    lines.append("  " + ", ".join(f"{name} {version}" for name, version in findings["packages"].items() if version))
    lines.append(f"  {plural(findings['threads'], 'thread')} on {plural(findings['cores'], 'core')}")
    lines.append("backends")
    for name, why in findings["backends"].items():
        if name == "reference":
            continue
        detail = f": {why}" if why else ""
        if name == "native" and not why:
            native = findings["native"]
            faster = [dtype for dtype in ("bfloat16", "int16") if native[dtype]]
            simd = f"{native['simd']} with {' and '.join(faster)}" if faster else native["simd"]
            detail = f": {simd}, {'OpenMP' if native['openmp'] else 'threads of its own'}"
            detail += f", CUDA {native['cuda_arch']}" if native["cuda"] else ", without CUDA"
        lines.append(f"  {bad if why else good} {name}{detail}")
    cuda = findings["cuda"]
    gpu = ", ".join(cuda["devices"]) if cuda["available"] else cuda["why"]
    lines.append(f"  {good if cuda['available'] else bad} GPU: {gpu}")
    lines.append("extras")
    for extra, packages in findings["extras"].items():
        missing = [name for name, version in packages.items() if version is None]
        have = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
        hint = f"pip install 'olift-fast[{extra}]' brings {', '.join(missing)}"
        lines.append(
            f"  {bad if missing else good} {extra}: " + "; ".join(filter(None, [have, hint if missing else ""]))
        )
    lines.append("checkpoints")
    for checkpoint in findings["checkpoints"]:
        lines.append(f"  {good} {checkpoint['name']}: {checkpoint['megabytes']:g} MB")
    lines += [f"  {bad} {problem}" for problem in findings["problems"]]
    return lines
