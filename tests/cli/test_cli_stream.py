"""`olift stream`: whatever way the keypoints come, what goes out is what lifting the recording gives."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import ROUNDED

from olift_fast import lift_tracks, read_keypoints, read_lifted
from olift_fast.model import Lifter
from olift_fast.streaming.transports import CLIENTS
from olift_fast.tracks import with_inferred_skeleton

from .conftest import Run
from .stream_client import (
    ENVIRONMENT,
    JOINTS,
    SCALE,
    Stream,
    assert_lifted,
    joints_of,
    keypoints,
    line_of,
    offline,
    streaming,
)
from .test_cli_errors import assert_one_line


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rig") / "rig.json"
    path.write_text(json.dumps({"names": JOINTS, "edges": [[0, 1], [0, 2], [0, 3]]}))
    return path


def read_lines(connection: socket.socket, until: int) -> list[dict]:
    """That many answers from a socket, or all until it is closed."""
    answers = []
    with connection.makefile("rb") as file:
        for line in file:
            answers.append(json.loads(line))
            if len(answers) == until:
                break
    return answers


@pytest.mark.slow
def test_pipe_equals_lifting_offline(random_model: str, rig: Path, tmp_path: Path) -> None:
    points, record = keypoints(100), tmp_path / "record.npz"
    lines = [line_of(frame, t=i / 50) for i, frame in enumerate(points)]
    lines[30:30] = [b"garbage\n", b'{"keypoints": [[1, 2]]}\n', b"\xff\n"]
    with streaming(random_model, rig, "--record", record) as stream:
        answers = stream.communicate(b"".join(lines))
    assert stream.process.returncode == 0, stream.told
    wanted = offline(random_model, points)
    assert_lifted(joints_of(answers), wanted)
    assert [answer["t"] for answer in answers if "joints" in answer] == [i / 50 for i in range(100)]
    errors = [answer["error"] for answer in answers if "error" in answer]
    assert [error.split(":")[0] for error in errors] == ["line 31", "line 32", "line 33"]
    stream.wait_for("100 frames in, 100 out, 0 dropped, 3 bad lines in .* p50 .* p95 .* p99 .* longest")

    result = read_lifted(record)
    assert_lifted(result.joints[0], wanted)
    assert (result.fps, result.frame, result.format, result.scale[0]) == (50, "object", "stream", 40)
    np.testing.assert_array_equal(result.keypoints[0], np.where(np.isnan(points), np.nan, points)[..., :2].astype("f4"))


@pytest.mark.slow
def test_without_delay_each_line_answers_its_own(random_model: str, rig: Path, tmp_path: Path) -> None:
    points = keypoints(12)
    with streaming(random_model, rig, "--latency-frames", "0") as stream:
        assert stream.process.stdin and stream.process.stdout
        answers = []
        for frame in points:
            stream.process.stdin.write(line_of(frame))
            stream.process.stdin.flush()
            answers.append(json.loads(stream.process.stdout.readline()))
        answers += stream.communicate(b"")
    causal = Lifter.from_pretrained(random_model).with_latency(0).save_pretrained(tmp_path / "causal")
    assert [answer["frame"] for answer in answers if "joints" in answer] == list(range(12))
    assert_lifted(joints_of(answers), offline(str(causal), points))


@pytest.mark.slow
def test_old_names_of_options_still_work(random_model: str, rig: Path) -> None:
    data = b"".join(map(line_of, keypoints(12)))
    with streaming(random_model, rig, "--latency-frames", "0") as stream:
        wanted = joints_of(stream.communicate(data))
    old = ("--skeleton", rig, "--model", random_model, "--scale", SCALE, "--output", "object", "--delay", "0")
    stream = Stream(*old)
    np.testing.assert_array_equal(joints_of(stream.communicate(data)), wanted)
    stream.wait_for("--output is now --frame")
    assert not any("--delay" in line for line in stream.told), "it is a second name, not an old one"


@pytest.mark.parametrize("dtype", ROUNDED)
def test_rounded_products(random_model: str, rig: Path, dtype: str) -> None:
    points = keypoints(40)
    with streaming(random_model, rig, "--dtype", dtype, "--latency-frames", "0") as stream:
        got = joints_of(stream.communicate(b"".join(map(line_of, points))))
    with streaming(random_model, rig, "--latency-frames", "0") as stream:
        exact = joints_of(stream.communicate(b"".join(map(line_of, points))))
    assert 1e-5 < np.linalg.norm(np.nan_to_num(got - exact)) / np.linalg.norm(np.nan_to_num(exact)) < 2e-2


@pytest.mark.slow
def test_file_on_stdin_and_nothing_at_all(random_model: str, rig: Path, tmp_path: Path) -> None:
    points, source = keypoints(10), tmp_path / "frames.jsonl"
    source.write_bytes(b"".join(map(line_of, points)))
    command = [sys.executable, "-m", "olift_fast", "stream", "--skeleton", str(rig), "--model", random_model]
    with source.open() as file:
        found = subprocess.run(command, stdin=file, capture_output=True, env=ENVIRONMENT, timeout=120)
    assert found.returncode == 0 and len(found.stdout.splitlines()) == 11
    nothing = tmp_path / "nothing.npz"
    found = subprocess.run(
        [*command, "--record", str(nothing)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=ENVIRONMENT,
        timeout=120,
    )
    assert (found.returncode, found.stdout) == (0, b"")
    assert b"nothing was lifted" in found.stderr and not nothing.exists()


@pytest.mark.slow
def test_tcp_two_clients_and_one_that_vanishes(random_model: str, rig: Path, tmp_path: Path) -> None:
    record = tmp_path / "record.npz"
    with streaming(random_model, rig, "--tcp", 0, "--record", record) as stream:
        address = "127.0.0.1", stream.port("tcp")
        both = [keypoints(60, seed) for seed in (1, 2)]
        clients = [socket.create_connection(address, timeout=60) for _ in both]
        for number in range(60):
            for client, points in zip(clients, both, strict=True):
                client.sendall(line_of(points[number], track="dog"))
            if number == 20:
                gone = socket.create_connection(address)
                gone.sendall(line_of(both[0][0]) + b'{"keypoints": [[1')
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                gone.close()
        for client, points in zip(clients, both, strict=True):
            client.shutdown(socket.SHUT_WR)
            answers = read_lines(client, 1000)
            assert_lifted(joints_of(answers, "dog"), offline(random_model, points))
            assert answers[-1] == {"end": "dog", "frames": 60, "why": "gone"}
            client.close()
        # It lives on, and is asked how it is.
        with socket.create_connection(address, timeout=60) as client:
            client.sendall(b'{"stats": true}\n')
            (answer,) = read_lines(client, 1)
        # What was reset before it was read may be lost.
        assert answer["stats"]["frames"] in (120, 121) and answer["stats"]["latency_ms"]["p50"] > 0
        assert stream.stop() == 130, stream.told
    assert not any("Traceback" in line for line in stream.told), stream.told
    assert read_lifted(record).tracks[:2] == ("dog", "dog (2)")


@pytest.mark.slow
def test_one_client_too_many_is_told_and_room_is_made(random_model: str, rig: Path) -> None:
    with streaming(random_model, rig, "--tcp", "0", "--tracks", "64") as stream:
        address = ("127.0.0.1", stream.port("tcp"))
        clients = [socket.create_connection(address, timeout=60) for _ in range(CLIENTS)]
        for client in clients:  # an answer shows that it has been taken in
            client.sendall(b'{"stats": true}\n')
            assert "stats" in read_lines(client, 1)[0]
        with socket.create_connection(address, timeout=60) as late:
            assert f"{CLIENTS} clients" in read_lines(late, 2)[0]["error"]
        points = keypoints(12)
        clients[5].sendall(b"".join(map(line_of, points)))
        clients[5].shutdown(socket.SHUT_WR)
        assert_lifted(joints_of(read_lines(clients[5], 0)), offline(random_model, points))
        clients[5].close()
        with socket.create_connection(address, timeout=60) as next_one:
            next_one.sendall(b'{"stats": true}\n')
            assert read_lines(next_one, 1)[0]["stats"]["clients"] == CLIENTS
        for client in clients:
            client.close()
        assert stream.stop() == 128 + signal.SIGINT


@pytest.mark.slow
def test_udp(random_model: str, rig: Path) -> None:
    points = keypoints(40)
    with streaming(random_model, rig, "--udp", 0, "--idle", 1) as stream:
        address = "127.0.0.1", stream.port("udp")
        answers = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            for number, frame in enumerate(points):
                client.sendto(line_of(frame), address)
                # A frame that is lifted before the next one is sent is not replaced by it.
                lifted = 0
                while number < 8 and lifted <= number:
                    client.sendto(b'{"stats": true}', address)
                    lifted = json.loads(client.recv(1 << 16))["stats"]["frames"]
                if number >= 8:
                    answers.append(json.loads(client.recv(1 << 16)))
            client.sendto(b"garbage", address)
            assert "not JSON" in json.loads(client.recv(1 << 16))["error"]
            # Silence ends the track.
            while not answers or "end" not in answers[-1]:
                answers.append(json.loads(client.recv(1 << 16)))
        assert_lifted(joints_of(answers), offline(random_model, points))
        assert answers[-1] == {"end": "track_0", "frames": 40, "why": "idle"}
        assert stream.stop(signal.SIGTERM) == 143


@pytest.mark.slow
def test_websocket_two_clients_at_once(random_model: str, rig: Path) -> None:
    pytest.importorskip("websockets", reason="WebSockets need the extra `stream`")
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    with streaming(random_model, rig, "--websocket", 0) as stream:
        url = f"ws://127.0.0.1:{stream.port('websocket')}"
        both = [keypoints(50, seed) for seed in (3, 4)]
        results: list[list[dict]] = [[], []]

        def talk(points: np.ndarray, answers: list[dict]) -> None:
            with connect(url) as client:
                client.send(b"".join(map(line_of, points[:5])))
                for frame in points[5:]:
                    client.send(line_of(frame).decode())
                client.send('{"end": true}')
                while not answers or "end" not in answers[-1]:
                    answers.append(json.loads(client.recv(60)))

        talking = [threading.Thread(target=talk, args=pair) for pair in zip(both, results, strict=True)]
        for thread in talking:
            thread.start()
        for thread, points, answers in zip(talking, both, results, strict=True):
            thread.join(60)
            assert_lifted(joints_of(answers), offline(random_model, points))

        with connect(url) as client:
            client.send("garbage")
            assert "line 1: not JSON" in json.loads(client.recv(60))["error"]
            client.send("x" * 2_000_000)
            with pytest.raises(ConnectionClosed):
                client.recv(60)
        with pytest.raises(InvalidStatus):
            connect(url, origin="https://example.org")
        with connect(url, origin="http://localhost:8000") as client:
            client.send('{"stats": true}')
            assert json.loads(client.recv(60))["stats"]["results"] == 100
            assert stream.stop() == 130
    assert not any("Traceback" in line for line in stream.told), stream.told


@pytest.mark.slow
def test_interrupt_gives_what_is_due_and_the_record(random_model: str, rig: Path, tmp_path: Path) -> None:
    points, record = keypoints(30), tmp_path / "record.npz"
    with streaming(random_model, rig, "--record", record) as stream:
        assert stream.process.stdin and stream.process.stdout
        stream.process.stdin.write(b"".join(map(line_of, points)))
        stream.process.stdin.flush()
        answers = [json.loads(stream.process.stdout.readline()) for _ in range(22)]
        assert stream.stop() == 130
        answers += [json.loads(line) for line in stream.process.stdout]
    assert_lifted(joints_of(answers), offline(random_model, points))
    assert answers[-1] == {"end": "track_0", "frames": 30, "why": "closed"}
    assert_lifted(read_lifted(record).joints[0], offline(random_model, points))


@pytest.mark.slow
def test_reader_that_leaves_ends_it_quietly_with_the_record_written(
    random_model: str, rig: Path, tmp_path: Path
) -> None:
    record = tmp_path / "record.npz"
    with streaming(random_model, rig, "--record", record) as stream:
        assert stream.process.stdin and stream.process.stdout
        for frame in keypoints(20):
            stream.process.stdin.write(line_of(frame))
        stream.process.stdin.flush()
        stream.process.stdout.readline()
        stream.process.stdout.close()
        for frame in keypoints(20):
            try:
                stream.process.stdin.write(line_of(frame))
                stream.process.stdin.flush()
            except BrokenPipeError:
                break
            time.sleep(0.05)
        assert stream.process.wait(60) == 1
    assert not any("Traceback" in line for line in stream.told), stream.told
    assert read_lifted(record).num_frames > 0


@pytest.mark.slow
def test_replay_equals_lifting_the_file(random_model: str, mouse: Path, tmp_path: Path) -> None:
    record = tmp_path / "record.npz"
    tracks = with_inferred_skeleton(read_keypoints(mouse))
    wanted = lift_tracks(Lifter.from_pretrained(random_model), tracks, frame="object")
    options = ("--model", random_model, "--frame", "object", "--record", record, "--fit-frames", 30)
    stream = Stream("--replay", mouse, "--fps", 0, *options)
    answers = stream.communicate(b"")
    assert stream.process.returncode == 0, stream.told
    assert_lifted(joints_of(answers), wanted.joints[0])
    result = read_lifted(record)
    assert_lifted(result.joints, wanted.joints)
    np.testing.assert_allclose(result.scale, wanted.scale, rtol=1e-6)
    for name in ("keypoints", "confidence", "visible", "centers"):
        np.testing.assert_array_equal(getattr(result, name), getattr(wanted, name))


@pytest.mark.slow
def test_replay_infers_edges_unless_told_not_to(random_model: str, mouse: Path, tmp_path: Path) -> None:
    for option, edges in ((), 3), (("--no-infer",), 0):
        record = tmp_path / f"{edges}.npz"
        stream = Stream("--replay", mouse, "--fps", 0, "--model", random_model, "--record", record, *option)
        stream.communicate(b"")
        assert stream.process.returncode == 0, stream.told
        assert read_lifted(record).skeleton.inferred == (True,) * edges
        assert any("note: edges: 3 inferred from names" in line for line in stream.told) == bool(edges)


@pytest.mark.slow
def test_replay_keeps_the_pace(random_model: str, mouse: Path) -> None:
    stream = Stream("--replay", mouse, "--fps", 20, "--model", random_model)
    stream.communicate(b"")
    seconds = float(stream.wait_for(r"30 frames in, 30 out, .* in ([\d.]+) s")[1])
    assert 1.4 <= seconds < 30


@pytest.mark.slow
def test_view_draws_what_was_recorded(random_model: str, rig: Path, tmp_path: Path, run: Run) -> None:
    pytest.importorskip("plotly", reason="the viewer needs the extra `view`")
    record = tmp_path / "record.npz"
    with streaming(random_model, rig, "--record", record) as stream:
        stream.communicate(b"".join(map(line_of, keypoints(20))))
    assert run("view", record, "--no-open").exit_code == 0
    assert record.with_suffix(".html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["--skeleton", "needed"]),
        (["--skeleton", "no_such_rig"], ["no_such_rig"]),
        (["--skeleton", "coco_17", "--tcp", "70000"], ["--tcp", "70000"]),
        (["--replay", "absent.csv"], ["absent.csv", "no such file"]),
        (["--replay", "absent.csv", "--tcp", "0"], ["--replay", "ports"]),
        (["--skeleton", "coco_17", "--queue", "0"], ["--queue must be >= 1, got 0"]),
        (["--skeleton", "coco_17", "--scale", "nan"], ["--scale", "nan"]),
        (["--skeleton", "coco_17", "--idle", "-1"], ["--idle", "-1"]),
        (["--skeleton", "coco_17", "--patience", "0"], ["--patience", "0"]),
        (["--skeleton", "coco_17", "--min-confidence", "2"], ["--min-confidence", "2"]),
        (["--skeleton", "coco_17", "--record", "nowhere/out.npz"], ["nowhere/out.npz"]),
        (["--skeleton", "coco_17", "--record", "out.docx"], ["out.docx", ".npz"]),
        (["--skeleton", "coco_17", "--model", "no-such-model"], ["no-such-model"]),
        (["--skeleton", "coco_17", "--dtype", "float16"], ["--dtype float16", "GPUs"]),
        (["--skeleton", "coco_17", "--latency-frames", "3"], ["multiple", "2 motion layers", "3 frames"]),
    ],
    ids=" ".join,
)
def test_bad_option(run: Run, options: list[str], words: list[str]) -> None:
    assert_one_line(run("stream", *options), *words)


@pytest.mark.slow
def test_port_that_is_taken_is_one_line(run: Run, random_model: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        outcome = run("stream", "--skeleton", "coco_17", "--model", random_model, "--tcp", port)
    assert outcome.exit_code == 2
    assert re.search(rf"olift: .*{port}.*in use", outcome.stderr.splitlines()[-1])


def test_missing_extra_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for option in (["--websocket", "0"], ["--open"]):
        assert_one_line(run("stream", "--skeleton", "coco_17", *option), "pip install 'olift-fast[stream]'")
