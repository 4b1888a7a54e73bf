"""Who drives a hosted robot: one at a time, who gets looks and sends actions.

Nothing that comes reaches the robot but a finite action of the right shape within the joints'
limits, from whoever has the seat, newer than the one before; and orders. A look goes only when it
was asked for, so that the newest one travels; pictures that the driver has already stay here.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from demoloop.deploy.arm_loop import ArmLoop, View
from demoloop.deploy.channel import Letter, Listener
from demoloop.deploy.endpoints import HEARTBEAT_S
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.events import OnEvent
from demoloop.deploy.robot_wire import (
    NOT_DRIVING,
    OF_ROBOT,
    ROBOT_LINE,
    TAKEN,
    Act,
    Acted,
    Ask,
    Done,
    Drive,
    Look,
    Order,
    Pulse,
    Seat,
)
from demoloop.deploy.translate import to_nanoseconds
from demoloop.deploy.wire import Array, Bye, Fault, Message, frames_of
from demoloop.robot import ActionError, check_action

FORGET_S = 10.0  # a driver who is not heard for so long has lost the seat


@dataclass
class Driver:
    """Who has the seat."""

    identity: bytes
    session: int
    user_id: str  # public key; empty without keys
    who: str
    greeted_ns: int  # the time in the header of its Drive, which names it
    heard_at: float
    seq: int = 0  # of the last action or order
    asked: int = 0  # seq of the last question
    waiting: Ask | None = None  # for an answer to it
    asked_at: float = 0.0
    num_shown: int = 0  # number of the last view that was sent


class DriverSeat:
    """Takes in what comes over a channel, and answers; neither waits nor opens anything.

    Args:
        loop: Owns the robot, in another thread.
        channel: Bound.
        seat: What whoever drives is told.
        on_event: Hears of drivers who come and go, and of refusals.
        clock: Seconds that only ever count up; that of the robot's looks.
    """

    def __init__(
        self,
        loop: ArmLoop,
        channel: Listener,
        seat: Seat,
        on_event: OnEvent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.driver: Driver | None = None
        self.num_refused = 0  # messages
        self._loop = loop
        self._channel = channel
        self._seat = seat
        self._on_event = on_event
        self._clock = clock
        self._beat_at = 0.0

    def close(self) -> None:
        """Says goodbye to whoever drives."""
        if self.driver is not None:
            self._post(self.driver.identity, Bye(), self.driver.session)

    def hear(self, letter: Letter) -> None:
        """Handles one message; whatever it is, only its sender feels the consequences."""
        if not self._channel.allows(letter.user_id):
            return None  # its key was revoked; a driver has been told
        try:
            message = ROBOT_LINE.decode(letter.parts)
        except WireError as error:
            return self._refuse(letter.identity, Message(Bye()), "bad_message", str(error))
        body, driver = message.body, self.driver
        if isinstance(body, Order) and body.verb == "stop":
            return self._stop(letter, message, body)
        if isinstance(body, Drive):
            return self._welcome(letter, message, body)
        if driver is None or (driver.identity, driver.session) != (
            letter.identity,
            message.session,
        ):
            if not isinstance(body, Bye):
                self._refuse(letter.identity, message, NOT_DRIVING, "ask for the seat first")
            return None
        driver.heard_at = self._clock()
        if isinstance(body, Ask):
            if message.seq > driver.asked:
                driver.asked, driver.waiting, driver.asked_at = message.seq, body, self._clock()
        elif isinstance(body, Act | Order):
            self._take(driver, message, body)
        elif isinstance(body, Bye):
            self._part("said goodbye")
        return None

    def _welcome(self, letter: Letter, message: Message, body: Drive) -> None:
        driver, name = self.driver, self._seat.spec.name
        who = "".join(c for c in body.who if c.isprintable()) or "somebody"
        if driver is not None and driver.identity != letter.identity:
            text = f"{driver.who} drives {name}, one at a time; it is free when that one leaves"
            return self._refuse(letter.identity, message, TAKEN, text)
        if driver is None or message.time_ns > driver.greeted_ns:  # else it came twice, or late
            self._part("greeted anew")
            # Random, so that nothing meant for an earlier session or host fits this one.
            session = secrets.randbelow(2**32 - 1) + 1
            now = self._clock()
            driver = Driver(
                letter.identity, session, letter.user_id, who, message.time_ns, heard_at=now
            )
            self.driver = driver
            self._on_event("seated", session, who=who, key=letter.user_id[:16])
        self._post(driver.identity, self._seat, driver.session, time_ns=driver.greeted_ns)
        return None

    def _stop(self, letter: Letter, message: Message, body: Order) -> None:
        """Whoever got in may stop the robot, also one who does not drive."""
        why = "".join(c for c in body.why if c.isprintable()) or "pressed"
        self._on_event("stopped", message.session, reason=why, key=letter.user_id[:16])
        self._loop.robot.estop(f"{why}, from another computer")
        self._post(letter.identity, Done(), message.session)

    def _take(self, driver: Driver, message: Message, body: Act | Order) -> None:
        if message.seq <= driver.seq:
            return None  # it came twice, or a newer one was here before
        driver.seq = message.seq
        if isinstance(body, Order):
            if not self._loop.order(driver.session, message.seq, body.verb, body.seed):
                self._refuse(driver.identity, message, OF_ROBOT, "too many orders wait already")
            return None
        try:
            action = check_action(self._seat.spec, message.arrays["action"].astype(np.float32))
        except KeyError:
            return self._refuse(driver.identity, message, OF_ROBOT, "an Act without its action")
        except ActionError as error:
            return self._refuse(driver.identity, message, OF_ROBOT, str(error))
        return self._loop.drive(driver.session, message.seq, action)

    def answer(self) -> bool:
        """Sends what came of actions and orders, and the look that is asked for."""
        outcomes, driver = self._loop.outcomes(), self.driver
        for outcome in outcomes:
            if driver is None or outcome.session != driver.session:
                continue  # whoever asked has gone
            answer: msgspec.Struct = Done(outcome.state, outcome.fault[:1000])
            arrays: Mapping[str, Array] = {}
            if outcome.refusal:
                answer = Fault(OF_ROBOT, outcome.refusal[:1000])
            elif outcome.sent is not None:
                arrays = {"action": outcome.sent}
                answer = Acted(frames_of(arrays))
            self._post(driver.identity, answer, driver.session, outcome.seq, arrays=arrays)
        return self._show() or bool(outcomes)

    def _show(self) -> bool:
        driver, view = self.driver, self._loop.view
        if driver is None or driver.waiting is None:
            return False
        if view is None:
            text = self._loop.trouble[:1000]
            self._post(driver.identity, Fault(OF_ROBOT, text), driver.session, driver.asked)
        elif view.number == driver.num_shown:
            return False  # the next one is under way
        else:
            self._send_look(driver, driver.waiting, view)
            driver.num_shown = view.number
        driver.waiting = None
        return True

    def _send_look(self, driver: Driver, ask: Ask, view: View) -> None:
        seen = view.observation
        arrays: dict[str, Array] = {"proprioception": seen.proprioception}
        if seen.goal is not None:
            arrays["goal"] = seen.goal
        arrays |= {
            f"image.{name}": image
            for name, image in seen.images.items()
            if ask.seen.get(name) != seen.image_times[name]
        }
        look = Look(
            frames_of(arrays),
            dict(seen.image_times),
            driver.asked_at,
            view.state,
            view.fault[:1000],
            view.success,
        )
        time_ns = to_nanoseconds(seen.time)
        self._post(driver.identity, look, driver.session, driver.asked, time_ns, arrays)

    def beat(self) -> None:
        """Now and then says that the robot's loop lives, and looks whether the driver does."""
        driver, now = self.driver, self._clock()
        if now < self._beat_at:
            return
        self._beat_at = now + HEARTBEAT_S
        if driver is None:
            return
        if not self._channel.allows(driver.user_id):
            text = "this computer's key was revoked"
            self._refuse(driver.identity, Message(Bye(), driver.session), "not_trusted", text)
            self._part("its key was revoked")
        elif now - driver.heard_at > FORGET_S:
            self._part(f"silent for {FORGET_S:g} s")
        else:
            stands_s = 0.0 if self._loop.is_busy else now - self._loop.turned_at
            self._post(driver.identity, Pulse(max(0.0, stands_s * 1e3)), driver.session)

    def _refuse(self, identity: bytes, message: Message, code: str, text: str) -> None:
        self.num_refused += 1
        self._on_event("refused", message.session, code=code, reason=text)
        self._post(identity, Fault(code, text[:1000]), message.session, message.seq)

    def _post(
        self,
        identity: bytes,
        body: msgspec.Struct,
        session: int,
        ack_seq: int = 0,
        time_ns: int = 0,
        arrays: Mapping[str, Array] | None = None,
    ) -> None:
        message = Message(body, session, 0, ack_seq, time_ns, arrays or {})
        try:
            self._channel.send_parts(ROBOT_LINE.encode(message), identity)
        except DeployError as error:  # it has gone without a Bye, or there is no memory
            if self.driver is not None and self.driver.identity == identity:
                self._part(str(error))

    def _part(self, reason: str) -> None:
        driver, self.driver = self.driver, None
        if driver is not None:
            self._loop.leave()
            self._on_event("left", driver.session, reason=reason)
