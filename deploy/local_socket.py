"""Unix sockets that only processes of the same user reach, on either side."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
import sys
from pathlib import Path

from demoloop.deploy.errors import DeployError

_CREDENTIALS = struct.Struct("3i")  # process, user, group
_PATH_BYTES = 107  # of an address, by the kernel
_BACKLOG = 16


def path_of(endpoint: str, what: str) -> Path:
    """Returns the path in `unix:///FOLDER/NAME`; raises DeployError for anything else.

    Args:
        endpoint: As the user wrote it.
        what: Names the option it came from.
    """
    if sys.platform != "linux":
        raise DeployError(f"{what} {endpoint!r} needs Linux; use tcp://127.0.0.1:5555")
    path = endpoint.removeprefix("unix://")
    if path == endpoint or not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise DeployError(
            f"{what} {endpoint!r} is no endpoint; write it like "
            f"unix:///run/user/{os.getuid()}/demoloop.sock"
        )
    if len(os.fsencode(path)) > _PATH_BYTES:
        raise DeployError(f"{what} {endpoint!r} is longer than {_PATH_BYTES} bytes; use a shorter "
                          "path")  # fmt: skip
    return Path(path)


def user_of(connected: socket.socket) -> int:
    """Returns whose process is at the other end, as the kernel knows it."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(raw)[1]
    return user


def bind(path: Path) -> tuple[socket.socket, int]:
    """Returns a listening socket that is there for this user alone, and its inode.

    The folder is made when it is missing. A socket that a killed server left is replaced.

    Raises:
        DeployError: Others could reach the folder, or a server listens there already.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DeployError(f"cannot bind unix://{path}: {error.strerror}") from error
    try:
        _check_folder(path.parent, os.fstat(folder))
        # One server at a time looks whether a socket is left over.
        fcntl.flock(folder, fcntl.LOCK_EX)
        _remove_left_over(path)
        return _listen(path)
    finally:
        os.close(folder)


def unbind(path: Path, inode: int) -> None:
    """Removes the socket's name unless another server has taken it meanwhile."""
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except OSError:
        pass  # somebody tidied up; nothing listens there


def connect(path: Path) -> socket.socket | None:
    """Returns a connected socket, or None while nobody listens.

    Raises:
        DeployError: The server is another user's.
    """
    connecting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connecting.setblocking(False)  # a server that accepts nobody must not keep an arm waiting
    try:
        connecting.connect(str(path))
        user = user_of(connecting)
    except OSError as error:
        connecting.close()
        if error.errno in (errno.EACCES, errno.EPERM):
            raise DeployError(
                f"unix://{path} is not for user {os.geteuid()}; run the server and the robot as "
                "the same user"
            ) from error
        return None
    if user != os.geteuid():
        connecting.close()
        raise DeployError(
            f"the server at unix://{path} is run by user {user} and the robot by user "
            f"{os.geteuid()}; run both as the same user"
        )
    return connecting


def _check_folder(folder: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise DeployError(
            f"the folder {folder} is open to other users (mode "
            f"{stat.S_IMODE(status.st_mode):04o}, user {status.st_uid}), who could stand in for "
            f"the server; use one of your own such as /run/user/{os.geteuid()}, or chmod 700 it"
        )


def _remove_left_over(path: Path) -> None:
    try:
        status = path.lstat()
    except OSError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise DeployError(f"cannot bind unix://{path}: a file is there; choose another --bind")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()  # nobody listens: it was killed
            return
        except OSError:
            pass  # busy, or of another kind: somebody listens
    raise DeployError(
        f"unix://{path} is in use already; stop the server there or choose another --bind"
    )


def _listen(path: Path) -> tuple[socket.socket, int]:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listening.setblocking(False)
        listening.bind(str(path))
        # Before `listen` nobody can connect, and the folder is closed to others anyway.
        path.chmod(0o600)
        listening.listen(_BACKLOG)
        return listening, path.lstat().st_ino
    except OSError as error:
        listening.close()
        raise DeployError(f"cannot bind unix://{path}: {error.strerror}") from error
