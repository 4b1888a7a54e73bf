"""A robot that stands at another computer, behind the same protocol as one on the desk."""

from __future__ import annotations

import threading
from types import TracebackType

import numpy as np

from demoloop.deploy.clocks import Translation
from demoloop.deploy.errors import WireError
from demoloop.deploy.host_line import HostLine
from demoloop.deploy.robot_wire import Act, Acted, Ask, Done, Look, Order, Verb
from demoloop.deploy.translate import observation_of
from demoloop.deploy.wire import Array, Message, ObservationBody, frames_of
from demoloop.robot import Action, Observation, RobotSpec, check_action
from demoloop.robot.errors import Disconnected

_ORDER_S = 60.0  # an arm walks home slowly
_PICTURE = "image."


class RemoteRobot:
    """The robot that `demoloop host` offers at an endpoint, inside a `with` block.

    It holds by itself when it hears no action for 0.2 s (`SILENCE_S` of the loop that owns it). One
    thread at a time speaks to it; `estop` may be called from any.

    Times of its looks are on the clock of this computer, never later than they were; the ages of
    its pictures are as they were. A line that broke is dialled anew by `connect`, and by nothing
    else: an arm that has stopped in the middle of an episode must not go on by itself.

    Args:
        line: To its host; nobody else may use it.
    """

    def __init__(self, line: HostLine) -> None:
        self.fault = ""  # what was latched at the last look; empty: nothing
        self._line = line
        self._state = "DISCONNECTED"
        self._success: bool | None = None
        self._clocks = Translation()
        self._images: dict[str, Array] = {}
        self._image_times: dict[str, float] = {}  # of those, on the host's clock
        self._of_seat = 0  # with which of its seats they came
        self._seen_at = 0.0  # s, time of the last look
        self._lock = threading.RLock()  # of the line

    @property
    def spec(self) -> RobotSpec:
        """What it is; raises DeployError before it was reached."""
        return self._line.spec

    @property
    def task(self) -> str:
        """What stands on a simulated table; empty: nobody knows what is there."""
        return "" if self._line.seat is None else self._line.seat.task

    @property
    def events(self) -> tuple[str, ...]:
        """What is noted with each recording: the calibration, how the cameras are set."""
        return () if self._line.seat is None else self._line.seat.events

    @property
    def state(self) -> str:
        """That of its supervisor at the last look; DISCONNECTED while there is no line to it."""
        return self._state if self._line.session else "DISCONNECTED"

    def succeeded(self) -> bool | None:
        """Whether its task is solved, as of the last look; None where only a person can tell."""
        return self._success

    def connect(self) -> None:
        """Waits for the seat; after a line that broke, once more.

        Raises:
            DeployError: Nobody answers in time, somebody else drives, keys differ, or another
                robot is there now.
        """
        with self._lock:
            self._line.close()
            self._line.open()
            self._success = None

    def close(self) -> None:
        """Leaves the seat, so that the robot holds at once; may be called twice."""
        with self._lock:
            self._line.close()

    def __enter__(self) -> RemoteRobot:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def reset(self, seed: int | None = None) -> None:
        """Brings it to where an episode starts.

        Args:
            seed: Of the world, where it has one; None: the host's own next one.

        Raises:
            Disconnected: The line broke.
            SafetyError: What keeps it from going there.
        """
        with self._lock:
            self._success = None
            self._order("reset", seed)

    def observe(self) -> Observation:
        """Looks once: at what the host has not shown yet, no older than one of its cycles.

        Raises:
            Disconnected: The line broke.
            SafetyError: It cannot be looked at; it says why.
        """
        with self._lock:
            line = self._line
            if self._of_seat != line.num_seats:  # perhaps another process, on another clock
                self._of_seat, self._clocks = line.num_seats, Translation()
                self._images, self._image_times = {}, {}
            asked_at = line.clock()
            message, look = line.ask(Ask(self._image_times), Look)
            self._clocks.heard(asked_at, look.asked_at)
            self._success = look.success
            self._know(look.state, look.fault)
            try:
                return self._translated(message, look)
            except WireError as error:
                raise line.lost(f"what {line.endpoint} shows is no look: {error}") from error

    def act(self, action: Action) -> Action:
        """Sends an action, and returns the one really sent there.

        Raises:
            Disconnected: The line broke.
            SafetyError: It does not do that, or has stopped; it says why.
        """
        with self._lock:
            arrays: dict[str, Array] = {"action": check_action(self.spec, action)}
            message, _ = self._line.ask(Act(frames_of(arrays)), Acted, arrays)
            sent = message.arrays.get("action")
            if sent is None or sent.shape != (self.spec.action_dim,):
                raise self._line.lost(f"what {self._line.endpoint} says it sent is no action")
            return sent.astype(np.float32)

    def hold(self) -> None:
        """Has it slow down and stay. One that is not reached does so by itself.

        Raises:
            SafetyError: What keeps it from holding.
        """
        with self._lock:
            try:
                self._order("hold")
            except Disconnected:
                return

    def arm(self) -> None:
        """Has its torque switched on; raises SafetyError when that cannot be."""
        with self._lock:
            self._order("arm")

    def reset_fault(self) -> None:
        """Takes its fault back. Only ever for a person who has looked at it.

        Raises:
            SafetyError: What was wrong still is.
        """
        with self._lock:
            self._order("reset_fault")

    def estop(self, reason: str = "pressed") -> None:
        """Has torque switched off at once; by the caller, or by the thread that speaks to it now.

        Never refused and never waits; `state` says FAULT with the next look. Over a network this is
        even less of an emergency stop than on the desk: somebody has to stand beside the arm.
        """
        self._line.pressed.append(reason[:64])
        if self._lock.acquire(blocking=False):
            try:
                self._line.send_stops()
            finally:
                self._lock.release()

    def _order(self, verb: Verb, seed: int | None = None) -> None:
        _, done = self._line.ask(Order(verb, seed=seed), Done, within_s=_ORDER_S)
        self._know(done.state, done.fault)

    def _know(self, state: str, fault: str) -> None:
        self._state, self.fault = state, fault

    def _translated(self, message: Message, look: Look) -> Observation:
        """Puts a look together with the pictures that are here, on this computer's clock."""
        arrays = dict(message.arrays)
        for name in [name for name in arrays if name.startswith(_PICTURE)]:
            camera = name.removeprefix(_PICTURE)
            self._images[name] = arrays[name]
            self._image_times[camera] = look.image_times.get(camera, -1.0)
        if self._image_times != look.image_times:
            raise WireError("a picture is missing")
        body = ObservationBody((), look.image_times)
        whole = Message(body, time_ns=message.time_ns, arrays=arrays | self._images)
        seen = observation_of(whole, self.spec)
        if self._clocks.here(seen.time) > self._line.clock():
            raise WireError("it was taken after it came")
        # Both are bounds from below, so the later one is the nearer one; looks stay in order.
        self._seen_at = max(self._clocks.here(seen.time), self._seen_at + 1e-6)
        shift = self._seen_at - seen.time
        times = {name: time + shift for name, time in seen.image_times.items()}
        return Observation(self._seen_at, seen.proprioception, seen.images, times, seen.goal)
