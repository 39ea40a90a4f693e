"""Imports run downward only, and importing the package loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "olift_fast"

LAYERS = {
    "errors": 0,
    "_version": 0,
    "reference": 0,
    "renamed": 0,
    "tracks": 1,
    "data": 2,
    "ops": 1,
    "nn": 2,
    "model": 3,
    "io": 4,
    "view": 4,
    "train": 5,
    "streaming": 5,
    "cli": 6,
}
NUMPY_ONLY = ("errors", "tracks", "data", "io", "view")


def imported(path: Path) -> set[str]:
    """The parts of this package that a file imports, wherever in the file."""
    package = path.relative_to(PACKAGE.parent).with_suffix("").parts[:-1]
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "olift_fast" else [module]
        parts |= {name.split(".")[1] for name in names if name.startswith("olift_fast.")}
    return parts


def sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in LAYERS]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for part in imported(path) - {own, "_native", "__version__"}:
        assert LAYERS[part] < LAYERS[own], f"{own} must not import {part}"


def test_reference_imports_nothing_of_the_project() -> None:
    assert imported(PACKAGE / "reference.py") == set()


def test_every_part_has_its_layer() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix in (".py", "") and path.name != "__pycache__"}
    assert parts - {"__init__", "__main__", "checkpoints", "py"} <= set(LAYERS)


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sorted(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_importing_the_package_loads_neither_torch_nor_numpy() -> None:
    assert not {"torch", "numpy"} & loaded_after("import olift_fast")


def test_reading_drawing_and_the_command_line_do_without_torch() -> None:
    modules = ", ".join(f"olift_fast.{name}" for name in (*NUMPY_ONLY, "cli"))
    assert "torch" not in loaded_after(f"import {modules}")


def test_lazy_names_are_all_there() -> None:
    import olift_fast

    assert all(getattr(olift_fast, name) is not None for name in olift_fast.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = olift_fast.nonsense
