"""Which backend runs: the argument, `use_backend`, ``OLIFT_BACKEND``, or the fastest; in threads, and compiled."""

from __future__ import annotations

import threading

import pytest
import torch
from helpers import needs_interpreter, needs_native
from torch import Tensor

from olift_fast.ops import joint_attention, use_backend, why_not
from olift_fast.ops.backends import Backend, asked_backend, choose_backend
from olift_fast.ops.native_module import why_not_native
from olift_fast.ops.triton_runtime import why_not_triton

ANY = {"triton": None, "native": None}


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLIFT_BACKEND", raising=False)


def test_the_first_that_can_run_is_taken() -> None:
    assert choose_backend("op", None, {"cuda": None, "native": None}) == "cuda"
    assert choose_backend("op", None, {"cuda": "no GPU", "native": None}) == "native"
    assert choose_backend("op", None, {"cuda": "no GPU", "native": None}, slower_than_eager=["native"]) == "eager"
    assert choose_backend("op", None, {}) == "eager"


def test_blocks_nest_and_give_back_what_was_asked_before() -> None:
    assert asked_backend() == "auto"
    with use_backend("native"):
        with use_backend("eager"):
            assert asked_backend() == "eager"
            assert choose_backend("op", None, ANY) == "eager"
        assert asked_backend() == "native"
        with pytest.raises(KeyError), use_backend("auto"):
            assert asked_backend() == "auto"
            raise KeyError
        assert asked_backend() == "native"
    assert asked_backend() == "auto"


def test_argument_comes_before_block_before_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLIFT_BACKEND", "eager")
    assert choose_backend("op", None, ANY) == "eager"
    with use_backend("native"):
        assert choose_backend("op", None, ANY) == "native"
        assert choose_backend("op", "eager", ANY) == "eager"
    with use_backend("auto"):
        assert choose_backend("op", None, {"native": None}) == "native"


def test_variable_may_change_while_the_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, wanted in (("native", "native"), ("eager", "eager"), ("", "auto")):
        monkeypatch.setenv("OLIFT_BACKEND", value)
        assert asked_backend() == wanted


def test_reference_is_the_old_name_of_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_backend("op", "reference", ANY) == "eager"
    with use_backend("reference"):
        assert asked_backend() == "eager"
    monkeypatch.setenv("OLIFT_BACKEND", "reference")
    assert asked_backend() == "eager"


def test_unknown_names_are_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = r"backend must be one of auto, triton, cuda, native, eager, reference, got 'fast'"
    with pytest.raises(ValueError, match=wanted), use_backend("fast"):  # type: ignore[arg-type]
        pass
    with pytest.raises(ValueError, match=wanted):
        why_not("fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=wanted):
        choose_backend("op", "fast", ANY)  # type: ignore[arg-type]
    monkeypatch.setenv("OLIFT_BACKEND", "fast")
    with pytest.raises(ValueError, match=wanted):
        asked_backend()
    assert choose_backend("op", "eager", ANY) == "eager"


def test_a_backend_that_can_not_run_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"^op has no cuda backend; it has triton, native, eager$"):
        choose_backend("op", "cuda", ANY)
    with use_backend("cuda"), pytest.raises(RuntimeError, match=r"^op: backend 'cuda' can't run: ."):
        choose_backend("op", None, {"cuda": "tensors must be on cuda, got cpu"})


@needs_native
def test_the_reason_is_the_call_s_where_the_machine_could() -> None:
    wanted = r"^op: backend 'native' can't run: tensors must be on cpu, got cuda$"
    with pytest.raises(RuntimeError, match=wanted):
        choose_backend("op", "native", {"native": "tensors must be on cpu, got cuda"})


def test_why_not_is_the_machine_s_reason() -> None:
    assert why_not("eager") is None and why_not("reference") is None and why_not("auto") is None
    assert why_not("native") == why_not_native()
    assert why_not("triton") == why_not_triton()


@needs_interpreter
def test_the_interpreter_is_taken_by_name_only() -> None:
    assert choose_backend("op", None, {"triton": None}) == "eager"
    assert choose_backend("op", "triton", {"triton": None}) == "triton"


def test_a_block_holds_for_its_own_thread() -> None:
    seen: list[Backend] = []

    def other() -> None:
        seen.append(asked_backend())
        with use_backend("native"):
            seen.append(asked_backend())

    with use_backend("eager"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert asked_backend() == "eager"
    assert seen == ["auto", "native"]


class Graphs:
    """A backend of ``torch.compile`` that keeps the targets of each graph's calls, and of each graph that runs."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.ran: list[str] = []

    def __call__(self, graph: torch.fx.GraphModule, _: list[Tensor]):
        calls = " ".join(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        self.calls.append(calls)

        def run(*args):
            self.ran.append(calls)
            return graph.forward(*args)

        return run


def attend(x: Tensor) -> Tensor:
    return joint_attention(x, x, x)


@pytest.mark.slow
@needs_native
def test_compiled_graph_of_one_backend_is_not_used_under_another() -> None:
    torch._dynamo.reset()
    graphs, x = Graphs(), torch.ones(1, 1, 3, 1, 2)
    compiled = torch.compile(attend, backend=graphs, fullgraph=True)
    with use_backend("native"):
        compiled(x)
    with use_backend("eager"):
        compiled(x)
    assert ["olift.joint_attention" in calls for calls in graphs.calls] == [True, False]
    for name in ("native", "eager", "reference", "native"):
        with use_backend(name):
            compiled(x)
    assert len(graphs.calls) == 2

    def other() -> None:
        with use_backend("native"):
            compiled(x)

    # PyTorch may compile anew in the thread, where its own settings differ; what runs is native all the same.
    graphs.ran.clear()
    with use_backend("eager"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        compiled(x)
    assert ["olift.joint_attention" in calls for calls in graphs.ran] == [True, False]


@pytest.mark.slow
@needs_native
def test_compiled_function_may_hold_a_block() -> None:
    torch._dynamo.reset()

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        with use_backend("eager"):
            first = attend(x)
        with use_backend("native"):
            return first, attend(x)

    graphs = Graphs()
    torch.compile(both, backend=graphs, fullgraph=True)(torch.ones(1, 1, 3, 1, 2))
    (calls,) = graphs.calls
    assert calls.count("olift.joint_attention") == 1
    assert asked_backend() == "auto"


@pytest.mark.slow
@needs_native
def test_compiled_graph_keeps_what_the_variable_said(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    graphs, x = Graphs(), torch.ones(1, 1, 3, 1, 2)
    compiled = torch.compile(attend, backend=graphs, fullgraph=True)
    monkeypatch.setenv("OLIFT_BACKEND", "eager")
    compiled(x)
    monkeypatch.setenv("OLIFT_BACKEND", "native")
    compiled(x)
    assert ["olift.joint_attention" in calls for calls in graphs.calls] == [False]
    with use_backend("native"):
        compiled(x)
    assert ["olift.joint_attention" in calls for calls in graphs.calls] == [False, True]
