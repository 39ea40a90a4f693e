"""Reads damaged checkpoints, states and configurations of trainings: each must be read, or refused in one line.

    python tests/model/fuzz_checkpoints.py --minutes 5 --out build/fuzz_checkpoints.json
    python tests/model/fuzz_checkpoints.py --seed 7 --kind weights --number 123    # makes that input again

There are four kinds of inputs: "config" (config.json), "weights" (model.safetensors), "state" (training.safetensors)
and "toml", the configuration of a training. An input fails where it is read to a model that can't be called or saved
again; where it is refused with a message that is no line, too long, or without the file; where anything else is raised
or warned of, or the process ends; or where it takes over 5 s of a CPU, or 500 MB. Failing inputs are saved, and the
exit code is 1. Each input follows from the seed, the kind and its number alone (`mutations_of_checkpoints`).
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import random
import re
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "io")]

from fuzz import Tally  # noqa: E402
from judging import Outcome, TooSlow, peak_memory, place_of  # noqa: E402
from mutations_of_checkpoints import damaged_config, damaged_tensors, damaged_toml  # noqa: E402

from olift_fast.child_processes import ends_with_this_process  # noqa: E402
from olift_fast.errors import InputError  # noqa: E402
from olift_fast.model import Lifter, LifterConfig  # noqa: E402
from olift_fast.train import Config, load_config  # noqa: E402
from olift_fast.train.fitting import build, optimizers_of  # noqa: E402
from olift_fast.train.state import FILE, State, load_state, save_state  # noqa: E402

KINDS = ("config", "weights", "state", "toml")
SECONDS, MEMORY, SILENCE = 5.0, 500 * 10**6, 60.0
"""Of one input: the CPU time and the bytes that it may take; and of a worker that hangs where no signal reaches it."""
LONGEST = 1200
"""Signs of a refusal at most, besides the file's name."""
TINY = """
[model]
name = "tiny"
changes = { width = 8, heads = 2, motion_layers = 1, space_layers = 1, window = [2, 1], frequencies = 4 }
[data]
frames = 4
lengths = { 4 = 1, 2 = 2.5 }
camera = { elevation = [0, 40], views = { level = 3, top = 2 } }
graphs = { true = 8, absent = 1 }
real_weights = { mine = 3.0 }
[schedule]
steps = 40
optimizer = "muon"
look_ahead = { 0 = 1, 2 = 1 }
[run]
out = "out"
precision = "float32"
[early_stop]
every = 20
[calibration]
sources = ["a", "b"]
"""
_fork = multiprocessing.get_context("fork")


class Target:
    """What is damaged, and what reads it.

    Args:
        folder: where it may write; the inputs lie in folders within.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tiny.toml").write_text(TINY)
        self.training: Config = load_config(folder / "tiny.toml")
        torch.manual_seed(0)
        rich = {"time_encoding": "table", "time_rows": 5, "pitch": True, "kinds": 3, "uncertainty": True}
        small = {"width": 8, "heads": 2, "motion_layers": 1, "space_layers": 1, "frequencies": 4}
        self.models: list[dict[str, bytes]] = []
        for name, changes in (("plain", {}), ("rich", rich)):
            saved = Lifter(LifterConfig(**small, **changes), name=name).save_pretrained(folder / name)  # type: ignore[arg-type]
            self.models.append({path.name: path.read_bytes() for path in saved.iterdir()})
        self.state = self._state()

    def _state(self) -> bytes:
        state = fresh(self.training)
        loss = torch.stack([parameter.square().sum() for parameter in state.lifter.parameters()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in state.optimizers:
            optimizer.step()
        state.step, state.losses, state.score, state.best_score = 3, [loss.detach()] * 2, 30.5, 29.5
        state.best = build(self.training.model).eval()
        save_state(state, self.training, 1, self.folder)
        return (self.folder / FILE).read_bytes()

    def make(self, run: int, kind: str, number: int) -> dict[str, bytes]:
        """The files of an input."""
        draw = random.Random(f"{run}/{kind}/{number}")
        if kind == "toml":
            return {"input.toml": damaged_toml(draw, TINY.encode())}
        if kind == "state":
            return {FILE: damaged_tensors(draw, self.state)}
        files = dict(draw.choice(self.models))
        if kind == "config":
            files["config.json"] = damaged_config(draw, files["config.json"])
        else:
            files["model.safetensors"] = damaged_tensors(draw, files["model.safetensors"])
        return files

    def read(self, kind: str, folder: Path) -> None:
        """Reads an input. Raises InputError where it is refused, AssertionError where what is read is unfit."""
        if kind == "toml":
            build(load_config(folder / "input.toml").model)
        elif kind == "state":
            load_state(fresh(self.training), self.training, 1, folder)
        else:
            check_lifter(Lifter.from_pretrained(folder), self.folder / "again")


def fresh(training: Config) -> State:
    lifter = build(training.model)
    return State(lifter, build(training.model).eval(), optimizers_of(lifter, training.schedule))


def check_lifter(lifter: Lifter, folder: Path) -> None:
    """Raises AssertionError where a lifter that was read can't be called, or saved and read again."""
    assert lifter.name.isprintable(), f"name {lifter.name!r}"
    keypoints = torch.linspace(-1, 1, 2 * 3 * 4).reshape(1, 4, 3, 2)
    with torch.no_grad():
        assert lifter(keypoints).shape == (1, 4, 3, 3)
    lifter.name = lifter.name[:300]
    again = Lifter.from_pretrained(lifter.save_pretrained(folder))
    assert again.config == lifter.config and again.name == lifter.name


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def judge(target: Target, kind: str, folder: Path, base: int) -> Outcome:
    """Reads the input in the folder, and judges what happens."""

    def stop(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGPROF, stop)
    began, outcome, message, where = time.process_time(), "failed", "", ""
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target.read(kind, folder)
        outcome = "read"
    except InputError as error:
        message = str(error)
        fault = wrong_refusal(message, folder)
        outcome, message = ("failed", f"{fault}: {message!r}") if fault else ("refused", message)
    except TooSlow as error:
        message, where = f"took over {SECONDS:g} s", place_of(error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        message, where = f"{type(error).__name__}: {error}", place_of(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    memory = max(peak_memory() - base, 0)
    if memory > MEMORY:
        outcome, message = "failed", f"took {memory / 1e6:.0f} MB"
    told = message.replace(str(folder), "FOLDER")[:1500]
    return Outcome(outcome, told, where, (time.process_time() - began) * 1e3, memory)


def wrong_refusal(message: str, folder: Path) -> str | None:
    """Why a refusal is unfit; None where it is fine."""
    if not message.isprintable():
        return "refusal with control characters"
    if len(message) > LONGEST + 2 * len(str(folder)):
        return f"refusal of {len(message)} signs"
    # What a plan asks for and no file holds, such as a model to start from, is named by its key.
    named = message.startswith((str(folder), "model", "preset", "run", "data"))
    return None if named else "refusal without the file"


def work(pipe: Connection, target: Target, run: int, begin: Callable[..., None]) -> None:
    """A worker: reads the inputs that it is told, and tells of each what became of it."""
    begin()
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    base = peak_memory()
    while True:
        kind, number = pipe.recv()
        pipe.send(judge(target, kind, write(target.folder / kind, target.make(run, kind, number)), base))


class Fuzzer:
    """A run: a worker, which is replaced where it ends or hangs, the tallies, and the failures.

    Args:
        run: the seed that all inputs follow from.
        target: what is damaged.
        kinds: of the inputs.
        save: where failing inputs go.
    """

    def __init__(self, run: int, target: Target, kinds: Sequence[str], save: Path) -> None:
        self.run, self.target, self.save = run, target, save
        self.tallies = {kind: Tally() for kind in kinds}
        self.failures: dict[str, dict[str, Any]] = {}
        self.memory = 0

    def fuzz(self, seconds: float, inputs: int) -> int:
        """Reads inputs until that time is over, or that many are read; returns how many."""
        end, number = time.monotonic() + seconds, 0
        process, pipe = self._start()
        try:
            while number < inputs and time.monotonic() < end:
                kind = list(self.tallies)[number % len(self.tallies)]
                pipe.send((kind, number))
                outcome = self._answer(pipe)
                if outcome is None or outcome.memory > MEMORY:
                    process.kill()
                    process.join()
                    code = process.exitcode
                    outcome = outcome or Outcome("failed", f"the process hangs or ends, exit code {code}", "", 0.0, 0)
                    process, pipe = self._start()
                self._count(kind, number, outcome)
                number += 1
        except KeyboardInterrupt:
            print("stopped early", file=sys.stderr)
        finally:
            process.kill()
            process.join()
        return number

    def _start(self) -> tuple[Any, Connection]:
        ours, theirs = multiprocessing.Pipe()
        process = _fork.Process(target=work, args=(theirs, self.target, self.run, ends_with_this_process()))
        process.start()
        theirs.close()
        return process, ours

    def _answer(self, pipe: Connection) -> Outcome | None:
        try:
            answer: Outcome | None = pipe.recv() if pipe.poll(SILENCE) else None
        except (EOFError, ConnectionResetError):
            return None
        return answer

    def _count(self, kind: str, number: int, outcome: Outcome) -> None:
        self.tallies[kind].add(outcome)
        self.memory = max(self.memory, outcome.memory)
        if outcome.kind != "failed":
            return
        known = self.failures.setdefault(
            f"{kind}: {outcome.where} {re.sub(r'[-0-9.]+', '#', outcome.message)[:50]}",
            {"count": 0, "kind": kind, "numbers": [], "message": outcome.message, "where": outcome.where},
        )
        known["count"] += 1
        if len(known["numbers"]) < 3:
            known["numbers"].append(number)
            path = write(self.save / f"{kind}-{self.run}-{number}", self.target.make(self.run, kind, number))
            print(f"FAILED --seed {self.run} --kind {kind} --number {number}: {outcome.message} [{outcome.where}]")
            print(f"       {path}", flush=True)


def counts_of(tally: Tally) -> dict[str, Any]:
    """A tally for the record of a run."""
    kinds = {"read": tally.read, "refused": tally.refused, "failed": tally.failed}
    times = {"mean_ms": round(tally.seconds * 1e3 / max(tally.done, 1), 2), "slowest_ms": round(tally.slowest_ms, 1)}
    return kinds | times | {"refusals": len(tally.reasons)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (1)")
    parser.add_argument("--inputs", type=int, default=10**12, help="at most this many inputs")
    parser.add_argument("--seed", type=int, help="what all inputs follow from; by default another one in each run")
    parser.add_argument("--kind", action="append", choices=KINDS, help="this kind alone; may be given several times")
    parser.add_argument("--number", type=int, help="make and read this one input of --kind again")
    save = TESTS.parent / "build/fuzz_checkpoints"
    parser.add_argument("--save", type=Path, default=save, help=f"where failing inputs go ({save.name} in build/)")
    parser.add_argument("--out", type=Path, help="write the counts to this JSON file")
    chosen = parser.parse_args(arguments)
    if chosen.number is not None and len(chosen.kind or ()) != 1:
        parser.error("--number needs one --kind")
    run = random.SystemRandom().randrange(10**9) if chosen.seed is None else chosen.seed
    with tempfile.TemporaryDirectory(prefix="olift-fuzz-") as name:
        target = Target(Path(name))
        if chosen.number is not None:
            kind, save = chosen.kind[0], chosen.save.resolve()
            folder = write(save / f"{kind}-{run}-{chosen.number}", target.make(run, kind, chosen.number))
            outcome = judge(target, kind, folder, peak_memory())
            took = f"{outcome.ms:.0f} ms, {outcome.memory / 1e6:.0f} MB"
            print(f"{folder}\n{outcome.kind}: {outcome.message} {outcome.where} ({took})")
            return int(outcome.kind == "failed")
        fuzzer = Fuzzer(run, target, chosen.kind or KINDS, chosen.save.resolve())
        print(f"seed {run}, {chosen.minutes:g} minutes", flush=True)
        began = time.monotonic()
        count = fuzzer.fuzz(chosen.minutes * 60, chosen.inputs)
        seconds = round(time.monotonic() - began)
    found = {kind: counts_of(tally) for kind, tally in fuzzer.tallies.items()}
    for kind, counts in found.items():
        print(f"{kind:10}", *(f"{name} {value:<8}" for name, value in counts.items()))
    totals = ", ".join(f"{sum(c[name] for c in found.values()):,} {name}" for name in ("read", "refused", "failed"))
    print(f"seed {run}: {count:,} inputs in {seconds} s: {totals}; {fuzzer.memory / 1e6:.0f} MB")
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "torch": str(torch.__version__)}
        record |= {"seed": run, "seconds": seconds, "inputs": count, "peak_MB": round(fuzzer.memory / 1e6, 1)}
        record |= {"kinds": found, "failures": list(fuzzer.failures.values())}
        chosen.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(bool(fuzzer.failures))


if __name__ == "__main__":
    sys.exit(main())
