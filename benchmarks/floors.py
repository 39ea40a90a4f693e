"""Operations per byte of a case, by the formulas of ROOFLINE.md, where its facts suffice for them."""

from __future__ import annotations

from benchmarks.records import Case

BYTES = {"torch.float32": 4, "torch.float64": 8, "torch.float16": 2, "torch.bfloat16": 2}


def operations_per_byte(case: Case) -> float | None:
    """The formula's operations over the bytes that must move, forward or forward + backward; None if not derivable."""
    found = _attention(case) if "attention" in case.function else _procrustes(case)
    return None if found is None else found[0] / found[1]


def _attention(case: Case) -> tuple[float, float] | None:
    """(operations, bytes) of one row of Dh channels: 4 Dh a pair forward, 10 backward; q, k, v, out, the gradients."""
    shape, window = case.facts.get("shape"), case.facts.get("window")
    if not isinstance(shape, list) or len(shape) != 5:
        return None
    joints, width = shape[2], shape[4]
    if case.function.startswith("joint_attention"):
        pairs = joints
    elif case.function.startswith("banded_attention") and isinstance(window, int | list):
        left, right = (window, window) if isinstance(window, int) else window
        pairs = left + right + 1
    else:
        return None
    # The suites that name no dtype run in float32.
    element = BYTES.get(str(case.facts.get("dtype", "torch.float32")))
    if element is None:
        return None
    if case.facts.get("backward"):
        return 14 * pairs * width, 12 * width * element + 8
    return 4 * pairs * width, 4 * width * element + 4


def _procrustes(case: Case) -> tuple[float, float] | None:
    """(operations, bytes) of one problem in float32; ROOFLINE.md has a fit, and an error with its gradients."""
    points, of, backward = (case.facts.get(key) for key in ("points", "of", "backward"))
    if case.function != "procrustes" or not isinstance(points, int):
        return None
    if of == "rotation" and not backward:
        return 54 * points + 4000, 24 * points + 56
    if of == "error" and backward:
        return 150 * points + 4000, 84 * points
    return None
