"""A stand-in for the Hugging Face Hub on this machine: no test reaches the real one."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

REPO = "person/cubes"
Files = dict[str, str]  # name -> sha256


class StandIn(ThreadingHTTPServer):
    """What huggingface_hub asks of the Hub, for one repository, in memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.blobs: dict[str, bytes] = {}
        self.commits: dict[str, Files] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.created: dict[str, object] | None = None
        self.num_uploads = 0
        self.uploads_before_failure: int | None = None
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, revision: str) -> Files:
        return self.commits[self.commit(revision)]

    def commit(self, revision: str) -> str:
        return self.tags.get(revision) or self.branches.get(revision) or revision

    def commit_files(self, branch: str, files: Files) -> str:
        text = json.dumps([branch, len(self.commits), files])
        oid = hashlib.sha1(text.encode()).hexdigest()
        self.commits[oid], self.branches[branch] = files, oid
        return oid

    def keep(self, data: bytes) -> str:
        oid = hashlib.sha256(data).hexdigest()
        self.blobs[oid] = data
        return oid


class Answers(BaseHTTPRequestHandler):
    """One request of huggingface_hub 2.4 with Xet switched off."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> StandIn:
        assert isinstance(self.server, StandIn)
        return self.server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, value: object, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def path_parts(self) -> list[str]:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        return path.replace(f"/{REPO}", "/REPO", 1).strip("/").split("/")

    def do_POST(self) -> None:
        hub, parts, body = self.hub, self.path_parts(), self.body()
        if self.headers.get("Authorization") != "Bearer hf_good":
            return self.answer({"error": "Invalid token"}, 401)
        match parts:
            case ["api", "repos", "create"]:
                url = f"{hub.url}/datasets/{REPO}"
                if hub.created is not None:
                    return self.answer({"error": "it is there already", "url": url}, 409)
                hub.created = json.loads(body)
                hub.commit_files("main", {".gitattributes": hub.keep(b"")})
                return self.answer({"url": url})
            case ["api", "validate-yaml"]:
                return self.answer({"errors": [], "warnings": []})
            case ["api", "datasets", "REPO", "branch", branch]:
                hub.branches.setdefault(branch, hub.branches["main"])
                return self.answer({})
            case ["api", "datasets", "REPO", "preupload", branch]:
                there = hub.files(branch)
                modes = [
                    {
                        "path": file["path"],
                        "uploadMode": "regular" if is_small(file["path"]) else "lfs",
                        "shouldIgnore": False,
                        "oid": None if is_small(file["path"]) else there.get(file["path"]),
                    }
                    for file in json.loads(body)["files"]
                ]
                return self.answer({"files": modes})
            case ["datasets", "REPO.git", "info", "lfs", "objects", "batch"]:
                objects = json.loads(body)["objects"]
                for each in objects:
                    if each["oid"] not in hub.blobs:
                        each["actions"] = {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}}
                return self.answer({"transfer": "basic", "objects": objects})
            case ["api", "datasets", "REPO", "commit", branch]:
                return self.commit_(branch, body)
            case ["api", "datasets", "REPO", "tag", revision]:
                hub.tags[json.loads(body)["tag"]] = hub.commit(revision)
                return self.answer({})
        return self.answer({"error": self.path}, 404)

    def commit_(self, branch: str, body: bytes) -> None:
        hub, files = self.hub, dict(self.hub.files(branch))
        for line in body.splitlines():
            key, value = (entry := json.loads(line))["key"], entry["value"]
            if key == "file":
                files[value["path"]] = hub.keep(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                files[value["path"]] = value["oid"]
            elif key == "deletedFile":
                del files[value["path"]]
        oid = hub.commit_files(branch, files)
        self.answer({"commitUrl": f"{hub.url}/datasets/{REPO}/commit/{oid}", "commitOid": oid})

    def do_PUT(self) -> None:
        hub, parts, body = self.hub, self.path_parts(), self.body()
        if hub.num_uploads == hub.uploads_before_failure:
            return self.answer({"error": "out of order"}, 403)
        hub.num_uploads += 1
        assert hub.keep(body) == parts[-1], "the bytes are not those that were announced"
        return self.answer({})

    def do_DELETE(self) -> None:
        del self.hub.tags[self.path_parts()[-1]]
        self.answer({})

    def do_GET(self) -> None:
        hub, parts = self.hub, self.path_parts()
        if hub.created is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        match parts:
            case ["api", "datasets", "REPO", "refs"]:
                kinds = {"branches": hub.branches, "tags": hub.tags, "converts": {}}
                refs = {
                    kind: [{"name": n, "ref": n, "targetCommit": oid} for n, oid in at.items()]
                    for kind, at in kinds.items()
                }
                return self.answer(refs)
            case ["api", "datasets", "REPO", "revision", revision]:
                siblings = [{"rfilename": name} for name in hub.files(revision)]
                return self.answer({"id": REPO, "sha": hub.commit(revision), "siblings": siblings})
            case ["api", "datasets", "REPO", "tree", revision, *_]:
                listed = [
                    {"type": "file", "path": name, "oid": oid, "size": len(hub.blobs[oid])}
                    for name, oid in hub.files(revision).items()
                ]
                return self.answer(listed)
            case ["datasets", "REPO", "resolve", revision, *name]:
                oid = hub.files(revision)["/".join(name)]
                self.send_response(200)
                self.send_header("X-Repo-Commit", hub.commit(revision))
                self.send_header("ETag", f'"{oid}"')
                self.send_header("Content-Length", str(len(hub.blobs[oid])))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(hub.blobs[oid])
                return None
        return self.answer({"error": self.path}, 404)

    do_HEAD = do_GET


def is_small(name: str) -> bool:
    return name.endswith((".json", ".jsonl", ".md", ".gitattributes"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """The stand-in, and a huggingface_hub that knows no other."""
    server = StandIn()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    place = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", place)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "harnesses.json"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
