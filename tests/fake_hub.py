"""A Hub on loopback that answers what ``huggingface_hub`` asks: downloads with hashes and commits, uploads, errors.

Large files (``.safetensors``) are where the real one has them: on a second server, to which the first redirects.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import yaml

OWNER_TOKEN = "hf_owner"
LARGE = ".safetensors"


class Request(NamedTuple):
    """What was asked: of the Hub, or of the server for large files."""

    method: str
    path: str
    token: str | None
    of_store: bool


@dataclass
class Repository:
    """A model: the files of each commit, and the commits that branches and tags stand for."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, changes: Mapping[str, bytes], branch: str = "main", message: str = "") -> str:
        """Adds the files to those of the branch; returns the commit."""
        files = dict(self.commits.get(self.refs.get(branch, ""), {})) | dict(changes)
        told = [branch, message, len(self.commits), sorted((name, _sha256(body)) for name, body in files.items())]
        name = hashlib.sha1(json.dumps(told).encode()).hexdigest()
        self.commits[name], self.refs[branch] = files, name
        self.messages.append(message)
        return name

    def newest(self, branch: str = "main") -> dict[str, bytes]:
        """The branch's files."""
        return self.commits[self.refs[branch]]


class FakeHub:
    """The repositories, what was asked, and what is answered wrongly.

    Args:
        url: where it listens, for ``HF_ENDPOINT``.
        store: the server for large files.
        spoil: takes a path, the headers of the answer, and its body, and returns what is sent in their place.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.large: dict[str, bytes] = {}
        self.spoil: Callable[[str, dict[str, str], bytes], tuple[dict[str, str], bytes]] | None = None
        self.url = self.store = ""

    def add(self, repo: str, files: Mapping[str, bytes], **kinds: bool) -> str:
        """A repository with one commit; returns the commit."""
        self.repositories[repo] = Repository(**kinds)
        return self.repositories[repo].commit(files)

    def asked(self, *methods: str) -> list[str]:
        """The paths that were asked for by these methods, or by any."""
        return [one.path for one in self.requests if not methods or one.method in methods]


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A Hub, and its server for large files, on free ports of loopback."""
    hub = FakeHub()
    servers = [_Server(("127.0.0.1", 0), hub, of_store) for of_store in (False, True)]
    hub.url, hub.store = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], hub: FakeHub, of_store: bool) -> None:
        super().__init__(address, _Handler)
        self.hub, self.of_store = hub, of_store

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: clients may hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        hub.requests.append(Request(self.command, path, token, self.server.of_store))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.of_store:
            self._store(path, body)
            return
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == ("GET" if self.command == "HEAD" else self.command):
                answer(self, token, body, **found.groupdict())
                return
        self._send(404, {"error": f"no such route: {path}"})

    def _store(self, path: str, body: bytes) -> None:
        large, oid = self.server.hub.large, path.rpartition("/")[2]
        if self.command == "PUT":
            large[oid] = body
            self._send(200, b"")
        else:
            self._send(200 if oid in large else 404, large.get(oid, b""))

    def _send(self, status: int, content: bytes | Any, headers: Mapping[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        told = {"Content-Length": str(len(body)), **(headers or {})}
        if self.server.hub.spoil is not None:
            told, body = self.server.hub.spoil(urlsplit(self.path).path, told, body)
        self.send_response(status)
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            if len(body) != int(told.get("Content-Length", len(body))):
                self.close_connection = True

    def _error(self, status: int, code: str, message: str, **headers: str) -> None:
        self._send(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message, **headers})

    def _seen(self, repo: str, token: str | None) -> Repository | None:
        """The repository, where it may be read; else it answers as the Hub does."""
        found = self.server.hub.repositories.get(repo)
        if (found is None or found.private) and token is None:
            # Who is not logged in is not told whether it exists.
            self._send(401, {"error": "Invalid username or password."})
        elif found is None or (found.private and token != OWNER_TOKEN):
            self._error(404, "RepoNotFound", "Repository not found")
        elif found.gated and token != OWNER_TOKEN:
            self._error(403, "GatedRepo", "Access to this model is restricted")
        else:
            return found
        return None

    def _resolve(self, token: str | None, _: bytes, repo: str, revision: str, file: str) -> None:
        found = self._seen(repo, token)
        if found is None:
            return
        commit = found.refs.get(revision, revision)
        if commit not in found.commits:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        content = found.commits[commit].get(file)
        if content is None:
            self._error(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_git_hash(content)}"'}
        if not file.endswith(LARGE):
            self._send(200, content, headers)
            return
        oid = _sha256(content)
        self.server.hub.large[oid] = content
        headers |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
        self._send(302, b"", {**headers, "Location": f"{self.server.hub.store}/objects/{oid}"})

    def _info(self, token: str | None, _: bytes, repo: str, revision: str = "main") -> None:
        found = self._seen(repo, token)
        if found is not None:
            self._send(200, {"id": repo, "modelId": repo, "private": found.private, "sha": found.refs.get(revision)})

    def _create(self, token: str | None, body: bytes) -> None:
        told = json.loads(body)
        repo = f"{told.get('organization') or 'me'}/{told['name']}"
        if token is None:
            self._send(401, {"error": "Invalid username or password."})
        elif repo in self.server.hub.repositories:
            self._send(409, {"error": "You already created this model repo", "url": f"{self.server.hub.url}/{repo}"})
        elif token != OWNER_TOKEN:
            self._error(403, "Forbidden", "You don't have the rights to create a model under this namespace")
        else:
            self.server.hub.add(
                repo, {".gitattributes": b""}, private=told.get("private") or told.get("visibility") == "private"
            )
            self._send(200, {"url": f"{self.server.hub.url}/{repo}", "name": repo, "id": repo})

    def _validate(self, _: str | None, body: bytes) -> None:
        block = json.loads(body)["content"].split("---\n")[1]
        wrong = [] if isinstance(yaml.safe_load(block), dict) else [{"message": "must be a mapping"}]
        self._send(400 if wrong else 200, {"errors": wrong, "warnings": []})

    def _branch(self, token: str | None, _: bytes, repo: str, branch: str) -> None:
        found = self._seen(repo, token)
        if found is None:
            return
        if branch in found.refs:
            self._send(409, {"error": f"Reference already exists: refs/heads/{branch}"})
            return
        found.refs[branch] = found.refs["main"]
        self._send(200, {"status": "ok"})

    def _writable(self, repo: str, token: str | None) -> Repository | None:
        found = self._seen(repo, token)
        if found is not None and token != OWNER_TOKEN:
            self._error(403, "Forbidden", "You have no right to write here")
            return None
        return found

    def _preupload(self, token: str | None, body: bytes, repo: str, revision: str) -> None:
        if self._writable(repo, token) is None:
            return
        names = [file["path"] for file in json.loads(body)["files"]]
        modes = [
            {"path": name, "uploadMode": "lfs" if name.endswith(LARGE) else "regular", "shouldIgnore": False}
            for name in names
        ]
        self._send(200, {"files": modes})

    def _batch(self, token: str | None, body: bytes, repo: str) -> None:
        if self._writable(repo, token) is None:
            return
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.hub.store}/objects/{one['oid']}", "header": {}}}}
            for one in json.loads(body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _commit(self, token: str | None, body: bytes, repo: str, revision: str) -> None:
        found = self._writable(repo, token)
        if found is None:
            return
        files, message = {}, ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.hub.large[value["oid"]]
        commit = found.commit(files, revision, message)
        told = {"commitUrl": f"{self.server.hub.url}/{repo}/commit/{commit}", "commitOid": commit, "success": True}
        self._send(200, told)


_REPO = r"(?P<repo>[^/]+/[^/]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("POST", r"/api/repos/create", _Handler._create),
    ("POST", r"/api/validate-yaml", _Handler._validate),
    ("GET", rf"/{_REPO}/resolve/(?P<revision>.+)/(?P<file>[^/]+)", _Handler._resolve),
    ("GET", rf"/api/models/{_REPO}", _Handler._info),
    ("GET", rf"/api/models/{_REPO}/revision/(?P<revision>.+)", _Handler._info),
    ("POST", rf"/api/models/{_REPO}/branch/(?P<branch>.+)", _Handler._branch),
    ("POST", rf"/api/models/{_REPO}/preupload/(?P<revision>.+)", _Handler._preupload),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", _Handler._batch),
    ("POST", rf"/api/models/{_REPO}/commit/(?P<revision>.+)", _Handler._commit),
)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
