"""The CUDA kernels of Procrustes alignment, run thread by thread on the processor, against the CPU kernels."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from native_calls import disturbed_sets, procrustes, procrustes_error, procrustes_gradients, relative_error

from benchmarks.thresholds import many_problems

pytestmark = pytest.mark.slow  # the kernels are compiled for it

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-11}
MANY = many_problems()


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    pybind11 = pytest.importorskip("pybind11")
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    target = tmp_path_factory.mktemp("emulated") / "emulated_cuda.so"
    folders = [HERE / "emulated", CSRC, pybind11.get_include(), sysconfig.get_paths()["include"]]
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-Wno-psabi", *(f"-I{folder}" for folder in folders)]
    command = [compiler, *flags, str(HERE / "emulated" / "module.cpp"), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    spec = importlib.util.spec_from_file_location("emulated_cuda", target)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# A warp of 8-lane groups with one to spare, one problem a warp, more problems than a warp solves at once, many slices.
SHAPES = [(1, 1), (5, 4), (21, 26), (3, 64), (3, 65), (2, 256), (2, 257), (1, 9000)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("count", "points"), SHAPES)
def test_every_step_matches_the_cpu(emulated, dtype, weighted, count, points) -> None:
    kind = ["rigid", "similarity", "rotation"][points % 3]
    source, target, weights = disturbed_sets(count, points, dtype, weighted and points > 1)
    random = np.random.default_rng(1)
    upstream = tuple(random.standard_normal((count, *shape)).astype(dtype) for shape in ((3, 3), (), (3,)))
    pull = random.standard_normal(count).astype(dtype)
    pairs = [
        [procrustes(source, target, weights, kind, on=on) for on in (emulated, None)],
        [procrustes_gradients(upstream, source, target, weights, kind, on=on) for on in (emulated, None)],
        [procrustes_error(source, target, weights, kind, upstream=pull, on=on) for on in (emulated, None)],
    ]
    for got, wanted in pairs:
        for name in wanted:
            assert relative_error(got[name], wanted[name]) < TOLERANCE[dtype], name


# One problem a lane, with lanes to spare; an even and an odd row, and as many points as shared memory holds.
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("weighted", "points"), [(False, 3), (True, 6), (True, 17), (False, 26), (True, 27)])
def test_many_problems_are_solved_a_lane_each(emulated, dtype, weighted, points) -> None:
    count, kind = MANY + 5, ["rigid", "similarity", "rotation"][points % 3]
    source, target, weights = disturbed_sets(64, points, dtype, weighted)
    source, target = (np.resize(x, (count, points, 3)) for x in (source, target))
    weights = None if weights is None else np.resize(weights, (count, points))
    random = np.random.default_rng(1)
    upstream = tuple(random.standard_normal((count, *shape)).astype(dtype) for shape in ((3, 3), (), (3,)))
    pull = random.standard_normal(count).astype(dtype)
    pairs = [
        [procrustes(source, target, weights, kind, on=on) for on in (emulated, None)],
        [procrustes_gradients(upstream, source, target, weights, kind, on=on) for on in (emulated, None)],
        [procrustes_error(source, target, weights, kind, upstream=pull, on=on) for on in (emulated, None)],
    ]
    for got, wanted in pairs:
        for name in wanted:
            assert relative_error(got[name], wanted[name]) < TOLERANCE[dtype], name


@pytest.mark.parametrize("count", [6, MANY])
def test_first_point_far_from_the_others_loses_no_accuracy(emulated, count) -> None:
    source, target, _ = disturbed_sets(64, 26, np.float64, False)
    weights = np.ones((64, 26))
    weights[:, 0] = 1e-6
    source[:, 0] += 500
    given = [np.resize(x.astype(np.float32), (count, *x.shape[1:])) for x in (source, target, weights)]
    got, wanted = procrustes(*given, on=emulated), procrustes(*(x.astype(np.float64) for x in given))
    assert relative_error(got["rotation"], wanted["rotation"]) < 1e-5


@pytest.mark.parametrize(("count", "points"), [(6, 26), (6, 300), (MANY, 26)])
def test_strided_views_and_shared_targets(emulated, count, points) -> None:
    source, target, weights = (np.resize(x, (count, *x.shape[1:])) for x in disturbed_sets(6, points, np.float32, True))
    wanted = procrustes(source, np.repeat(target[:1], count, 0), weights, on=emulated)
    wide = np.full((points, count, 5), 9, np.float32).transpose(1, 0, 2)
    wide[..., 1:4] = source
    weights = np.asfortranarray(weights)
    got = procrustes(wide[..., 1:4], np.broadcast_to(target[:1], source.shape), weights, on=emulated)
    assert all(np.array_equal(got[name], x) for name, x in wanted.items())


def test_set_a_kilometre_from_the_origin_loses_no_accuracy(emulated) -> None:
    random = np.random.default_rng(0)
    for count, points in ((4, 26), (4, 300), (MANY, 26)):
        source, target = (random.integers(-64, 64, (4, points, 3)) / 64 for _ in range(2))
        source, target = (np.resize(x, (count, points, 3)) for x in (source, target))
        near = procrustes(source.astype(np.float32), target.astype(np.float32), on=emulated)
        far = procrustes((source + 1000).astype(np.float32), (target - 2000).astype(np.float32), on=emulated)
        assert relative_error(far["rotation"], near["rotation"]) < 1e-5
