"""The Triton operations as a package of their own, in the layout of the Hugging Face kernel hub.

``python packaging/kernel_repo.py build/kernel-repo``, or ``make kernel-repo``. The modules are those of
`olift_fast.ops`, found by following imports from `ROOTS`, with relative imports: nothing is kept twice in the
repository. In the folder:

- ``build.toml``, ``flake.nix``, ``torch-ext/olift_fast_kernels/``: the sources, as ``kernel-builder`` takes them (its
  form for kernels in Python alone, ``torch-noarch``). It adds ``_ops.py``, which names the operations' namespace.
- ``build/torch-cuda/`` and ``build/torch-cpu/``: the same as the library ``kernels`` loads it, with ``_ops.py`` and
  ``metadata.json``.
- ``README.md``: the card.

https://huggingface.co/docs/kernels/builder/writing-kernels, https://huggingface.co/docs/kernels/kernel-requirements
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
OWN = HERE / "kernel_repo_files"
PACKAGE, NAME, VERSION = "olift_fast", "olift-fast-kernels", 0
MODULE = NAME.replace("-", "_")
BACKENDS = ("cpu", "cuda")
LICENSE = "Apache-2.0"
OPS = f"{PACKAGE}.ops"
ROOTS = [
    f"{OPS}.{name}"
    for name in ("banded_attention", "banded_attention_step", "joint_attention", "rff", "token_block", "warmup")
]
ALONE = {f"{PACKAGE}.reference": "reference", f"{PACKAGE}.runtime.asked_backend": "asked_backend"}
"""The modules from outside of `olift_fast.ops` that go into the package, and what they are called there."""
REPLACED = f"{OPS}.native_module"
"""The one module that is not copied: `kernel_repo_files` has one of its name, which says that there are none."""
_NAMESPACE = re.compile(r'^NAMESPACE = "\w+"$', flags=re.MULTILINE)


def write(out: Path, repo: str | None = None) -> Path:
    """Write the repository into the folder `out`, in place of one that this function has written there before.

    Args:
        out: the folder.
        repo: "owner/name" on the Hub, for ``build.toml`` and the card.

    Raises:
        ValueError: a module imports what such a package can't have, or `out` is a folder of something else.
    """
    sources = dict(sorted(_sources().items()))
    if out.exists() and any(out.iterdir()) and not (out / "build.toml").is_file():
        raise ValueError(f"{out}: is a folder with other files, wanted a new one or one that this program has written")
    shutil.rmtree(out, ignore_errors=True)
    digest = hashlib.sha256("".join(f"{path}\0{text}\0" for path, text in sources.items()).encode()).hexdigest()
    _write_all(out / "torch-ext" / MODULE, sources)
    for backend in BACKENDS:
        name = f"_{MODULE}_{backend}_{digest[:10]}"
        built = sources | {"_ops.py": _own("_ops.py").replace("@ID@", name)}
        folder = out / "build" / f"torch-{backend}"
        _write_all(folder, built)
        (folder / "metadata.json").write_text(json.dumps(_metadata(name, backend, built), indent=2) + "\n")
    values = {"@NAME@": NAME, "@VERSION@": str(VERSION), "@REPO@": repo or f"OWNER/{NAME}", "@MODULE@": MODULE}
    for name in ("build.toml", "flake.nix", "README.md"):
        text = _own(f"{name}.template")
        for key, value in values.items():
            text = text.replace(key, value)
        (out / name).write_text(text, encoding="utf-8")
    shutil.copyfile(REPOSITORY / "LICENSE", out / "LICENSE")
    return out


def _sources() -> dict[str, str]:
    """The package's modules by their path in it."""
    found: dict[str, str] = {}
    waiting = [*ROOTS]
    while waiting:
        module = waiting.pop()
        path = _path_in_package(module)
        if path in found:
            continue
        text = _file_of(module).read_text(encoding="utf-8")
        found[path] = _rewritten(text, module)
        waiting += [imported for _, imported in _imports(text, module) if imported != REPLACED]
    for own in ("__init__.py", "native_module.py"):
        found[own] = _own(own)
    return found


def _file_of(module: str) -> Path:
    """The file of a module of this repository."""
    folder = REPOSITORY.joinpath(*module.split("."))
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def _path_in_package(module: str) -> str:
    """Where a module goes: that of `olift_fast.ops.rff.native` is ``rff/native.py``.

    Raises:
        ValueError: it is neither an operation's nor one of `ALONE`, so the package must not need it.
    """
    inner = ALONE.get(module) or module.removeprefix(f"{OPS}.")
    if inner == module:
        raise ValueError(f"{module}: is needed by the kernels, but is not one of the modules of {OPS}")
    return f"{inner.replace('.', '/')}{'/__init__' if _file_of(module).name == '__init__.py' else ''}.py"


def _imports(text: str, module: str) -> Iterator[tuple[ast.ImportFrom, str]]:
    """The imports of modules of this repository, within functions too, and the modules that they load."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == PACKAGE for alias in node.names):
            raise ValueError(f"{module}: must import by `from … import`, got line {node.lineno}")
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.split(".")[0] == PACKAGE:
            if node.level:
                raise ValueError(f"{module}: must import by whole names, got a relative import in line {node.lineno}")
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            loaded = [name for name in inner if _file_of(name).is_file()]
            yield from ((node, name) for name in loaded or [node.module])


def _rewritten(text: str, module: str) -> str:
    """The module with relative imports, and operations in the namespace that ``_ops.py`` names."""
    depth = len(Path(_path_in_package(module)).parts)
    lines = text.splitlines(keepends=True)
    for node, _ in _imports(text, module):
        assert node.module is not None
        inner = "" if node.module in (PACKAGE, OPS) else ALONE.get(node.module) or node.module.removeprefix(f"{OPS}.")
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line.replace(f"from {node.module} import", f"from {'.' * depth}{inner} import")
    made = "".join(lines).replace(f"{PACKAGE}.reference.", "reference.")
    if _NAMESPACE.search(made) is None:
        return made
    last = [node for node in ast.parse(made).body if isinstance(node, ast.Import | ast.ImportFrom)][-1]
    lines = made.splitlines(keepends=True)
    lines.insert(last.end_lineno or last.lineno, "\nfrom ._ops import add_op_namespace_prefix\n")
    return _NAMESPACE.sub('NAMESPACE = add_op_namespace_prefix("").removesuffix("::")', "".join(lines))


def _metadata(name: str, backend: str, files: dict[str, str]) -> dict[str, object]:
    """What the library ``kernels`` reads of a build: its name in ``sys.modules``, and a hash of each file."""
    hashes = {path: hashlib.sha256(text.encode()).digest() for path, text in sorted(files.items())}
    return {
        "name": NAME,
        "id": name,
        "version": VERSION,
        "license": LICENSE,
        "python-depends": [],
        "backend": {"type": backend},
        "digest": {
            "algorithm": "sha256",
            "files": {path: base64.b64encode(digest).decode() for path, digest in hashes.items()},
        },
    }


def _write_all(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())


def _own(name: str) -> str:
    return (OWN / name).read_text(encoding="utf-8")


def main() -> int:
    """Writes it where the command line says, and names the folder."""
    parser = argparse.ArgumentParser(description="Write the Triton operations as a repository of the kernel hub.")
    parser.add_argument("out", type=Path, help="the folder")
    parser.add_argument("--repo", help="owner/name on the Hub")
    options = parser.parse_args()
    try:
        print(write(options.out, options.repo))
    except (ValueError, OSError) as error:
        print(f"kernel_repo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
