"""Looks at what `make wheels` made, and tries it: `python tests/packaging/check_dist.py dist`.

    python tests/packaging/check_dist.py dist --borrow .venv    # dependencies from an environment that is there
    python tests/packaging/check_dist.py dist --look-only       # installs nothing

Each wheel that this Python can install goes into an empty environment, from which no compiler can be reached: the
package is imported, `olift demo` lifts an animal there, and for a wheel with kernels the tests of `tests/native` run.
Prints a line for each file, then one for each fault. The exit code is 1 where there are faults.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from packaging.tags import sys_tags
from packaging.utils import parse_sdist_filename, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 12_000_000
SYSTEM = re.compile(r"lib(c|m|pthread|dl|rt|gcc_s|stdc\+\+)\.so\.\d+|ld-linux.*\.so\.\d+")
"""Libraries that a wheel may ask for: those of every Linux. OpenMP's is none of them: torch brings it."""
IN_WHEELS = (
    "olift_fast/py.typed",
    "olift_fast/_native.pyi",
    "olift_fast/reference.py",
    "olift_fast/checkpoints/small/model.safetensors",
    "olift_fast/checkpoints/small/README.md",
)
SOURCE_TESTS = ("test_arm.py", "test_compile.py", "test_procrustes_cuda.py", "test_procrustes_ptx.py")
"""Tests of the sources, which need them, a compiler or the benchmarks: they are left out."""
REPEATED = "test_every_instruction_set"
"""It runs the other tests again."""
ASK = """
import sys
import olift_fast
early = [name for name in ("torch", "numpy") if name in sys.modules]
from olift_fast.ops.native_module import native_module
print(olift_fast.__file__, olift_fast.__version__, ",".join(early) or "nothing", native_module() is not None, sep="|")
"""


def look(folder: Path) -> list[str]:
    """What is wrong with the files of a folder, a line each; an empty list where nothing is."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if not wheels or len(sdists) != 1:
        return [f"{folder}: wanted one source distribution and wheels, got {len(sdists)} and {len(wheels)}"]
    name, version = parse_sdist_filename(sdists[0].name)
    faults = [fault for wheel in wheels for fault in look_into_wheel(wheel)]
    faults += [
        f"{wheel.name}: wanted {name} {version}, as the source distribution"
        for wheel in wheels
        if parse_wheel_filename(wheel.name)[:2] != (name, version)
    ]
    if sum(wheel.name.endswith("-none-any.whl") for wheel in wheels) != 1:
        faults.append(f"{folder}: wanted one wheel in pure Python (-none-any)")
    return faults + look_into_sdist(sdists[0])


def look_into_wheel(wheel: Path) -> list[str]:
    """What is wrong with a wheel: its size, its tag, what it holds, and what its module asks of a system."""
    tag = wheel.stem.rsplit("-", 1)[-1]
    size = wheel.stat().st_size
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        modules = {name: archive.read(name) for name in names if re.search(r"\.(so|pyd|dylib)(\.|$)", name)}
        metadata = next((archive.read(n).decode() for n in names if n.endswith(".dist-info/METADATA")), "")
    faults = [] if size <= MOST_BYTES else [f"has {size / 1e6:.1f} MB, wanted at most {MOST_BYTES / 1e6:.0f}"]
    faults += [f"lacks {name}" for name in IN_WHEELS if name not in names]
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        faults.append("lacks its license")
    if Parser().parsestr(metadata).get("License-Expression") != "Apache-2.0":
        faults.append("its metadata lacks License-Expression: Apache-2.0")
    strangers = [name for name in names if not name.startswith(("olift_fast/", "olift_fast-"))]
    faults += [f"holds {name}, which is none of the package's" for name in strangers]
    if tag == "any":
        faults += [f"is for any system, and holds {name}" for name in modules]
    else:
        if [name.partition(".")[0] for name in modules] != ["olift_fast/_native"]:
            faults.append(f"wanted one compiled module, olift_fast/_native, got {sorted(modules)}")
        if tag.startswith("linux_"):
            faults.append(f"is for {tag}, this machine's kind; wanted manylinux")
        faults += [fault for name, content in modules.items() for fault in look_into_module(name, content)]
    return [f"{wheel.name}: {fault}" for fault in faults]


def look_into_module(name: str, content: bytes) -> list[str]:
    """What is wrong with a compiled module of Linux: libraries, search paths, symbols that nobody needs."""
    if not content.startswith(b"\x7fELF"):
        return []
    try:
        elf = ELFFile(io.BytesIO(content))
        dynamic = elf.get_section_by_name(".dynamic")
    except ELFError as error:
        return [f"{name} is no whole module of Linux: {error}"]
    if not isinstance(dynamic, DynamicSection):
        return [f"{name} is no module that Linux loads: it has no section .dynamic"]
    faults = []
    for tag in dynamic.iter_tags():
        if tag.entry.d_tag == "DT_NEEDED" and not SYSTEM.fullmatch(tag.needed):
            faults.append(f"{name} asks for {tag.needed}, which not every Linux has")
        if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
            faults.append(f"{name} looks for libraries in a folder of its own")
    if elf.get_section_by_name(".symtab") is not None:
        faults.append(f"{name} is not stripped")
    return faults


def look_into_sdist(sdist: Path) -> list[str]:
    """What is wrong with a source distribution: sources of the kernels, checkpoints and tests must be in it."""
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    folders = ("csrc", "olift_fast", "tests/native", "tests/packaging", "packaging")
    kinds = {".py", ".pyi", ".typed", ".cpp", ".h", ".cu", ".cuh", ".safetensors", ".json", ".toml", ".def", ".yaml"}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in kinds and path.is_file()
    } | {"CMakeLists.txt", "LICENSE", "README.md", "constraints.txt", "pyproject.toml"}
    return [f"{sdist.name}: lacks {name}" for name in sorted(wanted - held)]


def try_out(wheel: Path, place: Path, borrowed: Path | None) -> Iterator[str]:
    """What goes wrong where a wheel is installed into an empty environment at `place`, without a compiler.

    Its dependencies are those of the environment `borrowed`; where that is None, pip installs them.
    """
    wheel = wheel.resolve()
    native = not wheel.name.endswith("-none-any.whl")
    venv.create(place, with_pip=False, clear=True)
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # Nothing is on the path but this environment; the sources are out of reach, too.
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("OLIFT_", "PYTHON", "CC", "CXX", "CUDA"))}
    bare |= {"PATH": str(python.parent), "CI": "true"}
    here = place / "work"
    here.mkdir()

    def run(*command: str, program: Path = python) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *command], env=bare, cwd=here, capture_output=True, text=True, timeout=3000
        )

    install = ("-m", "pip", "--python", str(python), "install", "-q")
    if borrowed is None:
        wanted = [f"{wheel}[view,smooth]", "-c", str(ROOT / "constraints.txt"), *(["pytest"] if native else [])]
        done = run(*install, "--only-binary=:all:", *wanted, program=Path(sys.executable))
    else:
        done = run(*install, "--no-deps", "--no-index", str(wheel), program=Path(sys.executable))
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        [own, others] = [
            subprocess.run([path, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
            for path in (python, borrowed / python.relative_to(place))
        ]
        (Path(own) / "borrowed.pth").write_text(f"{others}\n", encoding="utf-8")
    if done.returncode:
        yield f"{wheel.name}: can't be installed: {done.stderr.strip()[-2000:]}"
        return

    done = run("-c", ASK)
    version = str(parse_wheel_filename(wheel.name)[1])
    told = done.stdout.strip().split("|")
    if done.returncode or told[1:] != [version, "nothing", str(native)] or not told[0].startswith(str(place)):
        wanted = f"{place}…|{version}|nothing|{native}"
        yield f"{wheel.name}: file|version|imported with it|kernels: wanted {wanted}, got {told}: {done.stderr}"
    done = run("demo", "demo-out", program=python.parent / "olift")
    if done.returncode or not {"lifted.npz", "lifted.html"} <= {path.name for path in here.glob("demo-out/*")}:
        yield f"{wheel.name}: olift demo fails: {(done.stdout + done.stderr)[-2000:]}"
    if native:
        # Beside the package's sources, tests would import those.
        left_out = shutil.ignore_patterns("__pycache__", "golden", *SOURCE_TESTS)
        shutil.copytree(ROOT / "tests", here / "tests", ignore=left_out)
        shutil.copy(ROOT / "pyproject.toml", here)
        done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/native", "-k", f"not {REPEATED}")
        print(f"{wheel.name}: {done.stdout.strip().rpartition(chr(10))[2]}", flush=True)
        if done.returncode:
            yield f"{wheel.name}: tests/native fail: {(done.stdout + done.stderr)[-4000:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--borrow", type=Path, metavar="VENV", help="take the dependencies from this environment")
    parser.add_argument("--look-only", action="store_true", help="install nothing")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} must be a folder with wheels")
    files = sorted(options.folder.glob("*"))
    for file in files:
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
    faults = look(options.folder)
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, files)], capture_output=True, text=True
    )
    if done.returncode:
        faults.append(f"twine check --strict: {done.stdout}{done.stderr}")
    fitting = set(sys_tags())
    for wheel in [] if faults or options.look_only else sorted(options.folder.glob("*.whl")):
        if parse_wheel_filename(wheel.name)[3] & fitting:
            with tempfile.TemporaryDirectory(prefix="olift-wheel-") as place:
                faults += try_out(wheel, Path(place).resolve() / "venv", options.borrow and options.borrow.resolve())
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
