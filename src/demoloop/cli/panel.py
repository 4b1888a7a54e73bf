"""Opens the panel for a verb: devices by their names, the address on the terminal, the browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from demoloop.cli.hand_options import HandOptions
from demoloop.cli.panel_options import PanelOptions
from demoloop.cli.robots import open_leader
from demoloop.datasets import open_dataset
from demoloop.robot.arms import ArmModel
from demoloop.teleop import Leader, TeleopError
from demoloop.teleop.by_hand import ByHand
from demoloop.teleop.devices import TELEOPERATORS
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.replay import Replay
from demoloop.teleop.session import Session
from demoloop.teleop.spacemouse import SpaceMouse, SpaceMouseReader
from demoloop.teleop.takeover import Teleoperator
from demoloop.teleop.tracking import Tracker
from demoloop.teleop.web.messages import PictureHeader
from demoloop.teleop.web.panel import Panel
from demoloop.teleop.web.where import Where

LEADER, HAND, REPLAY = "leader", "hand", "replay"


@dataclass(frozen=True)
class Chosen:
    """What the options of a verb say of the devices one may choose between."""

    arm: ArmModel
    """What is moved."""
    leader: str = ""
    """The arm to lead with, ARM:PORT; empty: there is none."""
    leader_calibration: Path | None = None
    """Of that."""
    is_relative: bool = False
    """Whether only the leader's movement counts, not its pose."""
    webcam: str = ""
    """Where the hand is seen: a camera of this machine; empty: that of the page."""
    hand: HandOptions = field(default_factory=HandOptions)
    """How it moves the arm."""
    replay: Path | None = None
    """Dataset of the episode that is done again."""
    replay_episode: int = 0
    """Which of its episodes."""


class Devices:
    """The devices of a session: `names` for a person to choose from, `opens` for the session.

    Attributes:
        inputs: What the page says of those that it reads.
    """

    def __init__(self, chosen: Chosen) -> None:
        """Stores."""
        self.inputs = Inputs()
        self._chosen = chosen
        self._tracker: Tracker | None = None
        self._num_pictures = 0

    def names(self, first: str) -> tuple[str, ...]:
        """Returns all, `first` first; raises TeleopError that lists them when it is none."""
        chosen = self._chosen
        there = [*TELEOPERATORS, HAND]
        there += [LEADER] if chosen.leader else []
        there += [REPLAY] if chosen.replay is not None else []
        missing = {
            LEADER: "which arm do you lead with? Name it: --leader so101_leader:/dev/ttyACM1",
            REPLAY: "which episode shall be done again? Name its dataset: --replay FOLDER",
        }
        if first not in there:
            known = f"no --agent {first!r}; there are expert, {', '.join(there)}"
            raise TeleopError(missing.get(first, known))
        return (first, *(name for name in there if name != first))

    def opens(self, name: str) -> AbstractContextManager[Teleoperator]:
        """Opens a device by its name."""
        if name == LEADER:
            return self._open_leader()
        if name == HAND:
            return self._open_hand()
        if name == REPLAY:
            assert self._chosen.replay is not None
            episode = open_dataset(self._chosen.replay).episode(self._chosen.replay_episode)
            return nullcontext(Replay(episode, self._chosen.arm.spec))
        return self._open_read(name)

    def webcam(self, _: PictureHeader, jpeg: bytes) -> None:
        """Takes a picture of the page's camera."""
        if self._tracker is not None and not self._chosen.webcam:
            self._num_pictures += 1  # a page that is loaded again counts from 1
            self._tracker.put(jpeg, self._num_pictures)

    @contextmanager
    def _open_read(self, name: str) -> Iterator[Teleoperator]:
        reader = SpaceMouseReader(self.inputs) if name == SpaceMouse.name else nullcontext()
        with reader:
            yield TELEOPERATORS[name](self.inputs, self._chosen.arm)

    @contextmanager
    def _open_leader(self) -> Iterator[Teleoperator]:
        chosen = self._chosen
        with open_leader(chosen.leader, chosen.leader_calibration) as leader:
            yield Leader(leader, chosen.arm.spec, is_relative=chosen.is_relative)

    @contextmanager
    def _open_hand(self) -> Iterator[Teleoperator]:
        with Tracker(self._chosen.webcam) as tracker:
            self._tracker = tracker
            try:
                device = self._chosen.hand.device(lambda: tracker.newest)
                yield ByHand(device, self._chosen.arm, lambda: tracker.trouble)
            finally:
                self._tracker = None


def run_with_panel(
    session: Session, devices: Devices, options: PanelOptions, verb: str, root: Path | None
) -> None:
    """Serves the panel while the session runs.

    Raises:
        TeleopError: The port cannot be had, or the first device cannot be opened.
    """
    where = Where(verb, options.port, options.host, root)
    with ExitStack() as opened:
        with session.bench.held():
            panel = opened.enter_context(
                Panel(session, devices.inputs, where, webcam=devices.webcam)
            )
        announce(panel, options)
        session.run()


def announce(panel: Panel, options: PanelOptions) -> None:
    """Says on the terminal where the panel is, and opens the browser."""
    print(f"ready {panel.at.address} is the panel; Ctrl-C ends the session", flush=True)
    if panel.at.invite is not None:
        with suppress(TeleopError):  # without its library there is the address
            print(panel.at.invite.lines())
        print(f"elsewhere {panel.at.invite.url} works once")
        print(f"its certificate has the fingerprint {panel.at.fingerprint}", flush=True)
    if options.browser and has_screen():
        webbrowser.open(panel.at.address)


def has_screen() -> bool:
    """Without a screen Python would start a browser in the terminal, and wait for it."""
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
