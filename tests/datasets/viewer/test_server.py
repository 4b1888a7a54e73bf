"""The server answers its own page and nobody else, and bad requests in a sentence."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demoloop.datasets import DatasetError, open_dataset

Serve = Callable[[Path], Any]


def ask(
    address: str,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: object = None,
) -> tuple[int, bytes]:
    place = address.removeprefix("http://").rstrip("/")
    connection = HTTPConnection(place, timeout=20)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Host": place, **(headers or {})})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def token(address: str) -> str:
    found = re.search(rb'name="token" content="([^"]+)"', ask(address, "/")[1])
    assert found is not None
    return found[1].decode()


def test_every_answer_forbids_what_is_not_from_this_server(root: Path, serve: Serve) -> None:
    with serve(root) as viewer:
        place = viewer.address.removeprefix("http://").rstrip("/")
        for path in ("/", "/static/main.js", "/api/dataset", "/nothing"):
            connection = HTTPConnection(place, timeout=20)
            connection.request("GET", path)
            policy = connection.getresponse().headers["Content-Security-Policy"]
            connection.close()
            assert "default-src 'self'" in policy and "unsafe" not in policy


def test_it_listens_on_this_computer_only(root: Path, serve: Serve) -> None:
    with serve(root) as viewer:
        port = int(viewer.address.rsplit(":", 1)[1].rstrip("/"))
        with socket.socket() as other, pytest.raises(OSError, match="refused"):
            other.connect(("127.0.0.2", port))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", ""])
def test_another_host_name_is_refused(host: str, root: Path, serve: Serve) -> None:
    with serve(root) as viewer:
        port = viewer.address.rsplit(":", 1)[1].rstrip("/")
        status, said = ask(viewer.address, "/", headers={"Host": host.format(port=port)})
    assert status == 403
    assert b"token" not in said


@pytest.mark.parametrize(
    ("origin", "has_token"),
    [
        ("http://evil.example", True),
        ("null", True),
        (None, True),
        ("own", False),
    ],
    ids=["other-origin", "sandboxed", "no-origin", "no-token"],
)
def test_a_page_of_another_origin_cannot_edit(
    origin: str | None, has_token: bool, root: Path, serve: Serve
) -> None:
    view = open_dataset(root).view_hash()
    with serve(root) as viewer:
        own = viewer.address.rstrip("/")
        headers = {"X-Demoloop-Token": token(viewer.address) if has_token else "guess"}
        if origin is not None:
            headers["Origin"] = own if origin == "own" else origin
        for path in ("/api/edit", "/api/undo", "/api/check"):
            body = {"op": "drop", "episodes": [open_dataset(root).episodes[0].uuid], "fields": {}}
            status, _ = ask(viewer.address, path, method="POST", headers=headers, body=body)
            assert status == 403
    assert open_dataset(root).view_hash() == view


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static/vendor/../../server.py",
        "/api/frames/00/0?first=0&count=1",
        "/api/frames/{uuid}/9?first=0&count=1",
        "/api/frames/{uuid}/0?first=99999999&count=1",
        "/api/frames/{uuid}/0?first=-1&count=1",
        "/api/frames/{uuid}/0?first=0&count=0",
        "/api/frames/{uuid}/0",
        "/api/frames/{uuid}/99999999999999999999999?first=0&count=1",
        "/api/thumbnail/ffffffff",
        "/api/episode/..%2f..%2fetc",
    ],
)
def test_a_bad_request_gets_a_sentence(path: str, root: Path, serve: Serve) -> None:
    with serve(root) as viewer:
        path = path.format(uuid=open_dataset(root).episodes[0].uuid)
        status, said = ask(viewer.address, path)
        assert 400 <= status < 500
        assert "Traceback" not in (sentence := json.loads(said)["error"]) and sentence
        assert ask(viewer.address, "/api/state")[0] == 200


def test_one_answer_holds_a_bounded_number_of_frames(root: Path, serve: Serve) -> None:
    uuid = open_dataset(root).episodes[2].uuid
    with serve(root) as viewer:
        _, body = ask(viewer.address, f"/api/frames/{uuid}/0?first=0&count=999999")
    at = frames = 0
    while at < len(body):
        at += 4 + int.from_bytes(body[at : at + 4], "big")
        frames += 1
    assert (at, frames) == (len(body), 7)  # as many as the episode has, and no error


def test_thumbnails_are_made_once(root: Path, serve: Serve) -> None:
    uuid = open_dataset(root).episodes[0].uuid
    with serve(root) as viewer:
        status, first = ask(viewer.address, f"/api/thumbnail/{uuid}")
        assert status == 200 and first.startswith(b"\xff\xd8")
        (cached,) = (root / ".cache" / "thumbnails").iterdir()
        for video in root.rglob("*.mp4"):
            video.unlink()
        assert ask(viewer.address, f"/api/thumbnail/{uuid}")[1] == first == cached.read_bytes()


def test_numbers_that_are_none_are_gaps_in_the_curve(root: Path, serve: Serve) -> None:
    uuid = open_dataset(root).episodes[0].uuid
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("action")
    broken = pa.FixedSizeListArray.from_arrays(
        pa.array(np.array([1, np.nan, 3, np.inf, *range(6)], np.float32)), 2
    )
    pq.write_table(table.set_column(place, "action", broken), path)
    with serve(root) as viewer:
        status, said = ask(viewer.address, f"/api/episode/{uuid}")
    assert status == 200
    shoulder, gripper = json.loads(said)["pages"][0]["curves"]
    assert shoulder["dashed"] == [1, 3, 0, 2, 4]
    assert gripper["dashed"] == [None, None, 1, 3, 5]


def test_a_taken_port_is_a_sentence(root: Path, serve: Serve) -> None:
    import asyncio

    from demoloop.datasets.viewer.server import serving

    async def again(port: int) -> None:
        async with serving(root, port):
            pass

    with serve(root) as viewer:
        port = int(viewer.address.rsplit(":", 1)[1].rstrip("/"))
        with pytest.raises(DatasetError, match="--port"):
            asyncio.run(again(port))
