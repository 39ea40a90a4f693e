"""Two processes that train together take the steps of one that averages both gradients."""

from __future__ import annotations

import copy
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from olift_fast.model import Lifter
from olift_fast.train import Config, load_config
from olift_fast.train.fitting import build, optimizers_of, training_loss
from olift_fast.train.state import FILE

PROGRAM = """
import atexit, os, sys
import torch
from olift_fast.train import fit, load_config
own = f"{sys.argv[1]}.{os.environ['RANK']}"
# Registered first, so that it runs last.
atexit.register(lambda: open(f"{own}.end", "w").write(str(torch.distributed.is_initialized())))
stop = [f"run.stop_after={sys.argv[2]}"] if sys.argv[2:] else []
average = fit(load_config(sys.argv[1], stop), resume=True)
average.save_pretrained(own)
"""


def together(config: Path, environment: dict[str, str], *arguments: str) -> list[dict[str, torch.Tensor]]:
    """The averaged weights of each of two processes."""
    program = config.with_suffix(".py")
    program.write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    outcome = subprocess.run(
        [*command, str(program), str(config), *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert outcome.returncode == 0, outcome.stderr
    assert [Path(f"{config}.{rank}.end").read_text() for rank in (0, 1)] == ["False", "False"]
    return [load_file(Path(f"{config}.{rank}") / "model.safetensors") for rank in (0, 1)]


def flat(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([weights[name].flatten() for name in sorted(weights)])


def by_hand(config: Config, shares: tuple[float, float]) -> Lifter:
    """The same training in one process, with the batches' gradients weighted by these shares."""
    torch.manual_seed(config.run.seed)
    lifter, schedule = build(config.model), config.schedule
    average, window = copy.deepcopy(lifter), lifter.config.window
    parameters, optimizers = list(lifter.parameters()), optimizers_of(lifter, schedule)
    mixture = replace(config.data, seed=config.run.seed, hops=lifter.config.hops)
    halves = zip(mixture.batches(rank=0, world=2), mixture.batches(rank=1, world=2), strict=True)
    for step, pair in enumerate(itertools.islice(halves, schedule.steps)):
        for group in itertools.chain.from_iterable(optimizer.param_groups for optimizer in optimizers):
            group["lr"] = schedule.rate(step)
        lifter.set_window(schedule.window(step, window))
        losses = [training_loss(lifter, half, schedule, lifter.config) for half in pair]
        gradients = [torch.autograd.grad(loss, parameters) for loss in losses]
        for parameter, one, other in zip(parameters, *gradients, strict=True):
            parameter.grad = shares[0] * one + shares[1] * other
        torch.nn.utils.clip_grad_norm_(parameters, schedule.clip)
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            for mean, parameter in zip(average.parameters(), parameters, strict=True):
                mean.lerp_(parameter, 1 - schedule.decay(step))
    return average


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_processes_average_their_gradients_and_resume(
    tiny: Path, tmp_path: Path, environment: dict[str, str], optimizer: str
) -> None:
    tiny.write_text(tiny.read_text().replace("steps = 40", f'steps = 20\noptimizer = "{optimizer}"'))
    together(tiny, environment, "17")
    first, second = together(tiny, environment)
    assert all(torch.equal(first[name], second[name]) for name in first)
    config = load_config(tiny)
    torch.manual_seed(config.run.seed)
    start = flat(build(config.model).state_dict())
    both, half = (flat(by_hand(config, shares).state_dict()) for shares in ((0.5, 0.5), (1.0, 0.0)))
    # AdamW moves weights that no loss depends on, such as the bias of the keys, by rounding errors alone.
    assert (flat(first) - both).norm() < 0.01 * (both - start).norm()
    assert (half - both).norm() > 0.2 * (both - start).norm()
    assert (tmp_path / "out" / FILE).is_file()
    lines = (tmp_path / "out" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "10", "17", "20"]
