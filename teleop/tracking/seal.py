"""A process that opens no socket, whatever library it loads, because the kernel refuses."""

from __future__ import annotations

import ctypes as c
import errno
import os
import platform
import sys

from demoloop.teleop.errors import TeleopError

# uname -m -> audit architecture (linux/audit.h), number of the system call `socket`.
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # of prctl(2)
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: a word of what is called, jump, verdict
_CALL, _ARCHITECTURE = 0, 4  # where in struct seccomp_data
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000


class _Step(c.Structure):
    _fields_ = [("code", c.c_uint16), ("yes", c.c_uint8), ("no", c.c_uint8), ("k", c.c_uint32)]


class _Program(c.Structure):
    _fields_ = [("length", c.c_uint16), ("steps", c.POINTER(_Step))]


def refuse_sockets() -> None:
    """Makes `socket` fail in this thread and all it starts from now on, for ever (seccomp).

    MediaPipe's library looks up its maker's name to send how it was used: seen with 0.10.35, too.
    Elsewhere than on Linux nothing is refused.

    Raises:
        TeleopError: The kernel does not do so.
    """
    if sys.platform != "linux":
        return
    if platform.machine() not in _MACHINES:
        raise TeleopError(
            f"the hand tracker cannot be kept from the network on {platform.machine()}; it runs on "
            f"{' and '.join(_MACHINES)}"
        )
    architecture, call = _MACHINES[platform.machine()]
    steps = (_Step * 7)(
        _Step(_LOAD, 0, 0, _ARCHITECTURE),
        _Step(_IF_EQUAL, 0, 4, architecture),  # jumps count from the step after
        _Step(_LOAD, 0, 0, _CALL),
        _Step(_IF_EQUAL, 0, 1, call),
        _Step(_RETURN, 0, 0, _REFUSE),
        _Step(_RETURN, 0, 0, _ALLOW),
        _Step(_RETURN, 0, 0, _KILL),
    )
    program = _Program(len(steps), steps)
    libc = c.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [c.c_int, c.c_ulong, c.c_void_p, c.c_ulong, c.c_ulong]
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, None, 0, 0) or libc.prctl(
        _SECCOMP, _FILTER, c.addressof(program), 0, 0
    ):
        raise TeleopError(
            "the hand tracker cannot be kept from the network: seccomp says "
            f"{os.strerror(c.get_errno())}; it needs a Linux kernel with seccomp filters"
        )
