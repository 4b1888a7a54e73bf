"""Whatever stands in a policy file's place gets one sentence at once; what is checked is run."""

from __future__ import annotations

import os
import socket
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from demoloop.deploy.errors import PolicyError
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.policy_file import MAX_FILE_BYTES, PolicyFile, opened
from demoloop.robot import Observation, RobotSpec
from demoloop.robot.card import verify_seal

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="sealed memory is Linux's")


def empty(path: Path) -> None:
    path.touch()


def folder(path: Path) -> None:
    path.mkdir()


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("policy.onnx", b"\x08\x0a" * 1000)


def picture(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)


def text(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 62668514\n")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 << 30)


def sparse_but_not_too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 << 20)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


STRANGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (empty, "carries no policy card"),
    "folder": (folder, "is a folder; name the file"),
    "zip": (zipped, "not an ONNX file"),
    "picture": (picture, "not an ONNX file"),
    "text": (text, "not an ONNX file"),
    "2 GB of nothing": (sparse, f"has 2147483648 bytes, a policy has at most {MAX_FILE_BYTES}"),
    "8 MB of nothing": (sparse_but_not_too_large, "not a policy: more than"),
    "named pipe": (pipe, "is no ordinary file"),
    "/dev/zero": (device, "is no ordinary file"),
    "link to itself": (loop, "cannot read the policy"),
    "socket": (listening, "cannot read the policy"),
}


@linux_only
@pytest.mark.parametrize("what", STRANGE)
def test_what_is_no_policy_is_one_sentence_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    make, sentence = STRANGE[what]
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    make(Path("policy.onnx"))
    with pytest.raises(PolicyError, match=sentence) as error:
        OnnxPolicy.load(Path("policy.onnx"))
    assert "\n" not in str(error.value)


@linux_only
def test_file_that_is_replaced_after_it_was_opened_changes_nothing(
    policy_file: Path, spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    with opened(policy_file) as file:
        whole = policy_file.read_bytes()
        policy_file.write_bytes(bytes(len(whole)))
        with file.looked_at() as data:
            assert data == whole
            assert verify_seal(data).spec == spec


@linux_only
def test_bytes_under_check_cannot_be_written(policy_file: Path) -> None:
    with opened(policy_file) as file:
        assert isinstance(file.source, str)
        with open(file.source, "r+b", buffering=0) as again, pytest.raises(PermissionError):
            again.write(b"\0")
        with open(file.source, "r+b", buffering=0) as again, pytest.raises(PermissionError):
            again.truncate(0)


@linux_only
def test_nothing_stays_open_after_a_load_that_fails_or_succeeds(policy_file: Path) -> None:
    def num_open() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = num_open()
    policy = OnnxPolicy.load(policy_file)
    assert num_open() == before
    policy_file.write_bytes(policy_file.read_bytes() + b"\0")
    with pytest.raises(PolicyError):
        OnnxPolicy.load(policy_file)
    assert num_open() == before
    del policy


def test_bytes_do_where_there_is_no_sealed_memory(policy_file: Path, spec: RobotSpec) -> None:
    whole = policy_file.read_bytes()
    with PolicyFile(whole).looked_at() as data:
        assert data == whole
