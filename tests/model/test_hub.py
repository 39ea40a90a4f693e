"""Models on a Hub: fetched by name with all checks, cached, pushed with a card; what is wrong is told in one line."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fake_hub import OWNER_TOKEN, FakeHub
from hubs import hub_in_place

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.model import Lifter, LifterConfig, checkpoints
from olift_fast.model.cards import card_of, without_relative_links
from olift_fast.model.hub import HubModel, hub_model

TINY = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, window=(2, 1), frequencies=8)
FILES = ("config.json", "model.safetensors")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.chdir(tmp_path)
    with hub_in_place(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(TINY, name="tiny").eval()


@pytest.fixture(scope="module")
def files(lifter: Lifter, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = lifter.save_pretrained(tmp_path_factory.mktemp("tiny") / "tiny")
    return {name: (folder / name).read_bytes() for name in FILES}


def same(first: Lifter, second: Lifter) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return first.config == second.config and all(torch.equal(a, b) for a, b in pairs)


def config_with(files: dict[str, bytes], **values: Any) -> bytes:
    told = json.loads(files["config.json"])
    return json.dumps(told | {"lifter": told["lifter"] | values}).encode()


@pytest.mark.parametrize(
    ("name", "revision", "wanted"),
    [
        ("me/mouse", None, HubModel("me/mouse")),
        ("me/mouse@v1.0", None, HubModel("me/mouse", "v1.0")),
        ("me/mouse", "refs/pr/1", HubModel("me/mouse", "refs/pr/1")),
        ("A-b_c/d.e-f", None, HubModel("A-b_c/d.e-f")),
        ("mouse", None, None),
        ("a/b/c", None, None),
        ("./runs/mine", None, None),
        ("../mine", None, None),
        ("/tmp/mine", None, None),
        ("runs/", None, None),
        ("me/a--b", None, None),
        ("me/..", None, None),
        ("me/mouse.", None, None),
        ("me\\mouse", None, None),
        ("me/" + "m" * 100, None, None),
    ],
)
def test_what_a_name_means_on_the_hub(name: str, revision: str | None, wanted: HubModel | None) -> None:
    assert hub_model(name, revision) == wanted
    if wanted is not None:
        assert hub_model(str(wanted)) == wanted


@pytest.mark.parametrize("revision", ["", "../../x", "a b", "-v", "x\n", "v" * 201])
def test_revisions_that_can_not_be_are_refused(revision: str) -> None:
    with pytest.raises(InputError, match="model 'me/mouse': revision must be a branch, a tag or a commit, got"):
        hub_model("me/mouse", revision)
    with pytest.raises(InputError, match="has a revision, so revision must be left out, got 'v2'"):
        hub_model("me/mouse@v1", "v2")


@pytest.mark.slow
def test_a_model_is_fetched_once_and_is_the_same(hub: FakeHub, lifter: Lifter, files: dict[str, bytes]) -> None:
    commit = hub.add("me/mouse", {**files, "README.md": b"# mouse", "big.bin": bytes(100)})
    first = Lifter.from_pretrained("me/mouse")
    assert same(first, lifter) and first.name == "tiny" and not first.training
    assert {path.rpartition("/")[2] for path in hub.asked("GET") if "resolve" in path} == {"config.json"}
    assert len([one for one in hub.requests if one.of_store]) == 1

    hub.requests.clear()
    assert same(Lifter.from_pretrained("me/mouse"), lifter)
    assert hub.asked("GET") == [] and hub.asked("HEAD") != []

    hub.requests.clear()
    assert checkpoints.pinned("me/mouse") == f"me/mouse@{commit}"
    hub.requests.clear()
    assert same(Lifter.from_pretrained(f"me/mouse@{commit}"), lifter)
    assert hub.requests == []


def test_what_is_newer_is_fetched_and_what_is_pinned_stays(hub: FakeHub, lifter: Lifter, files: dict) -> None:
    hub.add("me/mouse", files)
    pin = checkpoints.pinned("me/mouse")
    other = Lifter(TINY, name="other")
    folder = other.save_pretrained("other")
    hub.repositories["me/mouse"].commit({name: (folder / name).read_bytes() for name in FILES})
    assert Lifter.from_pretrained("me/mouse").name == "other"
    assert Lifter.from_pretrained(pin).name == "tiny"
    assert Lifter.from_pretrained("me/mouse", revision=pin.partition("@")[2]).name == "tiny"


def test_branches(hub: FakeHub, files: dict[str, bytes]) -> None:
    hub.add("me/mouse", {"README.md": b""})
    hub.repositories["me/mouse"].commit(files, branch="v2")
    assert Lifter.from_pretrained("me/mouse", revision="v2").name == Lifter.from_pretrained("me/mouse@v2").name
    with pytest.raises(InputError, match=r"can't fetch config.json, it has no such file: a lifter of this package has"):
        Lifter.from_pretrained("me/mouse")
    with pytest.raises(InputError, match=r"^model 'me/mouse' has no revision 'v3': give a branch, a tag or a commit"):
        Lifter.from_pretrained("me/mouse@v3")


def test_folders_and_shipped_names_come_first(hub: FakeHub, files: dict[str, bytes], tmp_path: Path) -> None:
    hub.add("me/mouse", files)
    Lifter(TINY, name="local").save_pretrained("me/mouse")
    assert Lifter.from_pretrained("me/mouse").name == "local"
    assert checkpoints.pinned("me/mouse") == "me/mouse" and checkpoints.pinned("small") == "small"
    assert Lifter.from_pretrained("small").name == "small"
    shutil.rmtree("me")
    assert Lifter.from_pretrained("me/mouse").name == "tiny"
    hub.requests.clear()
    with pytest.raises(InputError, match="neither a folder nor a checkpoint of this package"):
        Lifter.from_pretrained(Path("me/mouse"))
    for name in ("small", "./mine", str(tmp_path)):
        with pytest.raises(InputError, match=rf"revision is for models on the Hub, owner/name; got 'v1' for '{name}'"):
            Lifter.from_pretrained(name, revision="v1")
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "mouse").write_bytes(b"")
    with pytest.raises(InputError, match="neither a folder nor a checkpoint"):
        Lifter.from_pretrained("me/mouse")
    assert hub.requests == []


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
def test_without_network_the_cache_is_enough(hub: FakeHub, files: dict[str, bytes], monkeypatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    hub.add("me/mouse", files)
    Lifter.from_pretrained("me/mouse")
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert Lifter.from_pretrained("me/mouse").name == "tiny"
    with pytest.raises(
        InputError, match=r"^model 'me/rat' is not in the cache, and HF_HUB_OFFLINE forbids fetching it"
    ):
        Lifter.from_pretrained("me/rat")
    assert hub.requests == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    gone = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr(constants, "ENDPOINT", gone)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", gone + "/{repo_id}/resolve/{revision}/{filename}")
    assert Lifter.from_pretrained("me/mouse").name == "tiny"


@pytest.mark.slow
def test_no_network_is_one_line(hub: FakeHub, monkeypatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    gone = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr(constants, "ENDPOINT", gone)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", gone + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(InputError, match=rf"^model 'me/rat' is not in the cache, and {gone} can't be reached \(.*\): "):
        Lifter.from_pretrained("me/rat")


def test_who_may_read(hub: FakeHub, files: dict[str, bytes], monkeypatch) -> None:
    hub.add("me/secret", files, private=True)
    hub.add("me/gated", files, gated=True)
    unknown = "no such folder is here, and no such model is at http.*, or it is private: check the name, or log in with"
    for repo in ("me/none", "me/secret"):
        with pytest.raises(InputError, match=f"^model '{repo}': {unknown}"):
            Lifter.from_pretrained(repo)
    for token in ("hf_stranger", None):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        else:
            monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(InputError, match=rf"^model 'me/gated' is given on request: ask for it on {hub.url}/me/gat"):
            Lifter.from_pretrained("me/gated")
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    for repo in ("me/secret", "me/gated"):
        assert Lifter.from_pretrained(repo).name == "tiny"
    with pytest.raises(InputError, match=f"^model 'me/none': {unknown}"):
        Lifter.from_pretrained("me/none")
    # The server for large files is another host: it is never told who asks.
    assert [one.token for one in hub.requests if one.of_store] == [None, None]
    assert {one.token for one in hub.requests[-1:]} == {OWNER_TOKEN}


POISON = {
    "pickle only": ({"pytorch_model.bin": pickle.dumps([1]), "../../x": b""}, "has no such file"),
    "no weights": ({"config.json": None}, r"can't fetch model.safetensors, it has no such file"),
    "config of another library": (
        {"config.json": b'{"architectures": ["Bert"]}'},
        r"config.json: is not the config of a lifter \(format must be",
    ),
    "config that is no JSON": ({"config.json": b"\x80\x04]."}, r"config.json: is not JSON: 'utf-8' codec"),
    "config with a huge model": ({"width": 2**20}, r"config.json: width must be <= 8,192, got 1048576"),
    "config too large": ({"config.json": b" " * 70_000}, r"config.json must have at most 65,536 bytes, got 70,000"),
    "weights of other shapes": ({"width": 32}, r"weights don't fit config.json: 'encoder.*' must be of shape"),
    "weights that are a pickle": (
        {"config.json": None, "model.safetensors": pickle.dumps([1])},
        r"model.safetensors: can't be read as safetensors: its header must end within",
    ),
    "weights too large": (
        {"config.json": None, "model.safetensors": bytes(4_000_000)},
        r"model.safetensors must have at most \d,\d+,\d+ bytes, got 4,000,000",
    ),
}


@pytest.mark.parametrize("kind", POISON)
def test_poisoned_repositories_are_refused_in_one_line(
    hub: FakeHub, files: dict[str, bytes], tmp_path: Path, kind: str
) -> None:
    changes, told = POISON[kind]
    if "width" in changes:
        content = {**files, "config.json": config_with(files, **changes)}
    else:
        content = {name: files[name] if body is None else body for name, body in changes.items()}
    hub.add("bad/model", content)
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    with pytest.raises(InputError, match=told) as caught:
        Lifter.from_pretrained("bad/model")
    assert str(caught.value).startswith("model 'bad/model") and "\n" not in str(caught.value)
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before
    assert {path.rpartition("/")[2] for path in hub.asked() if "resolve" in path} <= {*FILES}
    if "large" in kind or "huge" in kind:
        assert not any(one.of_store for one in hub.requests)


@pytest.mark.slow
def test_other_content_than_announced_is_refused_and_fetched_again(hub: FakeHub, lifter: Lifter, files: dict) -> None:
    """As from a redirect to a server that serves something else."""
    hub.add("me/mouse", files)
    hub.spoil = lambda path, headers, body: (headers, body[:-1] + b"!") if "/objects/" in path else (headers, body)
    with pytest.raises(
        InputError, match=r"model.safetensors is damaged, and was removed from the cache: its hash must"
    ):
        Lifter.from_pretrained("me/mouse")
    hub.spoil = lambda path, headers, body: (headers, body.replace(b"16", b"32"))
    hub.add("me/rat", files | {"config.json": files["config.json"] + b" "})
    with pytest.raises(InputError, match=r"config.json is damaged, and was removed from the cache: its hash must be"):
        Lifter.from_pretrained("me/rat")
    hub.spoil = None
    assert same(Lifter.from_pretrained("me/mouse"), lifter) and same(Lifter.from_pretrained("me/rat"), lifter)


def test_a_redirect_to_a_server_that_is_no_hub_is_refused(hub: FakeHub, files: dict, tmp_path: Path) -> None:
    hub.add("me/mouse", files)

    def elsewhere(path: str, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
        told = {name: value for name, value in headers.items() if not name.startswith(("X-", "ETag"))}
        return ({**told, "Location": f"{hub.store}/x"}, body) if "resolve" in path else (headers, body)

    hub.spoil = elsewhere
    with pytest.raises(
        InputError, match=r"is not in the cache, and http.* does not answer as a Hub does: check HF_END"
    ):
        Lifter.from_pretrained("me/mouse")
    hub.spoil = lambda path, headers, body: (headers | {"X-Repo-Commit": "main"}, body)
    with pytest.raises(InputError, match=r"the Hub must name a commit by 40 hexadecimal digits, got 'main'"):
        Lifter.from_pretrained("me/mouse")
    hub.spoil = lambda path, headers, body: (headers | {"ETag": '"abc"'}, body)
    with pytest.raises(
        InputError, match=r"config.json must come with its hash \(SHA-256, or git's\), got 'abc' as its"
    ):
        Lifter.from_pretrained("me/mouse")
    hub.spoil = lambda path, headers, body: (headers | {"X-Repo-Commit": "../../../x"}, body)
    with pytest.raises(InputError, match=r"^model 'me/mouse': can't fetch config.json: Invalid pointer path"):
        Lifter.from_pretrained("me/mouse")
    assert not list(tmp_path.rglob("x"))


@pytest.mark.slow
def test_a_truncated_download_is_one_line(hub: FakeHub, lifter: Lifter, files: dict, monkeypatch, caplog) -> None:
    hub.add("me/mouse", files)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.spoil = lambda path, headers, body: (headers, body[:1000]) if "/objects/" in path else (headers, body)
    with pytest.raises(InputError, match=r"can't fetch model.safetensors: peer closed connection"):
        Lifter.from_pretrained("me/mouse")
    assert caplog.records == []
    hub.spoil = None
    assert same(Lifter.from_pretrained("me/mouse"), lifter)


def block_of(card: bytes) -> dict[str, Any]:
    return yaml.safe_load(card.decode().split("---\n")[1])


@pytest.mark.slow
def test_push_and_fetch_again(hub: FakeHub, lifter: Lifter, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    url = lifter.push_to_hub("me/mouse", license="cc-by-4.0", message="first")
    repository = hub.repositories["me/mouse"]
    assert url == f"{hub.url}/me/mouse/commit/{repository.refs['main']}" and repository.messages[-1] == "first"
    assert sorted(repository.newest()) == [".gitattributes", "README.md", *FILES]
    assert same(Lifter.from_pretrained("me/mouse"), lifter) and not repository.private
    card = repository.newest()["README.md"]
    assert block_of(card) == {
        "license": "cc-by-4.0",
        "library_name": "olift-fast",
        "pipeline_tag": "keypoint-detection",
        "tags": ["3d-pose-estimation", "pose-lifting", "keypoints", "animals", "humans"],
        "metrics": ["sa-mpjpe", "sa-mpve"],
    }
    assert b'Lifter.from_pretrained("me/mouse")' in card and b"window (2, 1)" in card

    # A card that is there already is the work of somebody: only another one replaces it.
    repository.commit({"README.md": b"mine"})
    lifter.push_to_hub("me/mouse")
    assert repository.newest()["README.md"] == b"mine"
    lifter.push_to_hub("me/mouse", card="# Mouse\n")
    assert repository.newest()["README.md"].endswith(b"---\n# Mouse\n")


@pytest.mark.slow
def test_push_to_a_branch_in_private(hub: FakeHub, lifter: Lifter, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    lifter.push_to_hub("me/mouse", private=True, revision="v2")
    repository = hub.repositories["me/mouse"]
    assert repository.private and [*repository.newest()] == [".gitattributes"] and {*FILES} < {*repository.newest("v2")}
    assert Lifter.from_pretrained("me/mouse", revision="v2").name == "tiny"
    hub.add("me/public", {})
    with pytest.raises(InputError, match=r"^model 'me/public' is on the Hub already, and public: make it private"):
        lifter.push_to_hub("me/public", private=True)
    assert hub.repositories["me/public"].newest() == {}


@pytest.mark.slow
def test_what_ships_takes_its_card_along(hub: FakeHub, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    Lifter.from_pretrained("small").push_to_hub("me/small")
    sent = hub.repositories["me/small"].newest()
    for name in FILES:
        assert sent[name] == (checkpoints.SHIPPED / "small" / name).read_bytes()
    card = sent["README.md"].decode()
    assert block_of(sent["README.md"])["license"] == "apache-2.0" and "## Scores" in card
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", card) == []
    changed = Lifter.from_pretrained("small")
    with torch.no_grad():
        next(changed.parameters()).add_(1)
    changed.push_to_hub("me/changed")
    assert "## Scores" not in hub.repositories["me/changed"].newest()["README.md"].decode()


@pytest.mark.parametrize("name", checkpoints.shipped())
def test_cards_that_ship_begin_with_metadata(name: str) -> None:
    told = block_of((checkpoints.SHIPPED / name / "README.md").read_bytes())
    assert told["license"] == "apache-2.0" and told["library_name"] == "olift-fast"
    assert told["pipeline_tag"] == "keypoint-detection" and told["datasets"] and told["metrics"] and told["tags"]


@pytest.mark.slow
def test_who_may_push(hub: FakeHub, lifter: Lifter, monkeypatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"can't push: .* answers 401.*; log in with `hf auth login`, or set HF_TOKEN"):
        lifter.push_to_hub("me/mouse")
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    with pytest.raises(InputError, match=r"can't push: .* answers 403.*; you need the right to, from its owner"):
        lifter.push_to_hub("me/mouse")
    for repo in ("mouse", "a/b/c", "me/mouse@v1", "./mouse"):
        with pytest.raises(InputError, match=f"^repo must be owner/name, .*, got {repo!r}"):
            lifter.push_to_hub(repo)
    assert hub.repositories == {}
    broken = lifter.save_pretrained(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"")
    hub.requests.clear()
    with pytest.raises(InputError, match=r"model.safetensors: can't be read as safetensors"):
        checkpoints.push(broken, "me/mouse", checkpoints.Publication())
    assert hub.requests == []


def test_links_that_lead_nowhere_become_text() -> None:
    card = "[a](../b.md) [`x`\ny](z) [c](https://d) [e](#f) `[g](h)` ![i](j.png)\n```\n[k](l)\n```\n[m](n#o)"
    assert without_relative_links(card) == "a `x`\ny [c](https://d) [e](#f) `[g](h)` \n```\n[k](l)\n```\nm"


def test_a_name_of_a_stranger_is_no_markup_in_a_card() -> None:
    told = card_of(TINY, "<script>\n# x](y)", "me/mouse").partition("---\n# ")[2].splitlines()[0]
    assert told == "script x (y)" or not re.search(r"[<>#\[\]\n]", told)


def test_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    told = r"^model 'me/mouse': no such folder is here, and fetching it .* needs: pip install 'olift-fast\[hub\]'"
    with pytest.raises(MissingExtraError, match=told):
        Lifter.from_pretrained("me/mouse")
