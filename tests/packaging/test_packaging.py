"""The wheel without compiled code, as somebody without a compiler installs it."""

from __future__ import annotations

import importlib.util
import os
import re
import site
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

needs_backend = pytest.mark.skipif(
    importlib.util.find_spec("scikit_build_core") is None or importlib.util.find_spec("pip") is None,
    reason="building a wheel needs pip and scikit-build-core",
)


@pytest.mark.slow
@needs_backend
def test_wheel_without_native_code_works(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    nothing = {"OLIFT_NATIVE": "0", "CC": "/bin/false", "CXX": "/bin/false", "CUDACXX": "/bin/false"}
    built = subprocess.run(
        [*command, "-w", str(tmp_path), str(ROOT)],
        env=os.environ | nothing,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert not [name for name in names if name.endswith((".so", ".pyd", ".dylib"))]
    packaged = {"olift_fast/py.typed", "olift_fast/_native.pyi", "olift_fast/reference.py"}
    assert packaged <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)

    code = (
        "import olift_fast, torch\n"
        "from olift_fast import reference\n"
        "from olift_fast.ops import banded_attention\n"
        "from olift_fast.ops.native_module import native_module, why_not_native\n"
        "q = torch.randn(1, 9, 2, 2, 8)\n"
        "same = torch.allclose(banded_attention(q, q, q, 2), reference.banded_attention(q, q, q, (2, 2)), atol=1e-6)\n"
        "print(olift_fast.__file__, native_module(), same, why_not_native(), sep='|')\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OLIFT_")}
    # -S: an editable install in this environment, which a .pth file starts, would come before PYTHONPATH.
    places = [str(tmp_path / "installed"), *site.getsitepackages(), *(p for p in sys.path if p.endswith("-packages"))]
    used = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env=environment | {"PYTHONPATH": os.pathsep.join(places)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert used.returncode == 0, used.stderr
    place, module, same, why = used.stdout.strip().split("|")
    assert place == str(tmp_path / "installed" / "olift_fast" / "__init__.py")
    assert (module, same) == ("None", "True")
    assert why.startswith("the native module is not built")


def test_constraints_pin_every_dependency() -> None:
    """One exact public version each, so that a fresh environment is the tested one; no path and no address."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert not [line for line in lines if "+" in line or "/" in line or "@" in line]
    pinned = {name.lower().replace("_", "-") for name in pins}
    names = {re.match(r"[\w.-]+", line).group().lower().replace("_", "-") for line in wanted}  # type: ignore[union-attr]
    assert names <= pinned, names - pinned
    assert pins["torch"] == "2.13.0"
