"""The training loop: AdamW or Muon, an average of the weights, early stopping, one device or many, exact resuming."""

from __future__ import annotations

import atexit
import copy
import gc
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.model.checkpoints import folder_of, pinned
from olift_fast.nn.time import TimeTable
from olift_fast.odd_files import refuse_irregular
from olift_fast.train import state as states
from olift_fast.train.batches import Batch
from olift_fast.train.calibration import calibrated
from olift_fast.train.config import Config, EarlyStop, ModelPlan, Run
from olift_fast.train.evaluate import mean_score
from olift_fast.train.growth import ADDED, with_added
from olift_fast.train.held_out import held_out_batches
from olift_fast.train.lock import locked
from olift_fast.train.log import Log, Report
from olift_fast.train.loss import lifting_loss
from olift_fast.train.mixture import Mixture
from olift_fast.train.muon import Muon
from olift_fast.train.precision import Precision, resolved
from olift_fast.train.schedule import Schedule
from olift_fast.train.state import State
from olift_fast.train.toml import differences

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Watch = Callable[[int, Report | None], None]


class Data(Protocol):
    """The source of batches: a `Mixture`, or an object of your own."""

    def loader(self, workers: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Batches without end, from number `start` on, for process `rank` of `world`."""
        ...


def fit(config: Config, *, data: Data | None = None, resume: bool = False, watch: Watch | None = None) -> Lifter:
    """Train a lifter and return it with its average weights; with early stopping, with the best-scored average.

    With ``config.calibration`` its standard deviations are calibrated at the end.

    The files in ``config.run.out`` are the average as a checkpoint (``config.json``, ``model.safetensors``),
    ``log.csv``, TensorBoard's files if it is installed, and ``training.safetensors``, from which a run resumes.

    Args:
        config: all settings.
        data: used instead of ``config.data``; to resume exactly, its batch k must be the same each time.
        resume: go on where the folder's run stopped, if there is one. On a CPU with the same number of threads, the
            weights are then bit for bit those of a run that never stopped.
        watch: called after every step with the number of steps done and the new report, or None if there is none.

    Under ``torchrun`` every process calls this. Each process trains on its own batches, gradients are averaged (DDP),
    and the first process writes. A process without ``torchrun`` uses one device.

    Raises:
        InputError: the configuration can't be trained, the folder can't be written, it has another run, or another
            training writes into it (`olift_fast.train.lock`).
        MissingExtraError: lightning-fabric is not installed.
    """
    fabric = _fabric(config.run)
    if fabric.world_size > 1:
        atexit.register(_leave_the_others)
    with _locked(config.run.out, fabric):
        return _fit(config, data, resume, watch, fabric)


def _fit(config: Config, data: Data | None, resume: bool, watch: Watch | None, fabric: Fabric) -> Lifter:
    """`fit` on these devices, in a folder that no other training uses."""
    out = config.run.out
    torch.manual_seed(config.run.seed)
    _check_out(out, resume)
    resumes = resume and (out / states.FILE).is_file()
    lifter = build(config.model).to(fabric.device).train()
    kept = states.precision_of(out) if resumes and config.run.precision == "auto" else None
    config = _with_precision(config, lifter, fabric, kept)
    run, schedule = config.run, config.schedule
    average = copy.deepcopy(lifter).eval()
    start = copy.deepcopy(average)
    state = State(lifter, average, optimizers_of(lifter, schedule))
    if resumes:
        states.load_state(state, config, fabric.world_size, out)
    if run.compile:
        lifter.compile(dynamic=True, fullgraph=True)
    forward = fabric.setup_module(lifter)
    batches = _batches(config, data, state, fabric)
    held_out = _held_out(config, lifter.config.hops)
    _check_table(lifter.config, config.data if data is None else None, held_out)
    deciding = _calibration_batches(config, lifter)
    log = _log(out, state.step) if fabric.is_global_zero else None
    last = min(schedule.steps, run.stop_after or schedule.steps)
    clips, clock = 0, _Clock()
    while state.step < last and not _stopped(state, config.early_stop):
        batch = next(batches).to(fabric.device)
        state.losses.append(training_step(state, forward, batch, schedule, fabric, run.precision))
        clips += fabric.world_size * len(batch.keypoints)
        report = None
        if config.early_stop and state.step % config.early_stop.every == 0:
            with clock.stopped():
                _score(state, config.early_stop, held_out, fabric)
        if state.step % run.report_every == 0 or state.step == last:
            report = _report(state, schedule, clips / clock.seconds(), fabric)
            clips, clock = 0, _Clock()
        if log is not None and report is not None:
            log.write(report)
        if fabric.is_global_zero and state.step % run.save_every == 0:
            _save(state, config, fabric)
        if fabric.is_global_zero and watch is not None:
            watch(state.step, report)
    lifter.set_window(average.config.window)
    if log is not None:
        _save(state, config, fabric)
        log.close()
    finished = state.best or average
    if config.model.share < 1:
        go_part_way(finished, start, config.model.share)
    if deciding:
        finished = calibrated(finished, deciding)
    if (deciding or config.model.share < 1) and fabric.is_global_zero:
        finished.save_pretrained(out)
    fabric.barrier()
    return finished


@contextmanager
def _locked(out: Path, fabric: Fabric) -> Iterator[None]:
    """The first process locks the folder; if it can't, all processes raise the error."""
    with ExitStack() as held:
        refused = None
        if fabric.is_global_zero:
            try:
                held.enter_context(locked(out))
            except InputError as error:
                refused = error
        if (told := fabric.broadcast(refused)) is not None:
            raise told
        yield


def _leave_the_others() -> None:
    """Ends gloo's threads before the interpreter ends: a thread that wakes up after that aborts the process.

    See PyTorch pull request 179291.
    """
    gc.collect()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def build(plan: ModelPlan) -> Lifter:
    """The lifter that training starts with.

    Raises:
        InputError: no such preset or checkpoint, or the two don't fit together.
    """
    if plan.start is None:
        preset = plan.preset or "small"
        values = asdict(LifterConfig.preset(preset)) | dict(plan.changes)
        return Lifter(LifterConfig.from_dict(values, "model.changes"), name=plan.name or preset)
    states.refuse_pickle(Path(plan.start))
    start = pinned(plan.start)
    folder = folder_of(start)
    if not (folder / "config.json").is_file() and folder.is_dir():
        states.refuse_pickles(folder.iterdir())
    free = ("window", *ADDED)
    if others := sorted(set(plan.changes) - {*free}):
        raise InputError(
            f"model.changes must be of {', '.join(free)} with model.start = {plan.start!r}, got {', '.join(others)}"
        )
    lifter = Lifter.from_pretrained(start)
    wanted = lifter.config if plan.preset is None else LifterConfig.preset(plan.preset)
    wanted = LifterConfig.from_dict(asdict(wanted) | dict(plan.changes), "model.changes")
    lifter = with_added(lifter.with_window(wanted.window), wanted)
    lifter.name = plan.name or plan.preset or lifter.name
    found = differences(asdict(lifter.config), asdict(wanted))
    if told := ", ".join(f"{key} is {old} there, {new} here" for key, old, new in found):
        raise InputError(f"model.start = {plan.start!r} is not of preset {plan.preset!r}: {told}")
    return lifter


@torch.no_grad()
def go_part_way(trained: Lifter, start: Lifter, share: float) -> None:
    """Moves the weights of a trained lifter to (1 - share) · those of `start` + share · its own."""
    for weight, first in zip(trained.parameters(), start.parameters(), strict=True):
        weight.lerp_(first, 1 - share)


def training_loss(
    lifter: Callable[..., Tensor],
    batch: Batch,
    schedule: Schedule,
    config: LifterConfig,
    precision: str = "float32",
) -> Tensor:
    """The loss of one batch; `config` is the lifter's."""
    with torch.autocast(batch.keypoints.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        lifted = lifter(
            batch.keypoints,
            batch.visible,
            joint_mask=batch.joint_mask,
            **batch.told(config),
            uncertainty=config.uncertainty,
        )
    lifted = lifted.float()
    return lifting_loss(
        lifted[..., :3],
        batch.joints,
        batch.labelled,
        alignment=schedule.alignment,
        velocity_weight=schedule.velocity_weight,
        keypoints=batch.keypoints,
        visible=batch.visible,
        reprojection_weight=schedule.reprojection_weight,
        bones=batch.bones,
        bone_variance_weight=schedule.bone_variance_weight,
        bone_ratio_weight=schedule.bone_ratio_weight,
        uncertainty=lifted[..., 3:] if config.uncertainty else None,
        uncertainty_weight=schedule.uncertainty_weight,
    )


def training_step(
    state: State, forward: nn.Module, batch: Batch, schedule: Schedule, fabric: Fabric, precision: str
) -> Tensor:
    """One optimizer step; returns its loss without waiting for it."""
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(state.step)
    config = state.average.config
    state.lifter.set_window(schedule.window(state.step, config.window))
    loss = training_loss(forward, batch, schedule.at(state.step), config, precision)
    for optimizer in state.optimizers:
        optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    nn.utils.clip_grad_norm_(state.lifter.parameters(), schedule.clip)
    for optimizer in state.optimizers:
        optimizer.step()
    with torch.no_grad():
        average: list[Tensor] = list(state.average.parameters())
        weights: list[Tensor] = list(state.lifter.parameters())
        torch._foreach_lerp_(average, weights, 1 - schedule.decay(state.step))
    state.step += 1
    return loss.detach()


def _fabric(run: Run) -> Fabric:
    """One device, or the one of each process that ``torchrun`` has started."""
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise MissingExtraError(what="training", extra="train") from None
    if run.device == "cuda" and not torch.cuda.is_available():
        raise InputError("run.device must be 'cpu' or 'auto' where there is no CUDA GPU, got 'cuda'")
    local, world = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), int(os.environ.get("WORLD_SIZE", 1))
    device = run.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    with warnings.catch_warnings():
        # On a machine with Slurm it advises `srun`, which who trains there on one machine does not need.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        fabric = Fabric(
            accelerator=device,
            devices=local,
            num_nodes=max(world // local, 1),
            strategy="ddp" if world > 1 else "auto",
        )
    fabric.launch()
    return fabric


def _with_precision(config: Config, lifter: Lifter, fabric: Fabric, kept: Precision | None) -> Config:
    """The settings with "auto" replaced by a precision: that of the resumed run, or the faster one."""
    precision = kept or resolved(config.run.precision, lifter)
    # Timings differ from process to process, and all have to train in one precision.
    precision = fabric.broadcast(precision)
    return replace(config, run=replace(config.run, precision=precision))


def _check_told(mixture: Mixture, config: LifterConfig) -> None:
    """Raises InputError if the data has inputs that the model does not take, or never has inputs that it takes."""
    for name, able, share in (("pitch", config.pitch, mixture.pitch_told), ("kinds", config.kinds, mixture.kinds_told)):
        if bool(able) != (share > 0):
            wanted = f"be above 0 with model.changes.{name} = {able}" if able else f"be 0 without model.changes.{name}"
            raise InputError(f"data.{name}_told must {wanted}, got {share:g}")


def _check_table(config: LifterConfig, mixture: Mixture | None, held_out: Sequence[Batch]) -> None:
    if config.time_encoding != "table":
        return
    asked = {"frames of a clip": mixture.longest if mixture else 0}
    asked["which early_stop scores"] = max((batch.keypoints.shape[1] for batch in held_out), default=0)
    for what, frames in asked.items():
        if config.time_rows < frames:
            raise InputError(f"model.changes.time_rows must be >= {frames}, {what}, got {config.time_rows}")


def _calibration_batches(config: Config, lifter: Lifter) -> list[Batch]:
    """The batches for the calibration of standard deviations."""
    own = config.calibration
    if own is None:
        return []
    if not lifter.config.uncertainty:
        raise InputError("[calibration] needs a model that gives standard deviations: model.changes.uncertainty = true")
    families = _families(config, own.held_out)
    return held_out_batches(own.data, lifter.config.hops, *families, noise=True, sources=own.sources)


def _check_out(out: Path, resume: bool) -> None:
    path = out / states.FILE
    if path.exists():
        refuse_irregular(path, path.stat().st_mode)
    states.refuse_pickle(path)
    held = path.is_file()
    if held and not resume:
        raise InputError(f"run.out = {str(out)!r} holds a run: --resume goes on with it, another folder starts anew")
    if resume and not held and out.is_dir():
        states.refuse_pickles(out.iterdir())


def _log(out: Path, step: int) -> Log:
    """The folder's log. Removes what a killed run left half-written in the folder."""
    states.clear_away(out)
    return Log(out, step)


def _batches(config: Config, data: Data | None, state: State, fabric: Fabric) -> Iterator[Batch]:
    workers = config.run.workers
    if data is None:
        mixture = replace(config.data, seed=config.run.seed, hops=state.lifter.config.hops)
        _check_told(mixture, state.lifter.config)
        try:
            # Draw once here, so that an error in the data shows before a worker dies of it, and so that forked
            # workers share the recordings in memory.
            next(mixture.groups())
            for source, weight in mixture.real_sources:
                if weight:
                    source.draw(np.random.default_rng(0), 1, mixture.longest)
        except ValueError as error:
            raise InputError(f"data: {error}") from error
        data = mixture
    return data.loader(workers, state.step, fabric.global_rank, fabric.world_size)


def _score(state: State, stop: EarlyStop, held_out: list[Batch], fabric: Fabric) -> None:
    """Scores the average, and keeps a copy if it is the best. One process scores for all, so that all stop together."""
    score = float(fabric.broadcast(mean_score(state.average, held_out) if fabric.is_global_zero else 0.0))
    state.score = score
    if state.best_score is None or score < state.best_score - stop.min_gain:
        state.best, state.best_score, state.stale = copy.deepcopy(state.average), score, 0
    else:
        state.stale += 1


def _held_out(config: Config, hops: int) -> list[Batch]:
    """The batches that early stopping scores."""
    stop = config.early_stop
    return [] if stop is None else held_out_batches(stop.data, hops, *_families(config, stop.held_out))


def _families(config: Config, wanted: bool) -> tuple[Sequence[Path], Sequence[str]]:
    """Folders and patterns of the families that the data holds out, if they are wanted."""
    return (config.data.folders, config.data.held_out) if wanted else ((), ())


def _report(state: State, schedule: Schedule, speed: float, fabric: Fabric) -> Report:
    """The report of the steps since the last one; their losses are then dropped."""
    loss = cast(Tensor, fabric.all_reduce(torch.stack(state.losses).mean(), reduce_op="mean"))
    state.losses = []
    return Report(state.step, round(float(loss), 6), schedule.rate(state.step - 1), round(speed, 1), state.score)


class _Clock:
    """Seconds since it was created, without those in which it was stopped."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.begun

    @contextmanager
    def stopped(self) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self.begun += time.perf_counter() - before


def _stopped(state: State, stop: EarlyStop | None) -> bool:
    return stop is not None and state.stale >= stop.patience


def _save(state: State, config: Config, fabric: Fabric) -> None:
    states.save_state(state, config, fabric.world_size, config.run.out)
    (state.best or state.average).save_pretrained(config.run.out)


def optimizers_of(lifter: Lifter, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """AdamW for all parameters; or Muon for the large matrices that map tokens to tokens, and AdamW for the others.

    The tables of frames and of kinds of joints are large matrices, but lookups and no linear maps, so AdamW trains
    them. The layers from x, y and to x, y, z are too narrow for Muon.
    """
    parameters, hidden = list(lifter.parameters()), set()
    if schedule.optimizer == "muon":
        tables = {module.weight for module in lifter.modules() if isinstance(module, TimeTable | nn.Embedding)}
        hidden = {p for p in parameters if p.dim() == 2 and min(p.shape) >= lifter.config.width // 2} - tables
    rest = [p for p in parameters if p not in hidden]
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": schedule.weight_decay},
        {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, fused=True)]
    if hidden:
        decay = schedule.weight_decay
        own = [p for p in parameters if p in hidden]
        optimizers.append(Muon(own, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return optimizers
