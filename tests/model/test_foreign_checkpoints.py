"""Checkpoints of strangers: whatever is wrong with one, it is refused in one line, in little memory and time."""

from __future__ import annotations

import itertools
import json
import os
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from helpers import error as relative_error
from safetensors.torch import load as parse
from safetensors.torch import save
from safetensors_headers import with_header

from olift_fast.errors import InputError
from olift_fast.io.in_child import in_child
from olift_fast.model import Lifter, LifterConfig
from olift_fast.model.config import MAX_WEIGHTS, MAX_WINDOW, RANGES
from olift_fast.model.shapes import weight_count, weight_shapes
from olift_fast.model.tensor_files import open_tensors
from olift_fast.ops import use_backend
from olift_fast.runtime.encoder import Encoding
from olift_fast.runtime.time_encoding import TimeEncoding

TINY = LifterConfig(width=8, heads=2, motion_layers=1, space_layers=1, window=(2, 1), frequencies=4)
FIRST = "decoder.mlp.0.weight"
Damage = Callable[[Path], object]

posix = pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a tiny checkpoint."""
    torch.manual_seed(0)
    folder = Lifter(TINY, name="tiny").save_pretrained(tmp_path_factory.mktemp("whole") / "tiny")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def text(change: Callable[[str], str]) -> Damage:
    """A config whose text is changed."""

    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(change(path.read_text()), encoding="utf-8", errors="surrogatepass")

    return damage


def raw(change: Callable[[bytes], bytes], name: str = "config.json") -> Damage:
    """A file whose bytes are changed."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def given(**changes: Any) -> Damage:
    """A config with other fields of the lifter; a value in angle brackets is written as it stands, as JSON."""
    return whole(lambda config: config["lifter"].update(changes))


def whole(change: Callable[[dict[str, Any]], object]) -> Damage:
    def apply(written: str) -> str:
        config = json.loads(written)
        change(config)
        return re.sub(r'"<(.*?)>"', r"\1", json.dumps(config))

    return text(apply)


def header(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Weights with another header and the same bytes after it."""

    return raw(lambda data: with_header(data, change), "model.safetensors")


def entry(**changes: Any) -> Damage:
    return header(lambda entries: entries[FIRST].update(changes))


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    """Other tensors, which are written as they should be."""

    def apply(folder: Path) -> None:
        tensors = parse((folder / "model.safetensors").read_bytes())
        change(tensors)
        (folder / "model.safetensors").write_bytes(save(tensors))

    return apply


def instead(make: Callable[[Path], object], name: str = "config.json") -> Damage:
    """Something else in a file's place."""

    def apply(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return apply


def first(value: float) -> Damage:
    return weights(lambda tensors: tensors[FIRST].view(-1)[5:6].fill_(value))


def length(number: int) -> Damage:
    return raw(lambda data: struct.pack("<Q", number) + data[8:], "model.safetensors")


CONFIGS: dict[str, tuple[Damage, str]] = {
    "empty": (text(lambda _: ""), "is not JSON"),
    "cut": (text(lambda written: written[:50]), "is not JSON"),
    "a list": (text(lambda _: "[]"), "is not the config of a lifter"),
    "a number": (text(lambda _: "5"), "is not the config of a lifter .*, got 5"),
    "of something else": (whole(lambda config: config.update(format="x")), "is not the config of a lifter .*, got 'x'"),
    "without lifter": (whole(lambda config: config.pop("lifter")), "lifter must be an object .*, got None"),
    "lifter is a list": (whole(lambda config: config.update(lifter=[1])), r"lifter must be an object .*, got \[1\]"),
    "utf-16": (raw(lambda data: data.decode().encode("utf-16")), "is not JSON"),
    "utf-8 with a mark": (raw(lambda data: b"\xef\xbb\xbf" + data), "is not JSON"),
    "latin-1": (raw(lambda data: data.replace(b"tiny", b"t\xefny")), "is not JSON"),
    "NUL": (raw(lambda data: data + b"\0"), "is not JSON"),
    "a bomb of lists": (text(lambda _: "[" * 60_000), "is not JSON that can be read: brackets are nested"),
    "a bomb of objects": (text(lambda _: '{"a":' * 10_000), "is not JSON that can be read: brackets are nested"),
    "too large": (text(lambda written: written + " " * 10**6), "must be a file of at most 65,536 bytes"),
    "a key twice": (
        text(lambda written: written.replace('"width": 8,', '"width": 8, "width": 8,')),
        "must have each key once, got 'width' twice",
    ),
    "a format twice": (text(lambda written: written.replace("{", '{"format": "x",', 1)), "got 'format' twice"),
    "version 3": (whole(lambda config: config.update(format_version=3)), "format_version must be 1 to 2, got 3"),
    "version true": (whole(lambda config: config.update(format_version=True)), "1 to 2, got True"),
    "version 1.0": (whole(lambda config: config.update(format_version=1.0)), "1 to 2, got 1.0"),
    "version is a list": (whole(lambda config: config.update(format_version=[1])), r"1 to 2, got \[1\]"),
    "name is a number": (whole(lambda config: config.update(name=5)), "name must be a string .*, got 5"),
    "name is null": (whole(lambda config: config.update(name=None)), "name must be a string .*, got None"),
    "a long name": (whole(lambda config: config.update(name="x" * 50_000)), "at most 300 characters, got 'xxx"),
    "an unknown key": (given(depth=1), "unknown keys depth; written by a newer version"),
    "an unknown key with codes": (given(**{"\x1b[2J\n\u202e": 1}), r"unknown keys \\x1b\[2J\\n\\u202e; written"),
    "many unknown keys": (given(**{f"{number:09}": 1 for number in range(3000)}), "unknown keys 000000000, 000"),
    "sigma NaN": (given(sigma=float("nan")), "must hold finite numbers, got NaN"),
    "sigma infinite": (given(sigma="<1e999>"), "sigma must be a number from 0 to 1,000,000, got inf"),
    "sigma negative": (given(sigma=-1), "sigma must be a number from 0"),
    "sigma is text": (given(sigma="0.5"), "sigma must be a number from 0 .* got '0.5'"),
    "hops 0.5": (given(hops=0.5), "hops must be a whole number, got 0.5"),
    "heads true": (given(heads=True), "heads must be a whole number, got True"),
    "width is text": (given(width="8"), "width must be a whole number, got '8'"),
    "width is null": (given(width=None), "width must be a whole number, got None"),
    "width is a list": (given(width=[8]), r"width must be a whole number, got \[8\]"),
    "width 15": (given(width=15), "width must be a multiple of heads, got 15 and 2"),
    "width 0": (given(width=0), "width must be >= 1, got 0"),
    "width of another model": (given(width=16), "model.safetensors: weights don't fit config.json: .*shape"),
    "a huge width": (given(width=10**9, heads=1), "width must be <= 8,192, got 1000000000"),
    "a number of 5,000 digits": (given(width=f"<{'9' * 5000}>"), "numbers of at most 40 digits, got one of 5000"),
    "a number of 30 digits": (given(heads=f"<{'9' * 30}>"), "heads must be <= 256, got 9999"),
    "a million layers": (given(motion_layers=10**6), "motion_layers must be <= 256, got 1000000"),
    "minus one layer": (given(space_layers=-1), "space_layers must be >= 0, got -1"),
    "too many weights": (given(width=4096, motion_layers=256), "at most 250,000,000 weights, got 34,"),
    "a long table": (given(time_encoding="table", time_rows=10**6, width=512), "at most 250,000,000 weights"),
    "window of one": (given(window=[1]), r"window must be two whole numbers, got \[1\]"),
    "window of text": (given(window="12"), "window must be two whole numbers, got '12'"),
    "window of fractions": (given(window=[1.5, 2]), r"window must be two whole numbers, got \[1.5, 2\]"),
    "window of truths": (given(window=[True, False]), "window must be two whole numbers"),
    "window is an object": (given(window={"1": 2}), "window must be two whole numbers"),
    "window negative": (given(window=[-1, 2]), "window must be two numbers >= 0"),
    "window huge": (given(window=[1, 10**9]), "window must be two numbers <= 10,000"),
    "encoding is a list": (given(encoding=["rff"]), r"encoding must be one of rff, .*, got \['rff'\]"),
    "encoding with codes": (given(encoding="\x1b[31mrff"), r"encoding must be one of .*, got '\\x1b\[31mrff'"),
    "time encoding is null": (given(time_encoding=None), "time_encoding must be one of .*, got None"),
    "pitch 1": (given(pitch=1), "pitch must be true or false, got 1"),
    "uncertainty is text": (given(uncertainty="no"), "uncertainty must be true or false, got 'no'"),
    "kinds negative": (given(kinds=-3), "kinds must be >= 0, got -3"),
    "other outputs": (given(uncertainty=True), r"'decoder.mlp.2.weight' must be of shape \(5, 8\), got \(3, 8\)"),
    "more layers than there are": (given(space_layers=2), "must hold 'space.1.attention.projection.bias', .* no such"),
    "fewer layers than there are": (given(space_layers=0), "no other tensors than the model has, got 'space.0"),
    "missing": (lambda folder: (folder / "config.json").unlink(), "config.json: can't be read: No such file"),
    "a folder": (instead(Path.mkdir), "config.json: is a folder, wanted a file"),
    "a circle of links": (instead(lambda path: path.symlink_to(path)), "config.json: can't be read"),
}

WEIGHTS: dict[str, tuple[Damage, str]] = {
    "empty": (raw(lambda _: b"", "model.safetensors"), "its header must end within its 0 bytes"),
    "seven bytes": (raw(lambda data: data[:7], "model.safetensors"), "its header must end within its 7 bytes"),
    "a header alone": (raw(lambda data: data[:1000], "model.safetensors"), "its header must end within"),
    "cut": (raw(lambda data: data[:-100], "model.safetensors"), "its tensors must fill the .* after the header"),
    "longer": (raw(lambda data: data + bytes(8), "model.safetensors"), "its tensors must fill the"),
    "a huge header": (length(2**63), "its header must end within .*, got a header of 9,223,372"),
    "a header as long as the file": (length(2**20), "its header must end within"),
    "a header of 4 MiB": (
        raw(lambda _: struct.pack("<Q", 2**22) + b"{" + bytes(2**22), "model.safetensors"),
        "its header must have at most 2,097,152 bytes, got 4,194,304",
    ),
    "a header of nothing": (length(0), "its header: is not JSON"),
    "a header that is cut": (length(100), "its header: is not JSON"),
    "a pickle": (raw(lambda _: b"\x80\x04" + bytes(100), "model.safetensors"), "its header must end within"),
    "an archive": (raw(lambda _: b"PK\x03\x04" + bytes(100), "model.safetensors"), "its header"),
    "a list": (
        raw(lambda _: struct.pack("<Q", 2) + b"[]", "model.safetensors"),
        r"its header must be an object, got \[\]",
    ),
    "a bomb": (
        raw(lambda _: struct.pack("<Q", 10**5) + b"[" * 10**5, "model.safetensors"),
        "its header: is not JSON that can be read: brackets are nested",
    ),
    "a name twice": (
        raw(lambda data: data.replace(b'"decoder.mlp.0.bias"', b'"decoder.mlp.2.bias"'), "model.safetensors"),
        "its header: must have each key once, got 'decoder.mlp.2.bias' twice",
    ),
    "metadata is a list": (header(lambda entries: entries.update(__metadata__=[1])), "must be strings by name"),
    "metadata of numbers": (header(lambda entries: entries.update(__metadata__={"a": 1})), "must be strings by name"),
    "an entry is a number": (header(lambda entries: entries.update({FIRST: 5})), "must have dtype, shape and data_off"),
    "an entry without shape": (header(lambda entries: entries[FIRST].pop("shape")), "must have dtype, shape and data"),
    "an entry with more": (entry(more=1), "must have dtype, shape and data_offsets"),
    "dtype of numbers": (entry(dtype=5), "must be of dtype F64, .*, got 5"),
    "dtype of whole numbers": (entry(dtype="I32"), "weights don't fit config.json: .*must be of dtype .*, got I32"),
    "dtype unknown": (entry(dtype="F8_E4M3"), "must be of dtype F64, .*, got 'F8_E4M3'"),
    "dtype of another size": (entry(dtype="F64"), "must have 512 bytes by its shape, got 256"),
    "shape turned": (entry(shape=[4, 16]), r"must be of shape \(8, 8\), got \(4, 16\)"),
    "shape negative": (entry(shape=[-8, -8]), "must have a shape of at most 8 numbers >= 0"),
    "shape of fractions": (entry(shape=[8.0, 8]), "must have a shape of at most 8 numbers >= 0"),
    "shape of truths": (entry(shape=[True, 64]), "must have a shape of at most 8 numbers >= 0"),
    "shape of many": (entry(shape=[1] * 5000), "must have a shape of at most 8 numbers >= 0"),
    "shape huge": (entry(shape=[2**40, 2**40]), "must have 4,835,703,278,458,516,698,824,704 bytes"),
    "shape huge and empty": (entry(shape=[2**62, 2**62, 0]), "must have 0 bytes by its shape, got 256"),
    "shape is null": (entry(shape=None), "must have a shape of at most 8 numbers >= 0"),
    "offsets turned": (entry(data_offsets=[256, 0]), "must have 256 bytes by its shape, got -256"),
    "offsets of one": (entry(data_offsets=[0]), "must have two data_offsets >= 0"),
    "offsets that overlap": (entry(data_offsets=[4, 260]), "must begin at byte"),
    "offsets beyond the end": (entry(data_offsets=[2**40, 2**40 + 256]), "must begin at byte"),
    "a weight missing": (weights(lambda tensors: tensors.pop(FIRST)), "must hold 'decoder.mlp.0.weight', got no such"),
    "a weight more": (weights(lambda tensors: tensors.update(x=torch.ones(1))), "no other tensors than .*, got 'x'"),
    "a weight with codes": (weights(lambda t: t.update({"\x1b[2J": torch.ones(1)})), r"got '\\x1b\[2J'"),
    "a weight in bytes": (
        weights(lambda t: t.update({FIRST: t[FIRST].to(torch.uint8)})),
        "must be of dtype .*, got U8",
    ),
    "a weight NaN": (first(float("nan")), "'decoder.mlp.0.weight' must hold finite numbers, got nan"),
    "a weight infinite": (first(-float("inf")), "'decoder.mlp.0.weight' must hold finite numbers, got -inf"),
    "a weight beyond float32": (
        weights(lambda tensors: tensors.update({FIRST: torch.full((8, 8), 1e300, dtype=torch.float64)})),
        "'decoder.mlp.0.weight' must hold finite numbers, got inf",
    ),
    "missing": (lambda folder: (folder / "model.safetensors").unlink(), "can't be read: No such file"),
    "a folder": (instead(Path.mkdir, "model.safetensors"), "model.safetensors: is a folder, wanted a file"),
}

ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (lambda path: os.mkfifo(path), "is a pipe, wanted a file"),
    "zeros without end": (lambda path: path.symlink_to("/dev/zero"), "is a device, wanted a file"),
    "random numbers without end": (lambda path: path.symlink_to("/dev/urandom"), "is a device, wanted a file"),
    "nothing": (lambda path: path.symlink_to("/dev/null"), "is a device, wanted a file"),
}

VARIANTS = {
    **{f"config: {name}": damage for name, damage in CONFIGS.items()},
    **{f"weights: {name}": damage for name, damage in WEIGHTS.items()},
}


def load(folder: Path) -> str:
    torch.set_num_threads(1)
    return Lifter.from_pretrained(folder).name


def refusal(folder: Path) -> str:
    """The message with which the folder is refused, within 100 MB, and 5 seconds of computing."""
    with pytest.raises(InputError) as error:
        in_child(load, folder, seconds=5.0, memory=100 * 2**20)
    return str(error.value)


def write(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, content: dict[str, bytes], name: str) -> None:
    damage, message = VARIANTS[name]
    folder = write(tmp_path / "theirs", content)
    damage(folder)
    told = refusal(folder)
    assert re.search(message, told), told
    assert told.startswith(str(folder)) and told.isprintable() and len(told) < 600 + len(str(folder))


@posix
@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("name", ODD)
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, content: dict[str, bytes], name: str, file: str) -> None:
    make, message = ODD[name]
    folder = write(tmp_path / "theirs", content)
    instead(make, file)(folder)
    assert refusal(folder) == f"{folder / file}: {message}"


def test_there_are_many_variants_and_a_whole_checkpoint_is_none(tmp_path: Path, content: dict[str, bytes]) -> None:
    assert len(VARIANTS) + 2 * len(ODD) >= 60
    assert in_child(load, write(tmp_path / "mine", content), seconds=5.0, memory=100 * 2**20) == "tiny"


def test_a_name_with_control_characters_is_escaped(tmp_path: Path, content: dict[str, bytes]) -> None:
    folder = write(tmp_path / "theirs", content)
    whole(lambda config: config.update(name="a\x1b]0;b\n\u202ec \ud800 ä"))(folder)
    assert Lifter.from_pretrained(folder).name == r"a\x1b]0;b\n\u202ec \ud800 ä"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_floating_dtypes_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    lifter = Lifter(TINY, name="tiny").to(dtype)
    loaded = Lifter.from_pretrained(lifter.save_pretrained(tmp_path / "tiny")).state_dict()
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in lifter.state_dict().items())


def test_files_in_any_order_of_bytes_and_names_are_read(tmp_path: Path, content: dict[str, bytes]) -> None:
    """As other writers than the library's may leave them: odd places of the bytes, a header without spaces."""
    folder = write(tmp_path / "theirs", content)
    tensors = parse(content["model.safetensors"])
    entries, data = {}, b""
    for number, (name, tensor) in enumerate(sorted(tensors.items(), reverse=True)):
        stored = tensor.half() if number == 0 else tensor
        begin = len(data)
        data += stored.numpy().tobytes()
        dtype = "F16" if number == 0 else "F32"
        entries[name] = {"shape": list(tensor.shape), "data_offsets": [begin, len(data)], "dtype": dtype}
    written = json.dumps(dict(sorted(entries.items())), separators=(",", ":")).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(written)) + written + data)
    loaded = Lifter.from_pretrained(folder).state_dict()
    assert all(torch.allclose(loaded[name], tensor, atol=1e-3) for name, tensor in tensors.items())
    assert sum(torch.equal(loaded[name], tensor) for name, tensor in tensors.items()) >= len(tensors) - 1


def test_a_name_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: name must be a string of at most 300 characters"):
        Lifter(TINY, name="x" * 301).save_pretrained(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("encoding", "time_encoding"), [*itertools.product(get_args(Encoding), get_args(TimeEncoding))]
)
def test_shapes_are_those_of_the_modules(encoding: Encoding, time_encoding: TimeEncoding) -> None:
    """Each value of every field that has a say in them."""
    config = replace(TINY, encoding=encoding, time_encoding=time_encoding, motion_layers=2, time_rows=6)
    changes: list[dict[str, Any]] = [{}, {"pitch": True, "kinds": 5}, {"uncertainty": True, "mlp_ratio": 3}]
    changes += [{"motion_layers": 0}, {"space_layers": 0}, {"heads": 4, "width": 12, "frequencies": 5}]
    for change in changes:
        changed = replace(config, **change)
        held = {name: tuple(tensor.shape) for name, tensor in Lifter(changed).state_dict().items()}
        assert weight_shapes(changed) == held
        assert weight_count(changed) == sum(map(torch.Size.numel, map(torch.Size, held.values())))


def test_the_limits_leave_room() -> None:
    for name in ("small", "small-causal", "base", "large"):
        config = LifterConfig.preset(name)
        assert weight_count(config) < MAX_WEIGHTS / 10
        for field, (least, most) in RANGES.items():
            assert least <= getattr(config, field) <= most / 10
    assert max(LifterConfig(window=MAX_WINDOW).window) == MAX_WINDOW


def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"a": torch.ones(10), "b": torch.ones(100_000)}))
    with open_tensors(path) as file:
        os.truncate(path, 50_000)
        np.testing.assert_array_equal(file.read("a"), np.ones(10, np.float32))
        with pytest.raises(InputError, match=r"model\.safetensors: .*: it was cut while it was read"):
            file.read("b")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"width": 1024, "heads": 1, "mlp_ratio": 1, "motion_layers": 1, "space_layers": 1},
        {"width": 1, "heads": 1},
        {"width": 256, "heads": 256, "motion_layers": 1, "space_layers": 1},
        {"width": 2, "heads": 1, "frequencies": 65_536},
        {"width": 2, "heads": 2, "mlp_ratio": 64},
        {"motion_layers": 0, "space_layers": 0},
        {"width": 2, "heads": 1, "motion_layers": 256, "space_layers": 256},
        {"window": (MAX_WINDOW, MAX_WINDOW), "hops": 1_000_000},
        {"kinds": 10_000, "pitch": True, "uncertainty": True, "time_encoding": "table", "time_rows": 9},
    ],
)
def test_models_at_the_limits_lift(tmp_path: Path, changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    lifter = Lifter(replace(TINY, **changes))
    loaded = Lifter.from_pretrained(lifter.save_pretrained(tmp_path / "model"))
    keypoints = torch.randn(1, 9, 5, 2)
    with torch.no_grad():
        found = loaded(keypoints)
        with use_backend("eager"):
            wanted = loaded(keypoints)
    assert found.isfinite().all() and relative_error(found, wanted) < 1e-4
