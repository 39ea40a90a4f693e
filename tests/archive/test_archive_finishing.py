"""What `olift lift` does with a result, archives do with each: smooth, hold bones, bring it to the world frame."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import JOINTS, Run, alone, archive_of, records, same, table

from olift_fast.archive import LiftSettings, WorldOptions, lifting
from olift_fast.archive.records import reason_to_lift
from olift_fast.archive.settings import COLUMNS, with_changes
from olift_fast.bodies import bone_lengths, length_drift, read_body
from olift_fast.cli.lifting_job import LiftingJob, lift_file
from olift_fast.errors import InputError, MissingExtraError
from olift_fast.io import read_lifted

LENGTHS = {"left_paw": 0.8, "right_paw": 0.8, "tail": 1.4}


def write_body(path: Path, tail: float = 1.4, millimeters: float | None = None) -> Path:
    rows: list[dict[str, Any]] = [
        {"joints": ["nose", name], "length": length, "spread": 0.0, "frames": 30}
        for name, length in (LENGTHS | {"tail": tail}).items()
    ]
    if millimeters is not None:
        rows = [row | {"millimeters": row["length"] * millimeters} for row in rows]
    path.write_text(json.dumps({"format": "olift-fast body", "format_version": 2, "bones": rows}))
    return path


@pytest.fixture
def body(tmp_path: Path) -> Path:
    return write_body(tmp_path / "body.json")


@pytest.fixture
def bones(tmp_path: Path) -> str:
    """A skeleton whose bones are the body's."""
    path = tmp_path / "skeleton.json"
    content = {"names": JOINTS, "edges": [[0, 1], [0, 2], [0, 3]], "sides": [0, 1, -1, 0]}
    path.write_text(json.dumps(content))
    return str(path)


def lifted_alone(model: str, path: Path, out: Path, **options: Any) -> Any:
    """The result of `olift lift` of the file."""
    out.parent.mkdir(exist_ok=True)
    return lift_file(LiftingJob(file=path, out=out, model=model, **options), quiet=True).result


CALIBRATION = {"top": {"K": [[800, 0, 320], [0, 800, 240], [0, 0, 1]], "dist": [-0.2, 0, 0, 0]}}
OPTIONS: dict[str, dict[str, Any]] = {
    "rigid": {"rigid": True},
    "body": {"body": "body.json"},
    "smooth and body": {"smooth": 0.3, "body": "body.json"},
    "mirror and rigid": {"mirror": True, "rigid": True},
    "a track": {"tracks": ("track_0",), "rigid": True},
    "world": {"world": WorldOptions(bones=("nose-tail=35mm",), fov=50.0), "pitch": 20.0, "image_size": (640, 480)},
    "world and body": {"world": WorldOptions(up="0,-1,0", mm_per_pixel=0.5), "body": "body.json"},
    "a lens": {"world": WorldOptions(world=False, calibration=Path("cameras.json"), camera="top")},
}


@pytest.mark.parametrize("told", OPTIONS)
def test_results_are_those_of_olift_lift(
    run: Run, model: str, tmp_path: Path, bones: str, body: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """Those that are packed, and one of many frames."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cameras.json").write_text(json.dumps(CALIBRATION))
    for number, frames in enumerate((20, 33, 300)):
        table(tmp_path / "in" / f"{number}.csv", frames=frames, seed=number)
    options = {"skeleton": bones, "fps": 30.0} | OPTIONS[told]
    assert run(tmp_path / "in", tmp_path / "out", **options).done == 3
    world, own_body = options.pop("world", None), options.pop("body", None)
    options |= {"placement": world} if world else {}
    options |= {"body": read_body(own_body)} if own_body else {}
    plain = {"skeleton": bones, "fps": 30.0}
    for name, record in records(tmp_path / "out").items():
        result = read_lifted(tmp_path / "out" / record["output"])
        path = tmp_path / "in" / name
        wanted = lifted_alone(model, path, tmp_path / "alone" / f"{name}.npz", **options)
        assert same(result, wanted)
        for field in ("meters_per_pixel", "contacts"):
            np.testing.assert_array_equal(getattr(result, field), getattr(wanted, field))
        assert result.units == wanted.units and (result.world is None) == (wanted.world is None)
        before = lifted_alone(model, path, tmp_path / "plain" / f"{name}.npz", **plain)
        assert not np.array_equal(before.joints, result.joints)


def test_quality_is_that_of_the_model_and_not_of_held_bones(run: Run, tmp_path: Path, bones: str, body: Path) -> None:
    table(tmp_path / "in" / "0.csv", frames=100)
    figures = []
    for name, options in {"plain": {}, "held": {"body": str(body), "smooth": 0.5}}.items():
        run(tmp_path / "in", tmp_path / name, skeleton=bones, fps=30.0, **options)
        record = records(tmp_path / name)["0.csv"]
        figures.append([record["tracks"][0][figure] for figure in ("bone_drift", "jump_share", "hidden_share")])
    result = read_lifted(tmp_path / "held" / record["output"])
    assert length_drift(result.joints[0], result.skeleton.edges, None) < 1e-3 < 0.01 < figures[0][0]
    assert figures[0] == figures[1]


def test_a_changed_body_lifts_anew_and_says_why(run: Run, tmp_path: Path, bones: str, body: Path) -> None:
    for number in range(2):
        table(tmp_path / "in" / f"{number}.csv", seed=number)
    options = {"skeleton": bones, "body": str(body)}
    assert run(tmp_path / "in", tmp_path / "out", **options).done == 2
    again = run(tmp_path / "in", tmp_path / "out", **options)
    assert (again.done, again.skipped) == (0, 2)
    first = records(tmp_path / "out")["0.csv"]
    before = read_lifted(tmp_path / "out" / first["output"])
    write_body(body, tail=2.4)
    changed = run(tmp_path / "in", tmp_path / "out", **options)
    assert changed.done == 2 and changed.reasons == {"the settings changed": 2}
    record = records(tmp_path / "out")["0.csv"]
    assert record["why"].startswith(f"the settings changed: body was '{body} (") and record["why"].count(str(body)) == 2
    # The new lengths are in the result: no copy of the old file was kept.
    result = read_lifted(tmp_path / "out" / record["output"])
    assert not np.array_equal(result.joints, before.joints)
    lengths = bone_lengths(result.joints[0], result.skeleton.edges)[0]
    np.testing.assert_allclose(lengths / lengths.sum(), np.array([0.8, 0.8, 2.4]) / 4, rtol=2e-3)
    without = run(tmp_path / "in", tmp_path / "out", skeleton=bones)
    assert without.done == 2 and records(tmp_path / "out")["0.csv"]["why"].endswith(", is None")


def test_a_changed_skeleton_or_calibration_lifts_anew(run: Run, tmp_path: Path, bones: str) -> None:
    """Within one process, too."""
    table(tmp_path / "in" / "0.csv")
    cameras = tmp_path / "cameras.json"
    cameras.write_text(json.dumps(CALIBRATION))
    world = WorldOptions(world=False, calibration=cameras)
    options = {"skeleton": bones, "world": world}
    assert run(tmp_path / "in", tmp_path / "out", **options).done == 1
    content = json.loads(Path(bones).read_text()) | {"edges": [[0, 1], [0, 2]]}
    Path(bones).write_text(json.dumps(content))
    assert run(tmp_path / "in", tmp_path / "out", **options).done == 1
    record = records(tmp_path / "out")["0.csv"]
    assert record["why"].startswith("the settings changed: skeleton was")
    assert len(read_lifted(tmp_path / "out" / record["output"]).skeleton.edges) == 2
    cameras.write_text(json.dumps({"top": CALIBRATION["top"] | {"dist": [0.3, 0, 0, 0]}}))
    before = read_lifted(tmp_path / "out" / record["output"])
    assert run(tmp_path / "in", tmp_path / "out", **options).done == 1
    record = records(tmp_path / "out")["0.csv"]
    assert record["why"].startswith("the settings changed: calibration was")
    assert not np.array_equal(read_lifted(tmp_path / "out" / record["output"]).keypoints, before.keypoints)


def test_records_of_before_an_option_was_there_count_as_without_it() -> None:
    settings = LiftSettings()
    known = {"model_sha256": "m", "version": "1", "output": "o", "status": "done"}
    old = {name: value for name, value in settings.told().items() if name in ("fps", "mirror", "pitch", "skeleton")}
    for new, reason in ((settings, None), (LiftSettings(rigid=True), "rigid was False, is True")):
        found = reason_to_lift(known | {"settings": old}, known | {"settings": new.told()}, retry_failed=False)
        assert found == (None if reason is None else f"the settings changed: {reason}")


def test_each_row_of_a_list_may_have_its_own(run: Run, model: str, tmp_path: Path, bones: str) -> None:
    for number in range(4):
        table(tmp_path / f"{number}.csv", seed=number)
    write_body(tmp_path / "mona.json", tail=2.0)
    rows = [
        "path,body,smooth,rigid,world,bone,up",
        "0.csv,mona.json,,,,,",
        "1.csv,,0.3,yes,,,",
        '2.csv,,,,true,nose-tail=35mm; nose-left_paw=20mm,"0,-1,0"',
        "3.csv,,,,,,",
    ]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    assert run(tmp_path / "list.csv", tmp_path / "out", skeleton=bones, fps=30.0).done == 4
    own: dict[str, dict[str, Any]] = {
        "0.csv": {"body": read_body(tmp_path / "mona.json")},
        "1.csv": {"smooth": 0.3, "rigid": True},
        "2.csv": {"placement": WorldOptions(bones=("nose-tail=35mm", "nose-left_paw=20mm"), up="0,-1,0")},
        "3.csv": {},
    }
    found = records(tmp_path / "out")
    for name, options in own.items():
        wanted = lifted_alone(model, tmp_path / name, tmp_path / f"{name}.npz", skeleton=bones, fps=30.0, **options)
        assert same(read_lifted(tmp_path / "out" / found[name]["output"]), wanted)
    assert found["2.csv"]["settings"]["world"] is True and found["3.csv"]["settings"]["world"] is False


def test_columns_stand_for_all_options_of_a_file() -> None:
    """What a column of a list can't tell is what all files of an archive share."""
    named = {name for name, _, _ in COLUMNS.values()}
    options = {field.name for field in (*fields(LiftSettings), *fields(WorldOptions))}
    assert options - named == {"model", "device", "dtype", "allow_pickle", "suffix"}
    settings = with_changes(LiftSettings(), {"world": True, "height": "1.7m", "fps": 25.0})
    assert (settings.world.world, settings.world.height, settings.fps) == (True, "1.7m", 25.0)


@pytest.mark.parametrize(
    ("header", "row", "told"),
    [
        ("height", "1.75m", "0.csv: --height needs --world"),
        ("world,frame", "yes,object", "0.csv: --world and --frame object ask for two frames"),
        ("smooth", "-1", "0.csv: smooth must be a positive number of seconds, got -1"),
        ("rigid", "perhaps", "line 2: rigid must be true or false, got 'perhaps'"),
        ("body", "absent.json", "absent.json: No such file or directory"),
    ],
)
def test_settings_that_cannot_be_are_told_at_once(run: Run, tmp_path: Path, header: str, row: str, told: str) -> None:
    table(tmp_path / "0.csv")
    (tmp_path / "list.csv").write_text(f"path,{header}\n0.csv,{row}\n")
    with pytest.raises(InputError, match=told.replace("(", r"\(")):
        run(tmp_path / "list.csv", tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_what_all_files_need_is_looked_at_before_any(
    run: Run, tmp_path: Path, body: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path / "in" / "0.csv")
    body.write_text("{}")
    with pytest.raises(InputError, match=r"body\.json: is no body"):
        run(tmp_path / "in", tmp_path / "out", body=str(body))
    with pytest.raises(InputError, match=r"absent\.toml"):
        world = WorldOptions(world=False, calibration=tmp_path / "absent.toml")
        run(tmp_path / "in", tmp_path / "out", world=world)

    def missing() -> None:
        raise MissingExtraError("smoothing", "smooth")

    monkeypatch.setattr("olift_fast.bodies.smoothing.require_scipy", missing)
    with pytest.raises(MissingExtraError, match=r"olift-fast\[smooth\]"):
        run(tmp_path / "in", tmp_path / "out", smooth=0.3)


def test_files_of_other_bones_fail_before_they_are_lifted(
    run: Run, tmp_path: Path, body: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = archive_of(tmp_path / "in", count=2)
    monkeypatch.setattr(lifting, "lift_recordings", lambda *_, **__: pytest.fail("was lifted"))
    body.write_text(body.read_text().replace('"tail"', '"ear"'))
    assert run(source, tmp_path / "out", body=str(body)).failed == 3
    assert "does not have the bones of" in records(tmp_path / "out")["mouse 0.csv"]["error"]
    assert run(source, tmp_path / "other", smooth=0.3).failed == 3
    assert "--smooth needs the frames a second" in records(tmp_path / "other")["mouse 0.csv"]["error"]


@pytest.mark.parametrize("options", [{"rigid": True}, {"smooth": 0.3}, {"world": WorldOptions(up="0,-1,0")}])
def test_long_recordings_are_lifted_in_memory_where_all_frames_are_needed_at_once(
    run: Run, model: str, tmp_path: Path, bones: str, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    table(tmp_path / "in" / "week.csv", frames=400)
    monkeypatch.setattr(lifting, "lift_on_disk", lambda *_, **__: pytest.fail("was lifted from disk to disk"))
    assert run(tmp_path / "in", tmp_path / "out", long=300, skeleton=bones, fps=30.0, **options).done == 1
    options = {"placement" if name == "world" else name: value for name, value in options.items()}
    path = tmp_path / "in" / "week.csv"
    wanted = lifted_alone(model, path, tmp_path / "alone.npz", skeleton=bones, fps=30.0, **options)
    assert same(read_lifted(tmp_path / "out" / records(tmp_path / "out")["week.csv"]["output"]), wanted)


def test_long_recordings_of_a_known_lens_are_lifted_from_disk_to_disk(
    run: Run, model: str, tmp_path: Path, bones: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path / "in" / "week.csv", frames=400)
    (tmp_path / "cameras.json").write_text(json.dumps(CALIBRATION))
    called = []
    lift = lifting.lift_on_disk
    monkeypatch.setattr(lifting, "lift_on_disk", lambda *a, **more: called.append(1) or lift(*a, **more))
    world = WorldOptions(world=False, calibration=tmp_path / "cameras.json")
    assert run(tmp_path / "in", tmp_path / "out", long=300, skeleton=bones, world=world).done == 1
    result = read_lifted(tmp_path / "out" / records(tmp_path / "out")["week.csv"]["output"])
    assert called == [1] and result.calibration is not None and result.calibration.name == "top"
    wanted = lifted_alone(model, tmp_path / "in" / "week.csv", tmp_path / "o.npz", skeleton=bones, placement=world)
    assert np.abs(result.joints - wanted.joints).max() < 1e-5 * wanted.scale.max()
    np.testing.assert_array_equal(result.keypoints, wanted.keypoints)


def test_a_track_by_name_is_lifted_alone(run: Run, model: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "two.npy", (300 + 40 * rng.normal(size=(2, 60, 5, 2))).astype(np.float32))
    assert run(tmp_path / "in", tmp_path / "out", tracks=("track_1",)).done == 1
    record = records(tmp_path / "out")["two.npy"]
    result, both = read_lifted(tmp_path / "out" / record["output"]), alone(model, tmp_path / "in" / "two.npy")
    assert result.tracks == ("track_1",) and len(record["tracks"]) == 1
    np.testing.assert_allclose(result.joints[0], both.joints[1], atol=1e-4)
    assert run(tmp_path / "in", tmp_path / "none", tracks=("mona",)).failed == 1
    assert "mona" in records(tmp_path / "none")["two.npy"]["error"]
