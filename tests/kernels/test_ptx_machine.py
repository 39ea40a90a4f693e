"""The machine for PTX: what each instruction computes, how threads part and meet, and what it refuses."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence

import numpy as np
import ptx
import pytest

HEAD = """
.version 8.7
.target sm_90a
.address_size 64
.extern .shared .align 16 .b8 dynamic[];
.visible .entry kernel({parameters}
)
{{
    .reg .pred %p<16>;
    .reg .b16 %h<32>;
    .reg .b32 %r<64>;
    .reg .b64 %d<64>;
    .reg .f32 %f<32>;
    .reg .f64 %g<16>;
    mov.u32 %r0, %tid.x;
"""


def program(body: str, buffers: int) -> ptx.Program:
    """A kernel whose buffers are at %d0, %d1, …, and whose thread is %r0."""
    parameters = ",".join(f"\n    .param .u64 .ptr .global .align 1 kernel_param_{k}" for k in range(buffers))
    loads = "".join(f"    ld.param.u64 %d{k}, [kernel_param_{k}];\n" for k in range(buffers))
    return ptx.parse(HEAD.format(parameters=parameters) + loads + body + "\n    ret;\n}\n")


def execute(
    body: str, *arrays: np.ndarray, threads: int = 32, blocks: int = 1, shared: int = 0, races: bool = True
) -> None:
    memory = ptx.GlobalMemory()
    at = [memory.add(f"{k}", array) for k, array in enumerate(arrays)]
    of = program(body, len(arrays))
    ptx.run(of, memory, ptx.pack(of, at), (blocks, 1, 1), threads, shared, races=races)


def compute(lines: str, *inputs: np.ndarray, out: str, threads: int = 32) -> np.ndarray:
    """What `lines` leave in %d40 or below, from the inputs' words in %d20, %d21, … (%r, %h, … by their size)."""
    stem, width = {8: ("d", 64), 4: ("r", 32), 2: ("h", 16)}, {}
    body = "mul.wide.u32 %d19, %r0, 8;\n"
    for k, given in enumerate(inputs):
        name = stem[given.itemsize]
        width[k] = name
        body += f"add.u64 %d18, %d{k}, %d19;\nld.global.b{name[1]} %{name[0]}{20 + k}, [%d18];\n"
    result = np.zeros(threads * (8 // np.dtype(out).itemsize), out)
    name = stem[result.itemsize]
    body += f"{lines}\nadd.u64 %d18, %d{len(inputs)}, %d19;\nst.global.b{name[1]} [%d18], %{name[0]}10;\n"
    wide = []
    for given in inputs:
        apart = np.zeros((threads, 8 // given.itemsize), given.dtype)
        apart[:, 0] = given
        wide.append(apart.reshape(-1))
    execute(body, *wide, result, threads=threads)
    return result[:: 8 // result.itemsize]


RANDOM = np.random.default_rng(0)
EDGES = np.array([0, 1, 2, 3, 7, 31, 32, 33, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 2, 0x80000001], np.uint32)
WORDS = np.concatenate([EDGES, RANDOM.integers(0, 2**32, 50, np.uint32)])
OTHERS = np.concatenate(
    [RANDOM.permutation(EDGES), RANDOM.integers(0, 2**32, 25, np.uint32), np.arange(25, dtype=np.uint32)]
)
THIRDS = RANDOM.integers(0, 2**32, 64, np.uint32)
THIRDS[::3] %= 40


def signed(x: int, bits: int = 32) -> int:
    return x - (x >> (bits - 1) << bits)


def cut(a: int, b: int) -> int:
    """The quotient, towards zero."""
    return (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)


def field(x: int, begin: int, count: int, is_signed: bool) -> int:
    begin, count = begin & 255, count & 255
    digits = [x >> min(i, 31) & 1 if is_signed or i < 32 else 0 for i in range(begin, begin + count)]
    if is_signed and count:
        last = x >> min(begin + count - 1, 31) & 1
        digits += [last] * 32
    return sum(digit << i for i, digit in enumerate(digits[:32]))


def inserted(x: int, into: int, begin: int, count: int) -> int:
    begin, count = begin & 255, count & 255
    mask = (((1 << count) - 1) << begin) & 0xFFFFFFFF
    return (into & ~mask) | (x << begin) & mask


def permuted(a: int, b: int, selector: int) -> int:
    pool = a.to_bytes(4, "little") + b.to_bytes(4, "little")
    chosen = [selector >> 4 * k & 15 for k in range(4)]
    return int.from_bytes([(255 if pool[c & 7] & 128 else 0) if c & 8 else pool[c & 7] for c in chosen], "little")


def looked_up(a: int, b: int, c: int, table: int) -> int:
    return sum((table >> (4 * (a >> i & 1) + 2 * (b >> i & 1) + (c >> i & 1)) & 1) << i for i in range(32))


INTEGER: dict[str, Callable[[int, int, int], int]] = {
    "add.s32 %r10, %r20, %r21;": lambda a, b, c: a + b,
    "sub.s32 %r10, %r20, %r21;": lambda a, b, c: a - b,
    "mul.lo.s32 %r10, %r20, %r21;": lambda a, b, c: a * b,
    "mul.hi.u32 %r10, %r20, %r21;": lambda a, b, c: a * b >> 32,
    "mul.hi.s32 %r10, %r20, %r21;": lambda a, b, c: signed(a) * signed(b) >> 32,
    "mad.lo.s32 %r10, %r20, %r21, %r22;": lambda a, b, c: a * b + c,
    "div.u32 %r10, %r20, %r21;": lambda a, b, c: a // b if b else -1,
    "div.s32 %r10, %r20, %r21;": lambda a, b, c: cut(signed(a), signed(b)) if b else -1,
    "rem.s32 %r10, %r20, %r21;": lambda a, b, c: signed(a) - signed(b) * cut(signed(a), signed(b)) if b else a,
    "rem.u32 %r10, %r20, %r21;": lambda a, b, c: a % b if b else a,
    "min.s32 %r10, %r20, %r21;": lambda a, b, c: min(signed(a), signed(b)),
    "max.u32 %r10, %r20, %r21;": lambda a, b, c: max(a, b),
    "neg.s32 %r10, %r20;": lambda a, b, c: -a,
    "abs.s32 %r10, %r20;": lambda a, b, c: abs(signed(a)),
    "and.b32 %r10, %r20, %r21;": lambda a, b, c: a & b,
    "or.b32 %r10, %r20, 0xF0F0;": lambda a, b, c: a | 0xF0F0,
    "xor.b32 %r10, %r20, -2;": lambda a, b, c: a ^ 0xFFFFFFFE,
    "not.b32 %r10, %r20;": lambda a, b, c: ~a,
    "lop3.b32 %r10, %r20, %r21, %r22, 0x96;": lambda a, b, c: a ^ b ^ c,
    "lop3.b32 %r10, %r20, %r21, %r22, 202;": lambda a, b, c: looked_up(a, b, c, 202),
    "shl.b32 %r10, %r20, %r22;": lambda a, b, c: a << min(c, 32),
    "shr.u32 %r10, %r20, %r22;": lambda a, b, c: a >> min(c, 32),
    "shr.s32 %r10, %r20, %r22;": lambda a, b, c: signed(a) >> min(c, 32),
    "shf.l.wrap.b32 %r10, %r20, %r21, %r22;": lambda a, b, c: ((b << 32 | a) << (c & 31)) >> 32,
    "shf.r.wrap.b32 %r10, %r20, %r21, %r22;": lambda a, b, c: (b << 32 | a) >> (c & 31),
    "shf.r.clamp.b32 %r10, %r20, %r21, %r22;": lambda a, b, c: (b << 32 | a) >> min(c, 32),
    "bfe.u32 %r10, %r20, %r22, 7;": lambda a, b, c: field(a, c, 7, False),
    "bfe.s32 %r10, %r20, 3, %r22;": lambda a, b, c: field(a, 3, c, True),
    "bfe.s32 %r10, %r20, %r22, 9;": lambda a, b, c: field(a, c, 9, True),
    "bfi.b32 %r10, %r20, %r21, %r22, 5;": lambda a, b, c: inserted(a, b, c, 5),
    "popc.b32 %r10, %r20;": lambda a, b, c: a.bit_count(),
    "clz.b32 %r10, %r20;": lambda a, b, c: 32 - a.bit_length(),
    "brev.b32 %r10, %r20;": lambda a, b, c: int(f"{a:032b}"[::-1], 2),
    "bfind.u32 %r10, %r20;": lambda a, b, c: a.bit_length() - 1,
    "bfind.s32 %r10, %r20;": lambda a, b, c: (a if signed(a) >= 0 else ~signed(a)).bit_length() - 1,
    "bfind.shiftamt.u32 %r10, %r20;": lambda a, b, c: 32 - a.bit_length() if a else -1,
    "prmt.b32 %r10, %r20, %r21, %r22;": permuted,
    "prmt.b32 %r10, %r20, %r21, 0x7632;": lambda a, b, c: permuted(a, b, 0x7632),
    "setp.lt.s32 %p0, %r20, %r21;\nselp.b32 %r10, %r20, %r21, %p0;": lambda a, b, c: min(signed(a), signed(b)),
    "setp.hi.u32 %p0, %r20, %r21;\nselp.b32 %r10, 1, 0, %p0;": lambda a, b, c: int(a > b),
    "setp.eq.s32 %p1, %r22, 3;\nsetp.ge.or.u32 %p0|%p2, %r20, %r21, %p1;\nselp.b32 %r10, 1, 0, %p2;": lambda a, b, c: (
        int(a < b or c == 3)
    ),
    "mov.b32 {%h1, %h2}, %r20;\nmov.b32 %r10, {%h2, %h1};": lambda a, b, c: a >> 16 | (a & 0xFFFF) << 16,
    "cvt.u16.u32 %h1, %r20;\ncvt.s32.s16 %r10, %h1;": lambda a, b, c: signed(a & 0xFFFF, 16),
    "cvt.sat.u8.s32 %r10, %r20;": lambda a, b, c: min(max(signed(a), 0), 255),
    "mov.b32 %r10, %r21;\nsetp.ne.b32 %p0, %r22, 7;\n@!%p0 mov.b32 %r10, %r20;": lambda a, b, c: b if c != 7 else a,
}


@pytest.mark.parametrize("lines", INTEGER, ids=lambda lines: re.sub(r"[%;\s]+", " ", lines))
def test_whole_numbers(lines: str) -> None:
    got = compute(lines, WORDS, OTHERS, THIRDS, out="u4", threads=64)
    for a, b, c, value in zip(*(x.tolist() for x in (WORDS, OTHERS, THIRDS, got)), strict=True):
        assert value == INTEGER[lines](a, b, c) & 0xFFFFFFFF, (hex(a), hex(b), hex(c))


WIDE: dict[str, Callable[[int, int], int]] = {
    "mul.hi.u64 %d10, %d20, %d21;": lambda a, b: a * b >> 64,
    "mul.hi.s64 %d10, %d20, %d21;": lambda a, b: signed(a, 64) * signed(b, 64) >> 64,
    "mul.lo.s64 %d10, %d20, %d21;": lambda a, b: a * b,
    "div.s64 %d10, %d20, %d21;": lambda a, b: cut(signed(a, 64), signed(b, 64)),
    "rem.u64 %d10, %d20, %d21;": lambda a, b: a % b,
    "shr.s64 %d10, %d20, 7;": lambda a, b: signed(a, 64) >> 7,
    "bfe.u64 %d10, %d20, 30, 10;": lambda a, b: a >> 30 & 1023,
    "popc.b64 %r1, %d20;\ncvt.u64.u32 %d10, %r1;": lambda a, b: a.bit_count(),
    "clz.b64 %r1, %d20;\ncvt.u64.u32 %d10, %r1;": lambda a, b: 64 - a.bit_length(),
    "cvt.u32.u64 %r1, %d20;\ncvt.s64.s32 %d10, %r1;": lambda a, b: signed(a & 0xFFFFFFFF),
    "mov.b64 {%r1, %r2}, %d20;\nmad.wide.s32 %d10, %r1, %r2, %d21;": lambda a, b: (
        signed(a & 0xFFFFFFFF) * signed(a >> 32) + b
    ),
    "mov.b64 {%r1, %r2}, %d20;\nmul.wide.u32 %d10, %r1, %r2;": lambda a, b: (a & 0xFFFFFFFF) * (a >> 32),
    "mov.b64 {%r1, %r2}, %d20;\nmov.b64 %d10, {%r2, %r1};": lambda a, b: a >> 32 | (a & 0xFFFFFFFF) << 32,
}


@pytest.mark.parametrize("lines", WIDE, ids=lambda lines: re.sub(r"[%;\s]+", " ", lines))
def test_whole_numbers_of_64_bits(lines: str) -> None:
    a, b = RANDOM.integers(0, 2**64, (2, 32), np.uint64)
    a[:3], b[3:6] = (0, 2**63, 2**64 - 1), (1, 2**63, 2**64 - 1)
    got = compute(lines, a, b, out="u8")
    assert got.tolist() == [WIDE[lines](x, y) % 2**64 for x, y in zip(a.tolist(), b.tolist(), strict=True)]


def single(x: float) -> float:
    return float(np.float32(x))


SINGLE: dict[str, tuple[Callable[[float, float, float], float], float]] = {
    "add.rn.f32 %f1, %f20, %f21;": (lambda a, b, c: a + b, 0),
    "mul.f32 %f1, %f20, %f21;": (lambda a, b, c: a * b, 0),
    "fma.rn.f32 %f1, %f20, %f21, %f22;": (lambda a, b, c: a * b + c, 0),
    "div.rn.f32 %f1, %f20, %f21;": (lambda a, b, c: a / b, 0),
    "div.full.f32 %f1, %f20, %f21;": (lambda a, b, c: a / b, 1e-6),
    "max.f32 %f1, %f20, 0f00000000;": (lambda a, b, c: max(a, 0), 0),
    "neg.f32 %f1, %f20;": (lambda a, b, c: -a, 0),
    "ex2.approx.ftz.f32 %f1, %f20;": (lambda a, b, c: 2**a, 1e-6),
    "sin.approx.f32 %f1, %f20;": (lambda a, b, c: math.sin(a), 1e-6),
    "cos.approx.ftz.f32 %f1, %f20;": (lambda a, b, c: math.cos(a), 1e-6),
    "tanh.approx.f32 %f1, %f20;": (lambda a, b, c: math.tanh(a), 1e-6),
    "rcp.approx.ftz.f32 %f1, %f20;": (lambda a, b, c: 1 / a, 1e-6),
    "abs.f32 %f2, %f20;\nlg2.approx.f32 %f1, %f2;": (lambda a, b, c: math.log2(abs(a)), 1e-6),
    "abs.f32 %f2, %f20;\nrsqrt.approx.f32 %f1, %f2;": (lambda a, b, c: abs(a) ** -0.5, 1e-6),
    "abs.f32 %f2, %f20;\nsqrt.rn.f32 %f1, %f2;": (lambda a, b, c: math.sqrt(abs(a)), 0),
    "cvt.rmi.ftz.f32.f32 %f1, %f20;": (lambda a, b, c: math.floor(a), 0),
    "cvt.rni.s32.f32 %r1, %f20;\ncvt.rn.f32.s32 %f1, %r1;": (lambda a, b, c: round(a), 0),
    "cvt.rzi.s32.f32 %r1, %f20;\ncvt.rn.f32.s32 %f1, %r1;": (lambda a, b, c: int(a), 0),
    "cvt.f64.f32 %g1, %f20;\ncvt.f64.f32 %g2, %f21;\nmul.f64 %g3, %g1, %g2;\ncvt.rn.f32.f64 %f1, %g3;": (
        lambda a, b, c: a * b,
        0,
    ),
    "setp.ltu.f32 %p0, %f20, %f21;\nselp.f32 %f1, 0f3F800000, 0fC0000000, %p0;": (
        lambda a, b, c: 1 if a < b else -2,
        0,
    ),
}


@pytest.mark.parametrize("lines", SINGLE, ids=lambda lines: re.sub(r"[%;\s]+", " ", lines))
def test_floats(lines: str) -> None:
    wanted, tolerance = SINGLE[lines]
    given = RANDOM.normal(0, 3, (3, 32)).astype(np.float32)
    moves = "".join(f"mov.b32 %f{20 + k}, %r{20 + k};\n" for k in range(3))
    got = compute(f"{moves}{lines}\nmov.b32 %r10, %f1;", *given.view(np.uint32), out="u4").view(np.float32)
    for value, numbers in zip(got.tolist(), given.T.tolist(), strict=True):
        exact = wanted(*numbers)
        assert value == single(exact) if not tolerance else abs(value - exact) <= tolerance * (1 + abs(exact))


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("min.f32 %f1, %f20, %f21;", 2.0),
        ("min.NaN.f32 %f1, %f20, %f21;", math.nan),
        ("setp.lt.f32 %p0, %f20, %f21;\nselp.f32 %f1, 1.0, 0.0, %p0;", 0.0),
        ("setp.geu.f32 %p0, %f20, %f21;\nselp.f32 %f1, 1.0, 0.0, %p0;", 1.0),
        ("setp.ne.f32 %p0, %f20, %f21;\nselp.f32 %f1, 1.0, 0.0, %p0;", 0.0),
        ("setp.neu.f32 %p0, %f20, %f20;\nselp.f32 %f1, 1.0, 0.0, %p0;", 1.0),
        ("setp.nan.f32 %p0, %f20, %f21;\nselp.f32 %f1, 1.0, 0.0, %p0;", 1.0),
        ("cvt.rzi.s32.f32 %r1, %f20;\ncvt.rn.f32.s32 %f1, %r1;", 0.0),
        ("mul.ftz.f32 %f1, 0f00800000, 0f3F000000;", 0.0),
        ("mul.f32 %f1, 0f00800000, 0f3F000000;", 2.0**-127),
        ("mov.f32 %f2, 0f7F7FFFFF;\ncvt.rzi.s32.f32 %r1, %f2;\ncvt.rn.f32.s32 %f1, %r1;", 2.0**31),
    ],
)
def test_nan_and_the_ends_of_the_range(lines: str, wanted: float) -> None:
    """%f20 is NaN, %f21 is 2."""
    lines = f"mov.b32 %f20, 0f7FC00000;\nmov.b32 %f21, 0f40000000;\n{lines}\nmov.b32 %r10, %f1;"
    np.testing.assert_array_equal(compute(lines, out="u4").view(np.float32), np.full(32, wanted, np.float32))


@pytest.mark.parametrize(("half", "kind"), [("bf16", None), ("f16", np.float16)])
def test_half_precision_rounds_to_the_nearest(half: str, kind: type | None) -> None:
    given = RANDOM.normal(0, 3, 32).astype(np.float32)
    given[:4] = 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11, 65519
    lines = f"mov.b32 %f20, %r20;\ncvt.rn.{half}.f32 %h1, %f20;\ncvt.f32.{half} %f1, %h1;\nmov.b32 %r10, %f1;"
    got = compute(lines, given.view(np.uint32), out="u4").view(np.float32)
    if kind is not None:
        assert np.array_equal(got, given.astype(kind).astype(np.float32))
        return
    for value, exact in zip(got.tolist(), given.tolist(), strict=True):
        bits = struct.unpack("<I", struct.pack("<f", exact))[0]
        neighbors = [struct.unpack("<f", struct.pack("<I", ((bits >> 16) + up) << 16))[0] for up in (0, 1)]
        assert value == min(neighbors, key=lambda x: (abs(x - exact), struct.pack("<f", x)[2] & 1))


@pytest.mark.parametrize("half", ["bf16", "f16"])
def test_pairs_of_halves(half: str) -> None:
    """The second operand of `cvt` is the low half."""
    low, high = RANDOM.normal(0, 1, (2, 32)).astype(np.float32)
    lines = f"""mov.b32 %f20, %r20;
    mov.b32 %f21, %r21;
    cvt.rn.{half}x2.f32 %r1, %f21, %f20;
    fma.rn.{half}x2 %r2, %r1, %r1, %r1;
    neg.{half}x2 %r2, %r2;
    mov.b32 {{%h1, %h2}}, %r2;
    cvt.f32.{half} %f1, %h1;
    cvt.f32.{half} %f2, %h2;
    sub.f32 %f3, %f2, %f1;
    mov.b32 %r10, %f3;"""
    got = compute(lines, low.view(np.uint32), high.view(np.uint32), out="u4").view(np.float32)
    exact = -(high**2 + high) + low**2 + low
    assert np.abs(got - exact).max() < (0.04 if half == "bf16" else 0.006)
    assert np.abs(got - exact).max() > 0


def test_tf32_keeps_eleven_bits() -> None:
    given = np.array([1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-12, -3.14159], np.float32)
    lines = "mov.b32 %f20, %r20;\ncvt.rna.tf32.f32 %r10, %f20;"
    got = compute(lines, np.resize(given.view(np.uint32), 32), out="u4").view(np.float32)[:4]
    assert got[:3].tolist() == [1 + 2.0**-10, 1 + 2.0**-9, 1.0]
    assert abs(float(got[3]) + 3.14159) < 2.0**-10 and not got.view(np.uint32)[3] & 0x1FFF


LANES = np.arange(32)


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("shfl.sync.bfly.b32 %r10, %r20, 5, 31, -1;", LANES ^ 5),
        ("shfl.sync.idx.b32 %r10, %r20, 9, 31, -1;", np.full(32, 9)),
        ("shfl.sync.idx.b32 %r10, %r20, 1, 0x181F, -1;", LANES // 8 * 8 + 1),
        ("shfl.sync.up.b32 %r10, %r20, 3, 0, -1;", np.where(LANES < 3, LANES, LANES - 3)),
        ("shfl.sync.down.b32 %r10|%p0, %r20, 30, 31, -1;\n@!%p0 mov.b32 %r10, 99;",
         np.where(LANES < 2, LANES + 30, 99)),
        ("setp.lt.u32 %p0, %r20, 5;\nvote.sync.ballot.b32 %r10, %p0, -1;", np.full(32, 31)),
        ("setp.lt.u32 %p0, %r20, 5;\nvote.sync.any.pred %p1, %p0, -1;\nselp.b32 %r10, 1, 0, %p1;", np.full(32, 1)),
        ("setp.lt.u32 %p0, %r20, 5;\nvote.sync.all.pred %p1, %p0, -1;\nselp.b32 %r10, 1, 0, %p1;", np.full(32, 0)),
        ("redux.sync.add.s32 %r10, %r20, -1;", np.full(32, 496)),
        ("redux.sync.max.u32 %r10, %r20, -1;", np.full(32, 31)),
        ("elect.sync %r1|%p0, -1;\nselp.b32 %r10, 1, 0, %p0;", LANES == 0),
        ("setp.lt.u32 %p0, %r20, 8;\nmov.b32 %r10, 7;\n@%p0 bra on;\nbra.uni out;\non:\n"
         "shfl.sync.bfly.b32 %r10, %r20, 1, 31, 255;\nout:", np.where(LANES < 8, LANES ^ 1, 7)),
        ("activemask.b32 %r10;", np.full(32, 0xFFFFFFFF)),
    ],
)  # fmt: skip
def test_lanes_tell_each_other(lines: str, wanted: np.ndarray) -> None:
    assert compute(lines, LANES.astype(np.uint32), out="u4").tolist() == wanted.astype(np.uint32).tolist()


def test_threads_that_part_meet_again() -> None:
    """Each thread adds up its own number of terms; then all of a block meet, whatever way they came."""
    body = """
    mov.b32 %r1, 0;
    mov.b32 %r2, %r0;
loop:
    setp.eq.u32 %p0, %r2, 0;
    @%p0 bra done;
    add.u32 %r1, %r1, %r2;
    sub.u32 %r2, %r2, 1;
    bra.uni loop;
done:
    setp.gt.u32 %p1, %r0, 40;
    @%p1 bra late;
    bar.sync 0;
    bra.uni after;
late:
    bar.sync 0;
after:
    setp.eq.u32 %p2, %r0, 3;
    @%p2 ret;
    mul.wide.u32 %d1, %r0, 4;
    add.u64 %d2, %d0, %d1;
    st.global.u32 [%d2], %r1;"""
    got = np.full(64, 77, np.uint32)
    execute(body, got, threads=64)
    wanted = [n * (n + 1) // 2 for n in range(64)]
    wanted[3] = 77
    assert got.tolist() == wanted


def test_many_blocks_each_know_their_place() -> None:
    body = """
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %nctaid.x;
    mov.u32 %r3, %ntid.x;
    mad.lo.u32 %r4, %r1, %r3, %r0;
    mul.lo.u32 %r5, %r1, %r2;
    mul.wide.u32 %d1, %r4, 4;
    add.u64 %d2, %d0, %d1;
    st.global.u32 [%d2], %r5;"""
    got = np.zeros(300 * 64, np.uint32)
    execute(body, got, threads=64, blocks=300)
    assert got.tolist() == np.repeat(np.arange(300) * 300, 64).tolist()


def test_names_of_inner_scopes_are_their_own() -> None:
    lines = "mov.b32 %r1, 5;\n{ .reg .b32 %r1; mov.b32 %r1, 6; }\nmov.b32 %r10, %r1;"
    assert set(compute(lines, out="u4").tolist()) == {5}


# Matrices.


def fragments(rows: int, columns: int, registers: int, packed: int, of_b: bool = False):
    """For each register, lane and packed element its row and column, as the PTX ISA lists them for 16-bit products."""
    for register in range(registers):
        for lane in range(32):
            for e in range(packed):
                group, inner = divmod(lane, 4)
                if of_b:
                    yield register, lane, e, inner * packed + e + 4 * packed * register, group
                else:
                    row = group if register % 2 == 0 else group + 8
                    yield register, lane, e, row, inner * packed + e + (4 * packed if register >= 2 else 0)


PRODUCTS = [
    ("m16n8k16", "bf16", 2, 16),
    ("m16n8k16", "f16", 2, 16),
    ("m16n8k8", "f16", 2, 8),
    ("m16n8k8", "tf32", 1, 8),
]


@pytest.mark.parametrize(("shape", "kind", "packed", "depth"), PRODUCTS)
def test_product_of_a_warp(shape: str, kind: str, packed: int, depth: int) -> None:
    a, b, c = (RANDOM.integers(-8, 8, size).astype(np.float32) for size in ((16, depth), (depth, 8), (16, 8)))

    def bits(x: float) -> int:
        if kind == "f16":
            return int(np.float16(x).view(np.uint16))
        word = int(np.float32(x).view(np.uint32))
        return word >> 16 if kind == "bf16" else word

    count = depth // (4 * packed)
    left, right, sums = (np.zeros((n, 32), np.uint32) for n in (2 * count, count, 4))
    for register, lane, e, row, column in fragments(16, depth, 2 * count, packed):
        left[register, lane] |= bits(a[row, column]) << 16 * e
    for register, lane, e, row, column in fragments(depth, 8, count, packed, of_b=True):
        right[register, lane] |= bits(b[row, column]) << 16 * e
    for register in range(4):
        for lane in range(32):
            sums[register, lane] = np.float32(c[lane // 4 + 8 * (register // 2), lane % 4 * 2 + register % 2]).view(
                np.uint32
            )
    words = np.concatenate([left, right, sums])
    loads = "".join(f"ld.global.b32 %r{20 + k}, [%d1+{128 * k}];\n" for k in range(len(words)))
    names = [f"%r{20 + k}" for k in range(len(words))]
    parts = (names[: 2 * count], names[2 * count : 3 * count], names[3 * count :])
    operands = ", ".join("{" + ",".join(part) + "}" for part in (["%r10", "%r11", "%r12", "%r13"], *parts))
    stores = "".join(f"st.global.b32 [%d2+{128 * k}], %r{10 + k};\n" for k in range(4))
    of = f"mma.sync.aligned.{shape}.row.col.f32.{kind}.{kind}.f32 {operands};"
    place = "mul.wide.u32 %d3, %r0, 4;\nadd.u64 %d1, %d0, %d3;\nadd.u64 %d2, %d4, %d3;\n"
    got = np.zeros((4, 32), np.float32)
    execute(f"mov.b64 %d4, %d1;\n{place}{loads}{of}\n{stores}", words, got)
    product = a @ b + c
    for register in range(4):
        for lane in range(32):
            wanted = product[lane // 4 + 8 * (register // 2), lane % 4 * 2 + register % 2]
            assert got[register, lane] == wanted


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_matrices_go_to_shared_memory_and_back(count: int, transposed: bool) -> None:
    """Stored as they are, and loaded as they are or transposed: lane l holds row l/4, columns 2(l%4) and the next."""
    body = f"""
    mov.b32 %r1, dynamic;
    mad.lo.u32 %r1, %r0, 16, %r1;
    mul.wide.u32 %d3, %r0, 4;
    add.u64 %d4, %d0, %d3;
    add.u64 %d5, %d1, %d3;
    {"".join(f"ld.global.b32 %r{10 + k}, [%d4+{128 * k}];" for k in range(count))}
    stmatrix.sync.aligned.m8n8.x{count}.shared.b16 [%r1], {{{", ".join(f"%r{10 + k}" for k in range(count))}}};
    bar.sync 0;
    ldmatrix.sync.aligned.m8n8.x{count}{".trans" if transposed else ""}.shared.b16
        {{{", ".join(f"%r{20 + k}" for k in range(count))}}}, [%r1];
    {"".join(f"st.global.b32 [%d5+{128 * k}], %r{20 + k};" for k in range(count))}"""
    given = RANDOM.integers(0, 2**16, (count, 8, 8), np.uint16)
    got = np.zeros((count, 8, 8), np.uint16)
    execute(body, given, got, shared=512)
    assert np.array_equal(got, given.swapaxes(1, 2) if transposed else given)


# What is refused.

PLACE = "mul.wide.u32 %d9, %r0, 4;\nadd.u64 %d8, %d0, %d9;\n"


@pytest.mark.parametrize(
    ("lines", "fault", "told"),
    [
        (f"{PLACE}ld.global.b32 %r1, [%d8];", ptx.OutOfBounds, "4 bytes at offset 120 of buffer 0, which has 120"),
        (f"{PLACE}st.global.b32 [%d8+-4], %r1;", ptx.OutOfBounds, "is in no buffer"),
        ("st.global.b32 [%d0+4096], %r0;", ptx.OutOfBounds, "offset 4096 of buffer 0"),
        ("mov.b64 %d1, 0;\nld.global.b32 %r1, [%d1];", ptx.OutOfBounds, "is in no buffer"),
        ("ld.global.b32 %r1, [%d0+2];", ptx.Misaligned, "4 bytes at offset 2 of buffer 0, no multiple of 4"),
        ("ld.global.v4.b32 {%r1,%r2,%r3,%r4}, [%d0+8];", ptx.Misaligned, "16 bytes at offset 8"),
        ("mov.b32 %r1, dynamic;\nst.shared.b32 [%r1+64], %r1;", ptx.OutOfBounds, "offset 64 of shared memory, which"),
        ("ld.shared.b32 %r1, [0];", ptx.OutOfBounds, "shared memory"),
        ("mov.b32 %r1, dynamic;\nld.shared.b64 %d1, [%r1+4];", ptx.Misaligned, "8 bytes at offset 4 of shared memory"),
        ("cp.async.cg.shared.global [dynamic], [%d0+4], 16;", ptx.Misaligned, "offset 4 of buffer 0"),
        ("cp.async.ca.shared.global [dynamic+62], [%d0], 4;\ncp.async.wait_all;", ptx.OutOfBounds, "shared memory"),
        ("trap;", ptx.Trap, "the kernel traps"),
        ("setp.lt.u32 %p0, %r0, 5;\n@%p0 bra out;\nshfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;\nout:\nbar.sync 0;",
         ptx.Deadlock, "waits for lanes of its warp that never come"),
        ("setp.lt.u32 %p0, %r0, 32;\n@%p0 bra out;\nbar.sync 1;\nout:\nbar.sync 0;",
         ptx.Deadlock, "waits at barrier"),
        ("setp.lt.u32 %p0, %r0, 9;\n@%p0 bra out;\nmma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
         "{%f1,%f2,%f3,%f4}, {%r1,%r2}, {%r3}, {%f1,%f2,%f3,%f4};\nout:", ptx.Fault, "needs all lanes of a warp"),
    ],
)  # fmt: skip
def test_what_a_kernel_must_not_do(lines: str, fault: type[ptx.Fault], told: str) -> None:
    memory = np.zeros(30, np.uint32)
    with pytest.raises(fault) as raised:
        execute(
            f".loc 1 12 3 // standard.py:9:1 @[ kernels.py:12:3 ]\n{lines}",
            memory,
            np.zeros(1024, np.uint32),
            threads=64,
            shared=64,
        )
    assert told in str(raised.value)
    assert "standard.py:9, in kernels.py:12" in str(raised.value)
    assert "of block 0" in str(raised.value) or fault is ptx.Fault


@pytest.mark.parametrize(
    "line",
    [
        "frobnicate.b32 %r1, %r2;",
        "add.sat.s32 %r1, %r2, %r3;",
        "add.rz.f32 %f1, %f2, %f3;",
        "mul.s32 %r1, %r2, %r3;",
        "atom.global.add.u32 %r1, [%d0], 1;",
        "ld.weird.b32 %r1, [%d0];",
        "bra nowhere;",
        "add.s32 %r1, %r2, %unknown;",
        "add.s64 %d1, %r2, %d3;",
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, {%r5,%r6}, "
        "{%f1,%f2,%f3,%f4};",
    ],
)
def test_an_instruction_that_is_not_known_is_told_and_not_guessed(line: str) -> None:
    with pytest.raises(ptx.UnknownInstruction, match="instruction not known") as raised:
        execute(line, np.zeros(4))
    assert line.split()[0] in str(raised.value)


SHARED = """
    mov.b32 %r1, dynamic;
    shl.b32 %r2, %r0, 2;
    add.u32 %r3, %r1, %r2;
    xor.b32 %r4, %r2, {other};
    add.u32 %r5, %r1, %r4;
    mul.wide.u32 %d3, %r0, 4;
    add.u64 %d4, %d0, %d3;
"""
WRITE, READ, BLOCK = "st.shared.b32 [%r3], %r0;", "ld.shared.b32 %r6, [%r5];", "bar.sync 0;"
WARP, OUT = "bar.warp.sync -1;", "st.global.b32 [%d4], %r6;"
OVERWRITE = "st.shared.b32 [%r5], %r0;"


@pytest.mark.parametrize(
    ("lines", "other", "races"),
    [
        ([WRITE, BLOCK, READ, OUT], 128, False),
        ([WRITE, READ, OUT], 128, True),
        ([WRITE, WARP, READ, OUT], 128, True),
        ([WRITE, WARP, READ, OUT], 4, False),
        ([WRITE, READ, OUT], 4, True),
        ([WRITE, READ, OUT], 0, False),
        ([READ, WRITE], 128, True),
        ([READ, BLOCK, WRITE], 128, False),
        ([WRITE, OVERWRITE], 128, True),
        ([WRITE, BLOCK, OVERWRITE], 128, False),
        ([WRITE, BLOCK, READ, WRITE], 128, False),  # the same value again
        ([WRITE, BLOCK, READ, "st.shared.b32 [%r3], 5;"], 128, True),
        (["st.shared.b32 [%r3], 7;", "st.shared.b32 [%r5], 7;"], 128, False),
        (["st.shared.b32 [%r1], %r0;"], 0, True),
        (["st.shared.b32 [%r1], 3;"], 0, False),
        (["add.u32 %r7, %r1, %r0;", "st.shared.b8 [%r7], %r0;", BLOCK], 0, False),
    ],
)
def test_threads_that_meet_in_shared_memory_without_a_barrier(lines: list[str], other: int, races: bool) -> None:
    body, out = SHARED.format(other=other) + "\n".join(lines), np.zeros(64, np.uint32)
    if not races:
        execute(body, out, threads=64, shared=256)
        return
    with pytest.raises(ptx.Race, match="shared memory"):
        execute(body, out, threads=64, shared=256)
    execute(body, out, threads=64, shared=256, races=False)


def test_blocks_that_meet_in_global_memory() -> None:
    body = (
        "mov.u32 %r1, %ctaid.x;\nmad.lo.u32 %r1, %r1, {step}, %r0;\nmul.wide.u32 %d1, %r1, 4;\nadd.u64 %d2, %d0, %d1;\n"
    )
    body += "mov.u32 %r2, %ctaid.x;\nst.global.b32 [%d2], %r2;\n"
    execute(body.format(step=32), np.zeros(300 * 32, np.uint32), blocks=300)
    with pytest.raises(ptx.Race, match="write other values to one place of buffer 0"):
        execute(body.format(step=31), np.zeros(300 * 32, np.uint32), blocks=300)
    around = body.replace("mad.lo", "rem.u32 %r1, %r1, 299;\nmad.lo").format(step=32)
    with pytest.raises(
        ptx.Race, match=r"overwrites byte 0 of buffer 0, which thread 0 of block 0 has written.*of block 299"
    ):
        execute(around, np.zeros(300 * 32, np.uint32), blocks=300)
    with pytest.raises(ptx.Race, match=r"reads byte"):
        execute(body.format(step=32) + "ld.global.b32 %r3, [%d0];", np.zeros(300 * 32, np.uint32), blocks=300)


COPY = SHARED + "cp.async.ca.shared.global [%r3], [%d4], 4;\ncp.async.commit_group;\n"


def test_a_copy_is_there_once_it_is_waited_for() -> None:
    """Its bytes come as late as they may: before the wait they are what they were."""
    given, got = np.arange(64, dtype=np.uint32), np.zeros(64, np.uint32)
    store = "add.u64 %d5, %d1, %d3;\nst.global.b32 [%d5], %r6;"
    execute(
        f"{COPY.format(other=128)}cp.async.wait_group 0;\n{BLOCK}\n{READ}\n{store}", given, got, threads=64, shared=256
    )
    assert got.tolist() == (np.arange(64) ^ 32).tolist()
    execute(f"{COPY.format(other=128)}{BLOCK}\n{READ}\n{store}", given, got, threads=64, shared=256)
    assert set(got.tolist()) == {0xFFFFFFFF}
    with pytest.raises(ptx.Race, match="no barrier after it"):
        execute(f"{COPY.format(other=128)}cp.async.wait_group 0;\n{READ}\n{store}", given, got, threads=64, shared=256)


def test_a_copy_of_nothing_reads_nothing() -> None:
    lines = f"cp.async.cg.shared.global [dynamic], [%d1], 16, 0;\ncp.async.wait_all;\n{BLOCK}\n"
    got = np.ones(4, np.uint32)
    execute(f"mov.b64 %d1, 0;\n{lines}ld.shared.b32 %r1, [dynamic+12];\nst.global.b32 [%d0], %r1;", got, shared=16)
    assert got[0] == 0


def test_what_was_never_written_is_nan() -> None:
    got = np.zeros(32, np.float32)
    execute(f"{PLACE}ld.shared.b32 %r1, [dynamic];\nst.global.b32 [%d8], %r1;", got, shared=16)
    assert np.isnan(got).all()


@pytest.mark.parametrize("arguments", [[], [1, 2]])
def test_the_number_of_arguments_is_checked(arguments: Sequence[int]) -> None:
    with pytest.raises(ValueError, match=f"takes 1 arguments, got {len(arguments)}"):
        ptx.pack(program("", 1), arguments)


def test_buffers_keep_their_alignment_and_lie_apart() -> None:
    memory, array = ptx.GlobalMemory(), np.zeros(64, np.uint8)
    first = memory.add("first", array)
    assert first % 16 == array.ctypes.data % 16 and memory.add("again", array) == first
    assert abs(memory.add("second", np.zeros(64, np.uint8)) - first) >= 1 << 39
    crooked = np.arange(40, dtype=np.uint8)[4:36]
    at = memory.add("crooked", crooked)
    of = program("ld.global.b32 %r1, [%d0];\nst.global.b32 [%d0+4], %r1;", 1)
    ptx.run(of, memory, ptx.pack(of, [at]), (1,), 32)
    assert crooked[:9].tolist() == [4, 5, 6, 7, 4, 5, 6, 7, 12]
    with pytest.raises(ptx.OutOfBounds, match="offset 32 of buffer crooked, which has 32"):
        ptx.run(of, memory, ptx.pack(of, [at + 32]), (1,), 32)
    with pytest.raises(ValueError, match="contiguous"):
        memory.add("strided", np.zeros((4, 4))[:, ::2])
