"""How the native module lives in a process: one OpenMP runtime, every instruction set, and no failing import."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from native_calls import banded_attention, module, procrustes

from olift_fast.ops import native_module
from olift_fast.runtime import native_module as loader

ROOT = Path(__file__).resolve().parents[2]
TESTS_OF_KERNELS = (
    "banded_forward",
    "banded_backward",
    "banded_step",
    "procrustes_forward",
    "token_block",
    "layers_native",
)


def python(code: str, **environment: str) -> str:
    """What `code` prints in a fresh process."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_openmp_runtime_in_the_process() -> None:
    printed = python(
        "import torch, numpy as np\n"
        "from olift_fast.ops import banded_attention\n"
        "from olift_fast.ops.native_module import native_module\n"
        "torch.set_num_threads(2)\n"
        "q = torch.randn(1, 512, 8, 4, 32)\n"
        "banded_attention(q, q, q, (8, 8), backend='native')\n"
        "maps = {line.split()[-1] for line in open('/proc/self/maps')}\n"
        "runtimes = [p for p in maps if p.rsplit('/')[-1].startswith(('libgomp', 'libomp', 'libiomp5'))]\n"
        "print(native_module().info()['openmp'], len(runtimes))\n"
    )
    assert printed == "True 1"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_parallel_loops_run_on_torchs_threads() -> None:
    """The workers that torch's loops have started serve the native loops too: no thread is added."""
    printed = python(
        "import os, torch\n"
        "from olift_fast.ops import banded_attention\n"
        "torch.set_num_threads(4)\n"
        "q = torch.randn(1, 2048, 4, 4, 32)\n"
        "torch.relu(q.double())\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "banded_attention(q, q, q, (8, 8), backend='native')\n"
        "print(before >= 4, len(os.listdir('/proc/self/task')) - before)\n"
    )
    assert printed == "True 0"


@pytest.mark.slow
def test_threads_of_its_own_where_there_is_no_openmp() -> None:
    printed = python(
        "import numpy as np, torch\n"
        "from olift_fast.ops import banded_attention, procrustes\n"
        "from olift_fast.ops.native_module import native_module\n"
        "torch.set_num_threads(3)\n"
        "q = torch.randn(2, 300, 8, 4, 32)\n"
        "wanted = banded_attention(q, q, q, (8, 8), backend='native')\n"
        "native_module().set_openmp(0)\n"
        "got = banded_attention(q, q, q, (8, 8), backend='native')\n"
        "print(native_module().info()['openmp'], torch.equal(got, wanted))\n"
    )
    assert printed == "False True"


COMPUTE = (
    "import os, sys, numpy as np\n"
    "from olift_fast.runtime import threads\n"
    "from olift_fast.runtime.fused import Attention\n"
    "from olift_fast.runtime.native_module import loaded_module\n"
    "q = np.random.default_rng(0).standard_normal((1, 512, 8, 4, 32), np.float32)\n"
    "def attend():\n"
    "    out = np.empty_like(q)\n"
    "    Attention(4, (8, 8), None).run(q, q, q, None, None, None, out)\n"
    "    return out\n"
    "threads.set_thread_count(1)\n"
    "wanted = attend()\n"
    "threads.set_thread_count(4)\n"
)
"""Attention of arrays in a process without torch: by one thread first, then by four."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_of_its_own_are_started_once_and_sleep_between_loops() -> None:
    printed = python(
        COMPUTE + "import time\n"
        "tasks = lambda: len(os.listdir('/proc/self/task'))\n"
        "first = tasks()\n"
        "same = [np.array_equal(attend(), wanted) for _ in range(50)]\n"
        "there = tasks()\n"
        "same += [np.array_equal(attend(), wanted) for _ in range(50)]\n"
        "begin = time.process_time()\n"
        "time.sleep(0.5)\n"
        "print(all(same), there - first, tasks() - there, time.process_time() - begin < 0.1, 'torch' in sys.modules)\n"
    )
    assert printed == "True 3 0 True False"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_threads_of_its_own_are_started_again_after_a_fork() -> None:
    printed = python(
        COMPUTE + "attend()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if np.array_equal(attend(), wanted) else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(attend(), wanted))\n"
    )
    assert printed == "0 True"


@pytest.mark.slow
def test_several_callers_share_threads_of_its_own() -> None:
    printed = python(
        COMPUTE + "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(6) as callers:\n"
        "    same = list(callers.map(lambda _: np.array_equal(attend(), wanted), range(60)))\n"
        "print(len(same), all(same))\n"
    )
    assert printed == "60 True"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_torch_that_is_imported_later_lends_its_threads() -> None:
    printed = python(
        COMPUTE + "attend()\n"
        "before = loaded_module().info()['openmp']\n"
        "import torch\n"
        "torch.set_num_threads(2)\n"
        "same = np.array_equal(attend(), wanted)\n"
        "print(before, loaded_module().info()['openmp'], same, threads.thread_count())\n"
    )
    assert printed == "False True True 2"


@pytest.mark.slow
@pytest.mark.parametrize("level", ["avx2", "baseline"])
def test_every_instruction_set_gives_the_same_answers(level: str) -> None:
    """Runs the binding's tests again, one level down."""
    order = ["baseline", "avx2", "avx512"]
    highest = python("import olift_fast._native as n; print(n.info()['simd'])", OLIFT_SIMD="")
    if order.index(level) >= order.index(highest):
        pytest.skip(f"this machine's level is {highest}: {level} is the level tested already, or one that it can't run")
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in TESTS_OF_KERNELS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files],
        env=os.environ | {"OLIFT_SIMD": level},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.slow
def test_other_threads_of_python_go_on_meanwhile() -> None:
    """The interpreter's lock is released: while one thread computes, this one counts."""
    code = (
        "import threading, torch\n"
        "from olift_fast.ops import banded_attention\n"
        "torch.set_num_threads(1)\n"
        "q = torch.randn(1, 20000, 8, 8, 64)\n"
        "worker = threading.Thread(target=lambda: banded_attention(q, q, q, (8, 8), backend='native'))\n"
        "worker.start()\n"
        "turns = 0\n"
        "while worker.is_alive():\n"
        "    turns += 1\n"
        "    worker.join(0.001)\n"
        "print(turns > 20)\n"
    )
    assert python(code) == "True"


@pytest.fixture
def fresh_loader() -> Iterator[None]:
    """The loader as if nothing had been loaded yet, before the test and after it."""
    cached = (native_module.why_not_native, loader._load)
    for own in cached:
        own.cache_clear()
    yield
    for own in cached:
        own.cache_clear()


@pytest.mark.usefixtures("fresh_loader")
def test_switched_off_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLIFT_NATIVE", "0")
    for own in (native_module, loader):
        assert own.native_module() is None
        assert own.why_not_native() == "the native module is switched off by OLIFT_NATIVE=0"


@pytest.mark.usefixtures("fresh_loader")
@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (ModuleNotFoundError("x", name="olift_fast._native"), "the native module is not built"),
        (ImportError("undefined\nsymbol: f"), "the native module failed to load: undefined symbol: f"),
    ],
)
def test_loading_never_fails_and_tells_why(error: ImportError, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "olift_fast._native":
                raise error

    monkeypatch.delenv("OLIFT_NATIVE", raising=False)
    monkeypatch.delitem(sys.modules, "olift_fast._native", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    assert native_module.native_module() is None
    assert str(native_module.why_not_native()).startswith(wanted)


@pytest.mark.usefixtures("fresh_loader")
def test_module_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "__version__", "9.9.9")
    assert native_module.native_module() is None
    assert str(native_module.why_not_native()).endswith("and this is 9.9.9: build it again")


@pytest.mark.usefixtures("fresh_loader")
def test_torch_without_dlpacks_c_interface_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLIFT_NATIVE", raising=False)
    monkeypatch.setattr(native_module, "torch", SimpleNamespace(Tensor=object, __version__="2.8.0"))
    assert native_module.native_module() is None
    assert str(native_module.why_not_native()).endswith("which torch 2.8.0 lacks")


def test_info_names_what_was_built() -> None:
    info = module().info()
    assert set(info) == {"version", "compiler", "simd", "bfloat16", "int16", "openmp", "cuda", "cuda_arch"}
    assert bool(info["cuda_arch"]) == info["cuda"]
    assert info["simd"] == "avx512" or not info["bfloat16"]
    assert hasattr(module(), "procrustes_cuda") == info["cuda"]


def test_two_calls_at_once_do_not_disturb_each_other() -> None:
    random = np.random.default_rng(0)
    q, k, v = (random.standard_normal((1, 400, 4, 2, 32), np.float32) for _ in range(3))
    source, target = (random.standard_normal((500, 26, 3)).astype(np.float32) for _ in range(2))
    wanted, rotations = banded_attention(q, k, v, (8, 8))[0], procrustes(source, target)["rotation"]
    agreed: list[bool] = []

    def work() -> None:
        for _ in range(5):
            agreed.append(np.array_equal(banded_attention(q, k, v, (8, 8), threads=2)[0], wanted))
            agreed.append(np.array_equal(procrustes(source, target, threads=2)["rotation"], rotations))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(agreed) == 30 and all(agreed)
