"""`olift push`, and commands whose `--model` is on the Hub."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import OWNER_TOKEN, FakeHub
from hubs import environment, hub_in_place

from olift_fast.train.config import ModelPlan
from olift_fast.train.fitting import build

from .conftest import Run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with hub_in_place(tmp_path, monkeypatch) as hub:
        yield hub


def files_of(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.slow
def test_push_then_lift(run: Run, hub: FakeHub, random_model: str, mouse: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    card = tmp_path / "card.md"
    card.write_text("# Mouse\n\nLifts a mouse.\n")
    result = run(
        "push", random_model, "me/mouse", "--card", card, "--license", "mit", "--private", "-m", "new", "--json"
    )
    assert result.exit_code == 0, result.output
    repository = hub.repositories["me/mouse"]
    assert json.loads(result.stdout) == {
        "model": "me/mouse",
        "commit": f"{hub.url}/me/mouse/commit/{repository.refs['main']}",
    }
    sent = repository.newest()
    assert {name: sent[name] for name in files_of(random_model)} == files_of(random_model)
    assert sent["README.md"].startswith(b"---\nlicense: mit\n") and sent["README.md"].endswith(b"Lifts a mouse.\n")
    assert repository.private and repository.messages[-1] == "new"
    result = run("push", random_model, "me/mouse", "--revision", "v2")
    assert result.exit_code == 0 and result.stdout.endswith("; olift lift FILE --model me/mouse@v2\n")

    out = tmp_path / "out.npz"
    result = run("lift", mouse, "--model", "me/mouse@v2", "-o", out)
    assert result.exit_code == 0 and out.is_file(), result.output


@pytest.mark.slow
def test_push_of_what_can_not_be_pushed(run: Run, hub: FakeHub, random_model: str, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xe9")
    for arguments, told in (
        ([tmp_path, "me/mouse"], f"{tmp_path / 'config.json'}: can't be read: No such file"),
        ([random_model, "mouse"], "repo must be owner/name, of letters, digits and - _ . between them, got 'mouse'"),
        ([random_model, "me/mouse", "--card", tmp_path / "no.md"], f"{tmp_path / 'no.md'}: no such file"),
        ([random_model, "me/mouse", "--card", tmp_path / "latin"], f"{tmp_path / 'latin'}: must be text in UTF-8"),
        ([random_model, "me/mouse"], "log in with `hf auth login`, or set HF_TOKEN"),
    ):
        result = run("push", *arguments)
        assert result.exit_code == 2 and told in result.stderr and len(result.stderr.splitlines()) == 1, told
    assert hub.repositories == {}


@pytest.mark.slow
def test_an_archive_and_a_training_pin_the_model(
    run: Run, hub: FakeHub, random_model: str, mouse: Path, tmp_path: Path
) -> None:
    hub.add("me/mouse", files_of(random_model))
    result = run("archive", mouse.parent, "--out", tmp_path / "lifted", "--model", "me/mouse", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "lifted").rglob("*.npz")] == ["mouse.lifted.npz"]
    # The workers ask for the commit, which is in the cache.
    assert len([path for path in hub.asked("HEAD") if "/main/" in path]) == 2
    assert build(ModelPlan(start="me/mouse")).name == "random"


@pytest.mark.slow
def test_as_a_program(hub: FakeHub, random_model: str, mouse: Path, tmp_path: Path) -> None:
    hub.add("me/mouse", files_of(random_model))
    variables = environment(hub, tmp_path / "home")

    def olift(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "olift_fast", "lift", str(mouse), "-o", str(tmp_path / "out.npz"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=300)

    done = olift("--model", "me/rat")
    assert done.returncode == 2 and not (tmp_path / "out.npz").exists()
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"olift: model 'me/rat': no such folder is here, and no such model is at {hub.url}, or it is private"
    )
    done = olift("--model", "me/mouse")
    assert done.returncode == 0 and (tmp_path / "out.npz").is_file(), done.stderr
