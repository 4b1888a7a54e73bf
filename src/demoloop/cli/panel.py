"""Opens the panel for a verb: devices by their names, the address on the terminal, the browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from demoloop.cli.panel_options import PanelOptions
from demoloop.cli.robots import open_leader
from demoloop.robot import RobotSpec
from demoloop.robot.arms import ArmModel
from demoloop.teleop import Leader, TeleopError
from demoloop.teleop.devices import TELEOPERATORS
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.session import Session
from demoloop.teleop.spacemouse import SpaceMouse, SpaceMouseReader
from demoloop.teleop.takeover import Teleoperator
from demoloop.teleop.web.panel import Panel, Where

LEADER = "leader"


@dataclass(frozen=True)
class Devices:
    """The devices of a verb; `names` for one to choose, `opens` for a session.

    Args:
        arm: What is moved.
        inputs: Where devices of the page are read from.
        leader: The arm to lead with, ARM:PORT; empty: there is none.
        leader_calibration: Of that.
        is_relative: Whether only the leader's movement counts, not its pose.
    """

    arm: ArmModel
    inputs: Inputs
    leader: str = ""
    leader_calibration: Path | None = None
    is_relative: bool = False

    def names(self, first: str) -> tuple[str, ...]:
        """Returns all, `first` first; raises TeleopError that lists them when it is none."""
        there = [*TELEOPERATORS, *([LEADER] if self.leader else [])]
        if first == LEADER and not self.leader:
            raise TeleopError(
                "which arm do you lead with? Name it, as in --leader so101_leader:/dev/ttyACM1"
            )
        if first not in there:
            raise TeleopError(f"no --agent {first!r}; there are expert, {', '.join(there)}")
        return (first, *(name for name in there if name != first))

    def opens(self, name: str) -> AbstractContextManager[Teleoperator]:
        """Opens a device by its name."""
        if name == LEADER:
            return self._open_leader(self.arm.spec)
        if name == SpaceMouse.name:
            return self._open_spacemouse()
        return nullcontext(TELEOPERATORS[name](self.inputs, self.arm))

    @contextmanager
    def _open_spacemouse(self) -> Iterator[Teleoperator]:
        with SpaceMouseReader(self.inputs):  # this computer's: a page knows nothing of it
            yield TELEOPERATORS[SpaceMouse.name](self.inputs, self.arm)

    @contextmanager
    def _open_leader(self, follower: RobotSpec) -> Iterator[Teleoperator]:
        with open_leader(self.leader, self.leader_calibration) as leader:
            yield Leader(leader, follower, is_relative=self.is_relative)


def run_with_panel(
    session: Session, inputs: Inputs, options: PanelOptions, verb: str, root: Path | None
) -> None:
    """Serves the panel while the session runs.

    Raises:
        TeleopError: The port cannot be had, or the first device cannot be opened.
    """
    where = Where(verb, options.port, options.host, root)
    with ExitStack() as opened:
        with session.bench.held():
            panel = opened.enter_context(Panel(session, inputs, where))
        print(f"ready {panel.address} is the panel; Ctrl-C ends the session", flush=True)
        if panel.other_address:
            print(f"elsewhere {panel.other_address}", flush=True)
            print(f"its certificate has the fingerprint {panel.fingerprint}", flush=True)
        if options.browser and has_screen():
            webbrowser.open(panel.address)
        session.run()


def has_screen() -> bool:
    """Without a screen Python would start a browser in the terminal, and wait for it."""
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
