"""An object store for real: moto's S3 server on loopback, read and written through fsspec; and fsspec's own memory."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archives import Run, archive_of, lasting, records, same

from olift_fast.archive import manifest, merge_archive, report_archive, store_lock
from olift_fast.archive.archiving import LOCK, alone_in
from olift_fast.archive.destination import Destination
from olift_fast.archive.stores import Remote, remote_of
from olift_fast.errors import InputError
from olift_fast.folder_lock import InUseError
from olift_fast.io import read_lifted

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store in this process's memory."""
    yield "memory://bucket"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a new S3 server."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    running.start()
    url = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").mkdir("lab")
    yield "s3://lab"
    running.stop()
    remote_of.cache_clear()
    fsspec.filesystem("s3").clear_instance_cache()


def uploaded(folder: Path, url: str) -> None:
    files, path = fsspec.core.url_to_fs(url)
    for file in folder.rglob("*.*"):
        files.makedirs(f"{path}/{file.relative_to(folder).parent}", exist_ok=True)
        files.put_file(str(file), f"{path}/{file.relative_to(folder).as_posix()}")


def to_and_from(run: Run, source: Path, store: str, tmp_path: Path) -> None:
    """A folder in a store, lifted into the store, is what the same folder is here."""
    uploaded(source, f"{store}/in")
    run(source, tmp_path / "here")
    summary = run(f"{store}/in", f"{store}/out")
    assert (summary.done, summary.failed) == (5, 1)
    here, there = records(tmp_path / "here"), {}
    files, path = fsspec.core.url_to_fs(f"{store}/out")
    for line in b"".join(files.cat_file(name) for name in files.find(f"{path}/manifest")).splitlines():
        record = json.loads(line)
        there[record["path"].rpartition("/")[2]] = record
    assert there.keys() == here.keys()
    for name, record in there.items():
        mine, theirs = lasting(record), lasting(here[name])
        for differs in ("path", "input_modified", "output_sha256", "output_bytes"):
            mine.pop(differs, None), theirs.pop(differs, None)
        assert mine == theirs
        if record["status"] == "done":
            files.get_file(f"{path}/{record['output']}", str(tmp_path / "fetched.npz"))
            got, wanted = read_lifted(tmp_path / "fetched.npz"), read_lifted(tmp_path / "here" / record["output"])
            assert got.source == record["path"]
            object.__setattr__(got, "source", wanted.source)
            assert same(got, wanted)
    assert files.exists(f"{path}/manifest.csv") and not files.exists(f"{path}/{LOCK}")
    assert not [name for name in files.find(path) if ".tmp" in name]
    again = run(f"{store}/in", f"{store}/out")
    assert (again.done, again.skipped, again.failed_before) == (0, 5, 1)


def test_a_folder_in_memory(run: Run, memory: str, tmp_path: Path) -> None:
    to_and_from(run, archive_of(tmp_path / "in"), memory, tmp_path)


@pytest.mark.slow
def test_a_folder_in_an_object_store(run: Run, bucket: str, tmp_path: Path) -> None:
    to_and_from(run, archive_of(tmp_path / "in"), bucket, tmp_path)
    page = report_archive(f"{bucket}/out", pages=False)
    assert page == f"{bucket}/out/report.html" and fsspec.filesystem("s3").exists("lab/out/report.html")


def test_a_list_with_urls_and_what_is_not_there(run: Run, memory: str, tmp_path: Path) -> None:
    source = archive_of(tmp_path / "in", count=2)
    uploaded(source, memory)
    (tmp_path / "list.csv").write_text(f"path,fps\n{memory}/a/mouse 1.csv,25\n{memory}/a/absent.csv,\n")
    summary = run(tmp_path / "list.csv", tmp_path / "out")
    found = records(tmp_path / "out")
    assert (summary.done, summary.failed) == (1, 1)
    assert found["absent.csv"]["error"] == "no such file or folder" and found["mouse 1.csv"]["settings"]["fps"] == 25
    assert found["mouse 1.csv"]["output"] == "memory/bucket/a/mouse 1.lifted.npz"
    assert run(tmp_path / "list.csv", tmp_path / "out").skipped == 1


def test_results_among_the_input_are_refused(run: Run, memory: str, tmp_path: Path) -> None:
    uploaded(archive_of(tmp_path / "in", count=1), f"{memory}/in")
    for source, out in (("in", "in"), ("in/", "in/lifted"), ("in/**", "in/lifted")):
        with pytest.raises(InputError, match=r"lies in memory://bucket/in, which is to be lifted"):
            run(f"{memory}/{source}", f"{memory}/{out}")
    assert run(f"{memory}/in/a/*.csv", f"{memory}/in/lifted").failed == 1
    assert run(f"{memory}/in/a", f"{memory}/in2").failed == 1


def test_records_are_sent_together_and_again_where_a_store_was_away(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Destination(f"{memory}/out")
    keep, sent, away = Destination.keep, list[str](), [False]

    def keeping(self: Destination, local: Path, name: str) -> None:
        if away[0]:
            raise InputError("no network")
        sent.append(name)
        keep(self, local, name)

    monkeypatch.setattr(Destination, "keep", keeping)
    clock = [1000.0]
    monkeypatch.setattr(manifest.time, "monotonic", lambda: clock[0])
    with manifest.Manifest(out) as kept:
        for number in range(6):
            clock[0] += 3
            away[0] = number == 4
            kept.add([{"path": str(number), "status": "failed"}])
    # At 3, 9, and, as the third could not be sent, at the end.
    assert len(sent) == 3
    with manifest.Manifest(out) as again:
        again.load()
        assert [record["path"] for record in again.records()] == [str(number) for number in range(6)]


def test_shards_of_a_store_are_merged(run: Run, memory: str, tmp_path: Path) -> None:
    uploaded(archive_of(tmp_path / "in"), f"{memory}/in")
    for part in (1, 2):
        run(f"{memory}/in", f"{memory}/out", shard=(part, 2))
    assert merge_archive(f"{memory}/out")[:2] == (5, 1)
    parts = fsspec.filesystem("memory").find("/bucket/out/manifest")
    assert len(parts) == 1


def test_two_runs_on_a_store_at_once(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Destination(f"{memory}/out")
    with alone_in(out):
        with pytest.raises(InUseError, match=r"another run writes into it \(process \d+ on "), alone_in(out):
            pass
        # A run that was killed has left an object that nobody renews.
        now = time.time()
        monkeypatch.setattr(store_lock.time, "time", lambda: now + store_lock.STALE + 1)
        with alone_in(out):
            pass


def test_what_goes_wrong_with_a_store_is_one_line_with_its_url(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"memory://nothing: no such file or folder"):
        run("memory://nothing", tmp_path / "out")
    with pytest.raises(InputError, match=r"nonsense://x/y: "):
        run("nonsense://x/y", tmp_path / "out")

    # No extra brings the packages of other stores: what fsspec says of them names the one.
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InputError, match=r"^gs://lab/in: a package is missing: .*gcsfs"):
        run("gs://lab/in", tmp_path / "out")

    class NoCredentialsError(Exception):
        pass

    def refused(*_: Any, **__: Any) -> Any:
        raise NoCredentialsError("Unable to locate credentials")

    remote, path = Remote.of("memory://bucket/x")
    monkeypatch.setattr(type(remote._files), "isfile", refused)
    with pytest.raises(InputError) as error:
        list(remote.found(path))
    assert str(error.value) == "memory://bucket/x: no credentials: Unable to locate credentials"


def test_results_go_under_another_name_first_where_files_can_be_seen_half_written(tmp_path: Path) -> None:
    (tmp_path / "local").write_text("content")
    files, path = fsspec.core.url_to_fs(f"local://{tmp_path}")
    names: list[str] = []
    put = type(files).put_file
    remote = Remote(files, "sftp", "sftp://host/")
    try:
        type(files).put_file = lambda self, a, b, **more: names.append(b) or put(self, a, b, **more)
        remote.put(tmp_path / "local", f"{path}/out/x.npz")
    finally:
        type(files).put_file = put
    assert names[0].endswith(".tmp") and [one.name for one in (tmp_path / "out").iterdir()] == ["x.npz"]
