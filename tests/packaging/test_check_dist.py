"""What `check_dist` finds wrong with wheels and source distributions that `make wheels` must not publish."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import check_dist
import pytest
import torch
from check_dist import IN_WHEELS, MOST_BYTES, ROOT, look, try_out

METADATA = "Metadata-Version: 2.4\nName: olift-fast\nVersion: 0.1.0\nLicense-Expression: Apache-2.0\n"
MODULE = "olift_fast/_native.cpython-311-x86_64-linux-gnu.so"
MANYLINUX = "olift_fast-0.1.0-cp311-cp311-manylinux_2_34_x86_64.whl"
PURE = "olift_fast-0.1.0-py3-none-any.whl"
FOREIGN = Path(torch._C.__file__)
"""torch's own module: it asks for torch's libraries, in a folder of theirs, and has its symbols."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads compiled modules of Linux")


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A stripped module that asks for nothing but the C library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    target = tmp_path_factory.mktemp("harmless") / "module.so"
    subprocess.run([compiler, "-shared", "-s", "-x", "c", "/dev/null", "-o", str(target)], check=True)
    return target.read_bytes()


def write_wheel(folder: Path, name: str, changes: dict[str, bytes | None]) -> Path:
    """A wheel with all that it must hold, empty, and with changes to it; None takes a file out."""
    held: dict[str, bytes | None] = dict.fromkeys(IN_WHEELS, b"")
    held |= {"olift_fast-0.1.0.dist-info/METADATA": METADATA.encode()}
    held |= {"olift_fast-0.1.0.dist-info/licenses/LICENSE": b"Apache"}
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, content in (held | changes).items():
            if content is not None:
                archive.writestr(path, content)
    return folder / name


@functools.cache
def sources() -> list[str]:
    folders = [ROOT / name for name in ("csrc", "olift_fast", "tests", "packaging")]
    paths = [*(path for folder in folders for path in folder.rglob("*")), *ROOT.glob("*")]
    return [path.relative_to(ROOT).as_posix() for path in paths if path.is_file()]


def write_sdist(folder: Path, without: str = "") -> None:
    """A source distribution with the names of all that it must hold."""
    with tarfile.open(folder / "olift_fast-0.1.0.tar.gz", "w:gz") as archive:
        for name in sources():
            if name != without:
                archive.addfile(tarfile.TarInfo(f"olift_fast-0.1.0/{name}"))


def test_complete_files_have_no_faults(harmless: bytes, tmp_path: Path) -> None:
    write_sdist(tmp_path)
    write_wheel(tmp_path, MANYLINUX, {MODULE: harmless})
    write_wheel(tmp_path, PURE, {})
    assert look(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "changes", "wanted"),
    [
        (MANYLINUX, {"olift_fast/big.bin": bytes(MOST_BYTES)}, "has 12.0 MB, wanted at most 12"),
        (MANYLINUX, {"olift_fast/reference.py": None}, "lacks olift_fast/reference.py"),
        (MANYLINUX, {"olift_fast-0.1.0.dist-info/licenses/LICENSE": None}, "lacks its license"),
        (MANYLINUX, {"olift_fast-0.1.0.dist-info/METADATA": b""}, "lacks License-Expression: Apache-2.0"),
        (MANYLINUX, {"tests/test_pages.py": b""}, "holds tests/test_pages.py, which is none of the package's"),
        (MANYLINUX, {"olift_fast.libs/libgomp-a34b.so.1.0.0": b"\x7fELF"}, "holds olift_fast.libs/libgomp-a34b.so.1"),
        (MANYLINUX, {MODULE: b"\x7fELF\x02\x01"}, f"{MODULE} is no whole module of Linux"),
        (MANYLINUX, {MODULE: None}, "wanted one compiled module, olift_fast/_native, got []"),
        (MANYLINUX, {MODULE: FOREIGN.read_bytes()}, "asks for libtorch_python.so, which not every Linux has"),
        (MANYLINUX, {MODULE: FOREIGN.read_bytes()}, "looks for libraries in a folder of its own"),
        (MANYLINUX, {MODULE: FOREIGN.read_bytes()}, f"{MODULE} is not stripped"),
        (PURE, {MODULE: FOREIGN.read_bytes()}, f"is for any system, and holds {MODULE}"),
        ("olift_fast-0.1.0-cp311-cp311-linux_x86_64.whl", {}, "is for linux_x86_64, this machine's kind"),
        ("olift_fast-0.2.0-cp311-cp311-manylinux_2_34_x86_64.whl", {}, "wanted olift-fast 0.1.0, as the source"),
    ],
)
def test_faults_of_a_wheel_are_named(
    name: str, changes: dict[str, bytes | None], wanted: str, harmless: bytes, tmp_path: Path
) -> None:
    write_sdist(tmp_path)
    write_wheel(tmp_path, PURE, {})
    write_wheel(tmp_path, name, changes if name == PURE else {MODULE: harmless, **changes})
    faults = look(tmp_path)
    assert any(fault.startswith(f"{name}: ") and wanted in fault for fault in faults), faults


@pytest.mark.parametrize("missing", ["csrc/common/simd.h", "tests/packaging/check_dist.py", "CMakeLists.txt"])
def test_what_a_source_distribution_lacks_is_named(missing: str, tmp_path: Path) -> None:
    write_sdist(tmp_path, without=missing)
    write_wheel(tmp_path, PURE, {})
    assert look(tmp_path) == [f"olift_fast-0.1.0.tar.gz: lacks {missing}"]


def test_folders_without_a_kind_of_file_are_refused(harmless: bytes, tmp_path: Path) -> None:
    assert "got 0 and 0" in look(tmp_path)[0]
    write_sdist(tmp_path)
    write_wheel(tmp_path, MANYLINUX, {MODULE: harmless})
    assert look(tmp_path) == [f"{tmp_path}: wanted one wheel in pure Python (-none-any)"]


@pytest.mark.slow
def test_a_wheel_that_cannot_lift_is_found_out(tmp_path: Path) -> None:
    """Installed without a compiler in reach, it is imported, and asked for a demo."""
    code = {"olift_fast/__init__.py": b"import numpy\n__version__ = '0.1.0'\n"}
    record = {
        "olift_fast-0.1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "olift_fast-0.1.0.dist-info/RECORD": b"",
        "olift_fast-0.1.0.dist-info/entry_points.txt": b"[console_scripts]\nolift = olift_fast:main\n",
    }
    wheel = write_wheel(tmp_path, PURE, code | record)
    imported, demo = try_out(wheel, tmp_path / "venv", Path(sys.prefix))
    assert "No module named 'olift_fast.ops'" in imported
    assert "olift demo fails" in demo


def test_exit_code_tells_of_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sdist(tmp_path)
    monkeypatch.setattr(sys, "argv", ["check_dist.py", str(tmp_path), "--look-only"])
    assert check_dist.main() == 1
    assert f"{tmp_path}: wanted one source distribution and wheels, got 1 and 0" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["check_dist.py", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit, match="2"):
        check_dist.main()
