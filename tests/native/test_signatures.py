"""The stub `_native.pyi` says what the compiled module has: each function, its parameters and their types."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from native_calls import module

import olift_fast

# What pybind11 takes for a number.
INT, FLOAT = (f"typing.Supports{kind} | typing.SupportsIndex" for kind in ("Int", "Float"))
STUB = Path(olift_fast.__file__).with_name("_native.pyi")


def in_stub() -> dict[str, str]:
    functions = [node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.FunctionDef)]
    return {
        f.name: ", ".join(f"{a.arg}: {ast.unparse(a.annotation)}" for a in f.args.args if a.annotation is not None)
        for f in functions
    }


def in_module() -> dict[str, str]:
    """pybind11 writes a function's signature into the first line of its docstring."""
    found = {}
    for name, function in vars(module()).items():
        if callable(function):
            parameters = re.match(rf"{name}\((.*)\) -> ", function.__doc__)
            assert parameters is not None, name
            found[name] = parameters[1].replace(INT, "int").replace(FLOAT, "float")
    return found


def test_stub_and_module_agree() -> None:
    stub, compiled = in_stub(), in_module()
    cuda = {"procrustes_cuda", "procrustes_workspace"}
    assert set(compiled) | cuda == set(stub)
    assert {name: stub[name] for name in compiled} == compiled
