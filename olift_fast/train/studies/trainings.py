"""Studies that train: variants of one training, each from several seeds, all scored on the same clips."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from olift_fast._version import __version__
from olift_fast.child_processes import ends_with_this_process
from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption
from olift_fast.data.told import Graph, with_graph, without_kinds
from olift_fast.errors import InputError
from olift_fast.model import Lifter
from olift_fast.train import state as states
from olift_fast.train.config import Config, load_config
from olift_fast.train.evaluate import FLAT, flat, lifted_by, score
from olift_fast.train.fitting import fit
from olift_fast.train.held_out import FRAMES, end_on, held_out, held_out_families
from olift_fast.train.lock import InUseError
from olift_fast.train.memory import keep_freed_memory
from olift_fast.train.metrics import METRICS
from olift_fast.train.studies.rows import Row
from olift_fast.train.toml import Reader, as_change, plain, read_toml
from olift_fast.train.uncertainty import UNCERTAINTY_METRICS

PLANS = Path(__file__).parent / "plans"
WHOLE = ("animated", "recorded")
"""The folders beside ``motion3d`` whose families are trained on or held out as a whole."""
REPORTED = ("sa_mpjpe", "fa_mpjpe", "sa_mpve")
"""The names of the metrics in a study's rows, unless its plan names others.

A lifter that gives standard deviations is also scored by the metrics of these."""
Key = tuple[str, int]
"""A variant and a seed."""


@dataclass(frozen=True)
class Test:
    """The clips that a study's lifters are scored on: held-out motion, seen by random cameras.

    Args:
        corruption, camera: as in `Mixture`.
        frames: T of a clip.
        sides, pitch, kinds: whether the lifter gets the joints' sides, the cameras' pitch and the joints' kinds.
        graph: which bones it gets.
        cameras: for each clip.
        end_on: keep only clips of bodies that point at the camera (`end_on`).
        families: patterns of `Mixture.held_out`. If given, the clips are of these families of ``animated/`` and
            ``recorded/`` instead of ``motion3d/``.
    """

    __test__ = False

    corruption: Corruption = field(default_factory=Corruption)
    camera: CameraRange = field(default_factory=CameraRange)
    frames: int = FRAMES
    sides: bool = True
    pitch: bool = True
    kinds: bool = True
    graph: Graph = "true"
    cameras: int = 1
    end_on: bool = False
    families: Sequence[str] = ()


@dataclass(frozen=True)
class FineTuning:
    """A variant that continues from another variant's weights, as `olift finetune` does.

    Args:
        of: the other variant.
        changes: to the recipe "finetune".
    """

    of: str
    changes: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """A study: which variants are trained, and on what they are tested.

    Args:
        variants: for each name, the changes to the recipe, as `load_config` takes them ("model.changes.window=0").
        finetuned: more variants by name, which continue from the weights of others.
        changes: to all variants but the fine-tuned ones, applied before their own.
        recipe: a recipe of this package, or a TOML file, relative to the working directory.
        seeds: each variant is trained once with each.
        seeds_of: other seeds for some variants.
        tests: by name.
        metrics: the names of those in the rows.
    """

    variants: Mapping[str, Sequence[str]]
    finetuned: Mapping[str, FineTuning] = field(default_factory=dict)
    changes: Sequence[str] = ()
    recipe: str = "study"
    seeds: Sequence[int] = (0,)
    seeds_of: Mapping[str, Sequence[int]] = field(default_factory=dict)
    tests: Mapping[str, Test] = field(default_factory=lambda: {"as trained": Test()})
    metrics: Sequence[str] = REPORTED

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.seeds_of) - {*self.variants, *self.finetuned}):
            raise InputError(f"seeds_of must name variants, got {', '.join(unknown)}")
        if unknown := sorted({tuning.of for tuning in self.finetuned.values()} - {*self.variants}):
            raise InputError(f"finetuned must be of variants, got {', '.join(unknown)}")
        if twice := sorted({*self.variants} & {*self.finetuned}):
            raise InputError(f"variants and finetuned must not share names, got {', '.join(twice)}")
        if unknown := sorted(set(self.metrics) - {metric.name for metric in METRICS}):
            known = ", ".join(metric.name for metric in METRICS)
            raise InputError(f"metrics must be of {known}, got {', '.join(unknown)}")
        for name, tuning in self.finetuned.items():
            if other := {*self.seeds_for(name)} - {*self.seeds_for(tuning.of)}:
                raise InputError(f"{name} must have seeds that {tuning.of} has, got {sorted(other)}")

    def seeds_for(self, variant: str) -> Sequence[int]:
        """The seeds of a variant."""
        return self.seeds_of.get(variant, self.seeds)

    def config(self, variant: str, seed: int, data: Path, runs: Path, changes: Sequence[str] = ()) -> Config:
        """The training of a variant. Its folder is named by a hash of all that its weights depend on.

        So studies with the same training share its folder.
        """
        given = {"data.real": str(data / "motion3d"), "run.seed": seed, "run.device": "cpu"}
        if variant in self.finetuned:
            recipe, own = "finetune", self.finetuned[variant].changes
            start = self.config(self.finetuned[variant].of, seed, data, runs, changes).run.out
            given |= {"model.start": str(start), "run.workers": 0}
        else:
            recipe, own = self.recipe, [*self.changes, *self.variants[variant]]
        config = load_config(recipe, [*own, *changes, *(as_change(*item) for item in given.items())])
        if config.data.real_whole:
            whole = [data / folder.name for folder in config.data.real_whole]
            config = replace(config, data=replace(config.data, real_whole=whole))
        table = plain(config)
        # The weights depend on no setting of `states.FREE` but run.stop_after, which ends the training.
        for key in {*states.FREE} - {"run.stop_after"}:
            section, _, field_name = key.partition(".")
            del table[section][field_name]
        fixed = [__version__, table]
        name = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:12]
        return replace(config, run=replace(config.run, out=runs / name))


def plans() -> list[str]:
    """Names of the studies that train."""
    return sorted(path.stem for path in PLANS.glob("*.toml"))


def load_plan(name_or_path: str | Path) -> Plan:
    """A study from a TOML file with a key for each field of `Plan`.

    Raises:
        InputError: as in `load_config`.
    """
    path = Path(name_or_path)
    if not path.is_file() and str(name_or_path) in plans():
        path = PLANS / f"{name_or_path}.toml"
    table = read_toml(path, f", nor a study of this package ({', '.join(plans())})")
    plan: Plan = Reader(str(path), {}, {}).dataclass(Plan, table, "")
    return plan


def trained(
    plan: Plan,
    data: Path,
    runs: Path,
    *,
    jobs: int = 1,
    changes: Sequence[str] = (),
    watch: Callable[[str], None] | None = None,
) -> Iterator[Row]:
    """Rows of the plan's metrics, as `Score` has them, by variant, seed, test and source.

    The flat guess comes first, with seed -1. Trainings that `runs` holds are not repeated; interrupted ones are
    resumed.

    Args:
        plan: the study.
        data: folder with ``motion3d/``, on whose held-out part the lifters are scored.
        runs: folder for the trainings.
        jobs: number of trainings at a time; they share the cores.
        changes: to all trainings, applied last: to try a study in less time, for example.
        watch: called with a line of text after every training.
    """
    data, runs = data.resolve(), runs.resolve()
    # All configurations are read before the first training, so that an error in one is reported at once.
    waves = []
    for variants in (plan.variants, plan.finetuned):
        wanted = sorted(((name, seed) for name in variants for seed in plan.seeds_for(name)), key=lambda key: key[1])
        waves.append({key: plan.config(*key, data, runs, changes) for key in wanted})
    rows = {(FLAT, -1): _scored(None, plan, data)}
    for configs in waves:
        rows |= _in_turn(configs, jobs, partial(_train, plan=plan, data=data), watch)
    for (variant, seed), found in rows.items():
        for row in found:
            yield {"variant": variant, "seed": seed, **row}


def _in_turn(
    configs: Mapping[Key, Config],
    jobs: int,
    train: Callable[..., list[Row]],
    watch: Callable[[str], None] | None,
) -> dict[Key, list[Row]]:
    """The rows that `train` returns for each key. Variants with the same configuration are trained once."""
    unique = {config.run.out: config for config in configs.values()}
    threads = max(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 1)
    found: dict[Path, list[Row]] = {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, initializer=ends_with_this_process()) as pool:
        started = {pool.submit(train, config, threads=max(threads // jobs, 1)): out for out, config in unique.items()}
        try:
            for done in as_completed(started):
                out = started[done]
                names = "; ".join(f"{name}, seed {seed}" for (name, seed), c in configs.items() if c.run.out == out)
                if watch is not None:
                    failed = done.exception()
                    told = f"{len(found) + 1} of {len(started)} trained" if failed is None else "failed"
                    watch(f"{told}: {names}" + (f": {failed}" if failed else ""))
                found[out] = done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {key: found[config.run.out] for key, config in configs.items()}


def _train(config: Config, plan: Plan, data: Path, threads: int) -> list[Row]:
    """Train or resume, and score. Runs in a process of its own."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    return _scored(_fitted(config).eval(), plan, data)


def _fitted(config: Config) -> Lifter:
    """The training's lifter. Waits while another study runs the same training."""
    while True:
        try:
            return fit(config, resume=True)
        except InUseError:
            time.sleep(1)


def _scored(lifter: Lifter | None, plan: Plan, data: Path) -> list[Row]:
    """Rows of the plan's metrics for a lifter, or for the flat guess, by test and source."""
    rows: list[Row] = []
    for name, test in plan.tests.items():
        if lifter is not None and lifter.config.time_encoding == "table" and lifter.config.time_rows < test.frames:
            continue
        spread = lifter is not None and lifter.config.uncertainty
        method = flat if lifter is None else lifted_by(lifter, sides=test.sides, pitch=test.pitch, uncertainty=spread)
        hops = 1 if lifter is None else lifter.config.hops
        reported = [*plan.metrics, *(metric.name for metric in UNCERTAINTY_METRICS if spread)]
        for source, clips in _clips_of(test, data).items():
            skeleton = with_graph(clips, test.graph, np.random.default_rng(0))
            told = without_kinds(skeleton, np.full(skeleton.num_joints, not test.kinds))
            found = score(source, clips, "", method, hops, told)
            errors = {metric: found.values[metric] for metric in reported}
            rows.append({"test": name, "source": source, "clips": len(clips), **errors})
    return rows


def _clips_of(test: Test, data: Path) -> dict[str, ClipBatch]:
    """The clips of a test, by source. Sources without clips of the test's length are left out."""
    views: dict[str, Any] = {"cameras": test.cameras, "corruption": test.corruption, "seen": test.camera}
    if test.families:
        folders = [data / folder for folder in WHOLE]
        found = held_out_families(folders, test.families, frames=test.frames, **views)
    else:
        found = held_out(data, paired=False, frames=test.frames, **views)
    found = {source: end_on(clips) if test.end_on else clips for source, clips in found.items()}
    return {source: clips for source, clips in found.items() if len(clips) and clips.visible.shape[1] == test.frames}
