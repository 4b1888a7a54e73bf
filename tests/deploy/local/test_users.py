"""Only processes of one user speak with each other over a Unix socket."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest
from tests.deploy.local.peers import (
    Fork,
    end,
    look,
    next_letter,
)

from demoloop.deploy import DeployError
from demoloop.deploy.local import LocalConnection, LocalListener

NOBODY = 65534


def test_socket_and_its_folder_are_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "s.sock"
    listening = LocalListener(f"unix://{path}")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    listening.close()


def test_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(DeployError, match=r"open to other users \(mode 0755, .* chmod 700 it"):
        LocalListener(f"unix://{tmp_path}/s.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_process_of_another_user_is_turned_away(
    listener: LocalListener, tmp_path: Path, caplog: pytest.LogCaptureFixture, fork: Fork
) -> None:
    # The locks on the door are taken off, so that only the question who it is remains.
    (tmp_path / "s.sock").chmod(0o666)
    tmp_path.chmod(0o711)

    def come_as_nobody() -> bool:
        os.chdir(tmp_path)
        os.setuid(NOBODY)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as foreign:
            foreign.connect("s.sock")
            return foreign.recv(100) == b""

    child = fork(come_as_nobody)
    with caplog.at_level(logging.WARNING):
        assert next_letter(listener) is None
    assert end(child, 0) == 0
    assert "user 65534" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_robot_sends_nothing_to_another_users_server(
    tmp_path: Path, endpoint: str, fork: Fork
) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    ready, tell = os.pipe()

    def listen_as_nobody() -> bool:
        os.chdir(tmp_path)
        os.setuid(NOBODY)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as foreign:
            foreign.bind("s.sock")
            foreign.listen()
            os.write(tell, b"!")
            connected, _ = foreign.accept()
            return connected.recv(100) == b""

    child = fork(listen_as_nobody)
    assert os.read(ready, 1) == b"!"
    with pytest.raises(DeployError, match="run by user 65534 and the robot by user 0; run both"):
        LocalConnection(endpoint).send(look(1))
    assert end(child, 0) == 0
    os.close(ready)
    os.close(tell)


@pytest.mark.parametrize(
    "endpoint", ["unix://", "unix://s.sock", "unix:///", "unix:///a/", "unix:///a\0b"]
)
def test_what_is_no_path_is_answered_with_one(endpoint: str) -> None:
    with pytest.raises(DeployError, match=r"write it like unix:///run/user/\d+/demoloop\.sock"):
        LocalConnection(endpoint)
    with pytest.raises(DeployError, match=r"write it like unix:///run/user/\d+/demoloop\.sock"):
        LocalListener(endpoint)


def test_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(DeployError, match="a file is there; choose another --bind"):
        LocalListener(f"unix://{tmp_path}/notes")
    assert (tmp_path / "notes").read_text() == "mine"
