"""How the package's modules import each other, and that importing the package loads nothing heavy."""

from __future__ import annotations

import ast
import functools
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "olift_fast"
ROOT = PACKAGE.name

# A part of the package may import its own modules and those of lower layers.
LAYERS = {
    "_version": 0,
    "camera_views": 0,
    "child_processes": 0,
    "errors": 0,
    "lazy": 0,
    "reference": 0,
    "renamed": 0,
    "stages": 0,
    "atomic": 1,
    "folder_lock": 2,
    "odd_files": 1,
    "tracks": 1,
    "runtime": 1,
    "ops": 2,
    "bodies": 2,
    "data": 2,
    "finishing": 3,
    "nn": 3,
    "model": 4,
    "io": 4,
    "view": 4,
    "world": 2,
    "train": 5,
    "streaming": 5,
    "archive": 6,
    "cli": 7,
}
# All that these parts may import of the package, apart from themselves.
LOWER_HALF = ("bodies", "data", "io", "runtime", "view", "world")
BELOW_LOWER_HALF = {"_version", "atomic", "child_processes", "errors", "lazy", "odd_files", "renamed", "tracks"}
NUMPY_ONLY = ("errors", "tracks", "bodies", "data", "io", "runtime", "view", "world")
# Of the parts above them that lift without torch where they can, the modules that need it.
LIFT_WITHOUT_TORCH = ("model", "streaming", "archive", "cli")
NEED_TORCH = {
    *(f"model.{name}" for name in ("devices", "export", "lifter", "onnx_file", "traceable")),
    *(f"streaming.{name}" for name in ("staging", "steps_modules")),
}

# The eager backend of these operations is the reference itself. Everything else computes by its own code, so that a
# test against the reference compares two implementations.
MAY_IMPORT_REFERENCE = {f"{ROOT}.ops.{operation}.eager" for operation in ("layers", "procrustes", "rff", "token_block")}


class Import(NamedTuple):
    """What another module imports: `name` of `module`, or, where it is None, the module itself; and as what."""

    module: str
    name: str | None
    bound: str


def package_modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; a package's name stands for its ``__init__``."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = package_modules()


def part(module: str) -> str:
    """The part of the package that a module belongs to: "ops" for ``olift_fast.ops.rff.native``."""
    return module.split(".")[1] if "." in module else ""


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes, those within functions too, but for what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from nodes(node)


@functools.cache
def imports(module: str) -> tuple[Import, ...]:
    """What a module imports of this package, wherever in the file."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, None, alias.asname or alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, (base, node.module)))
            for alias in node.names:
                inner, bound = f"{base}.{alias.name}", alias.asname or alias.name
                found.append(Import(inner, None, bound) if inner in MODULES else Import(base, alias.name, bound))
    return tuple(one for one in found if one.module.split(".")[0] == ROOT)


def imported_parts(module: str) -> set[str]:
    """The parts of this package that a module imports, and what it imports of the package itself."""
    return {part(one.module) or one.name or "" for one in imports(module)}


def private_uses(module: str) -> Iterator[str]:
    """What a module takes from other parts of the package although its name starts with an underscore."""
    modules = set()
    for one in imports(module):
        if part(one.module) == part(module):
            continue
        names = [*one.module.split(".")[1:], *([one.name] if one.name else [])]
        if any(is_private(name) for name in names):
            yield ".".join(names)
        if one.name is None:
            modules.add(one.bound)
    for node in nodes(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in modules and is_private(node.attr):
            yield ast.unparse(node)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in ("_native", "_version")


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in sorted(edges[module]):
            if other not in order:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], order[other])
        if lowest[module] == order[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in edges:
        if module not in order:
            visit(module)
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) in LAYERS])
def test_imports_run_downward(module: str) -> None:
    own = part(module)
    for other in imported_parts(module) - {own, "", "_native", "__version__"}:
        assert LAYERS[other] < LAYERS[own], f"{own} must not import {other}"


def test_every_part_has_its_layer() -> None:
    assert {part(module) for module in MODULES} - {"", "__main__"} == set(LAYERS)


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) in LOWER_HALF])
def test_lower_half_imports_only_what_lies_below(module: str) -> None:
    """Imports within functions count, too: they would load torch at the first call."""
    assert imported_parts(module) <= BELOW_LOWER_HALF | {part(module)}


def test_no_modules_import_each_other() -> None:
    """Imports within functions count, too: they only hide a circle."""
    edges = {module: {one.module for one in imports(module)} & set(MODULES) - {module} for module in MODULES}
    assert circles(edges) == []


def test_a_circle_is_found() -> None:
    edges = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": set(), "f": {"e", "a"}}
    assert circles(edges) == [["a", "b", "c"]]


@pytest.mark.slow
def test_private_names_stay_within_their_part() -> None:
    assert {module: taken for module in MODULES if (taken := sorted(private_uses(module)))} == {}


def test_private_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        "from olift_fast import reference as oracle\n"
        "from olift_fast.nn.attention import _copy\n"
        "oracle._centred, oracle.__name__, oracle.centre\n"
        "def later():\n"
        "    from olift_fast.ops.checks import _hidden\n"
    )
    monkeypatch.setitem(MODULES, "olift_fast.nn.made_for_a_test", source)
    assert sorted(private_uses("olift_fast.nn.made_for_a_test")) == ["ops.checks._hidden", "oracle._centred"]


def test_reference_imports_nothing_of_the_project() -> None:
    assert imports(f"{ROOT}.reference") == ()


def test_only_eager_backends_import_the_reference() -> None:
    users = {module for module in MODULES if "reference" in imported_parts(module)}
    assert users - MAY_IMPORT_REFERENCE == set()


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sorted(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_importing_the_package_loads_neither_torch_nor_numpy() -> None:
    assert not {"torch", "numpy"} & loaded_after("import olift_fast")


@pytest.mark.slow
def test_reading_drawing_and_the_command_line_do_without_torch() -> None:
    modules = ", ".join(f"olift_fast.{name}" for name in (*NUMPY_ONLY, "cli"))
    assert "torch" not in loaded_after(f"import {modules}")


@pytest.mark.slow
def test_lifting_does_without_torch() -> None:
    above = [name for name in MODULES if part(name) in LIFT_WITHOUT_TORCH]
    needless = [name for name in above if name.removeprefix(f"{ROOT}.") not in NEED_TORCH]
    assert len(above) - len(needless) == len(NEED_TORCH)
    assert "torch" not in loaded_after(f"import {', '.join(needless)}")


@pytest.mark.slow
def test_a_live_stream_does_without_what_reads_files(tmp_path: Path) -> None:
    """Its start is waited for."""
    (tmp_path / "skeleton.json").write_text('{"names": ["nose", "neck", "tail"], "edges": [[0, 1], [1, 2]]}')
    code = (
        "import sys; from olift_fast.cli import app; "
        f"app(['stream', '--skeleton', {str(tmp_path / 'skeleton.json')!r}], standalone_mode=False); "
        "print(*sorted(sys.modules))"
    )
    line = '{"keypoints": [[1, 2], [5, 3], [9, 2]]}\n'
    done = subprocess.run([sys.executable, "-c", code], input=line, check=True, capture_output=True, text=True)
    answer, *rest = done.stdout.splitlines()
    assert '"joints"' in answer
    assert not {"torch", "h5py", "yaml", "numpy.ma", f"{ROOT}.io"} & set(rest[-1].split())


@pytest.mark.parametrize("package", [ROOT, f"{ROOT}.model", f"{ROOT}.streaming"])
def test_lazy_names_are_all_there(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonsense'"):
        _ = module.nonsense


def test_listing_lazy_names_loads_nothing() -> None:
    assert not {"torch", "numpy"} & loaded_after("import olift_fast; dir(olift_fast)")
