"""A bench whose robot stands at another computer, where `demoloop host` offers it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demoloop.cli.benches import OnTable, Seeds
from demoloop.cli.robots import looked_at
from demoloop.deploy.host_line import HostLine
from demoloop.deploy.remote_robot import RemoteRobot
from demoloop.robot import Marks, RobotError


class RemoteBench(OnTable):
    """Whatever is said to the robot travels; between two episodes it is looked at all the same.

    Args:
        remote: Connected.
        marks: What there is to point at.
        seeds: Of its worlds, where it has any.
    """

    def __init__(self, remote: RemoteRobot, marks: Marks | None, seeds: Seeds) -> None:
        super().__init__(remote, marks, is_world=bool(remote.task))
        self._remote, self._seeds = remote, seeds

    @property
    def state(self) -> str:
        """Of its supervisor; DISCONNECTED while there is no line to it."""
        return self._remote.state

    @property
    def fault(self) -> str:
        """What is latched there; a line that broke is said by whoever meets it."""
        return self._remote.fault

    @property
    def events(self) -> tuple[str, ...]:
        """The calibration, and how the cameras are set there."""
        return self._remote.events

    def prepare(self, *, again: bool) -> int | None:
        """Has it brought to where an episode starts, in the world of the next seed."""
        if not self.is_world:
            self._remote.reset()
            return None
        self._seeds.is_again = again
        seed = next(self._seeds, None)
        if seed is None:
            raise RobotError("no seed left; hand over one per episode")
        self._remote.reset(seed)
        return seed

    def hold(self) -> None:
        """Slows down and stays."""
        self._remote.hold()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds, looked at by another thread: who says nothing for long loses the seat."""
        self._remote.hold()
        with looked_at(self._remote):
            yield

    def estop(self, reason: str) -> None:
        """Torque off at once, as far as the line carries."""
        self._remote.estop(reason)

    def recover(self) -> None:
        """A person has looked at the robot: the line is dialled anew, torque on where it is."""
        remote = self._remote
        if remote.state == "DISCONNECTED":
            remote.connect()
            remote.observe()  # how it is
        if remote.fault:
            remote.reset_fault()
        if remote.state == "IDLE":
            remote.arm()

    def succeeded(self) -> bool | None:
        """What physics says there; None on a desk."""
        return self._remote.succeeded()


@contextmanager
def open_remote(endpoint: str, keys: Path | None, server_key: str | None) -> Iterator[RemoteRobot]:
    """Takes the seat of a hosted robot, within the block; nothing moves yet.

    Args:
        endpoint: As in `--robot`, such as tcp://127.0.0.1:5558.
        keys: Folder of `demoloop keys`; needed off loopback.
        server_key: The host's name in that folder; None: the only key trusted as policy.

    Raises:
        DeployError: Nobody answers, somebody else drives, or keys differ.
    """
    pin = None
    if keys is not None:
        from demoloop.deploy.auth import Pin  # loads ZeroMQ, which a Unix socket does not need
        from demoloop.deploy.keys import KeyFolder

        pin = Pin(KeyFolder(keys), server_key)
    who = f"{os.environ.get('USER', 'somebody')}@{socket.gethostname()}"
    with RemoteRobot(HostLine(endpoint, pin, who)) as remote:
        yield remote
