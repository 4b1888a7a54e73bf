"""The torque of an arm: on from where it is, limited, sunk to nothing, off and confirmed."""

from __future__ import annotations

import math
from contextlib import suppress

from demoloop.robot.arm import Arm
from demoloop.robot.errors import RobotError
from demoloop.robot.safety.limits import Limits

GONE = (RobotError, OSError)
"""What a driver raises when its arm cannot be reached."""
_STEP = 0.02  # of the torque: less is not worth a write to every servo


class Motors:
    """Switches torque on and off, and knows which of the two it should be.

    Args:
        arm: Whose motors; None for a robot that has none to switch.
        limits: How much of the torque, and for how long.
    """

    def __init__(self, arm: Arm | None, limits: Limits) -> None:
        self._arm, self._limits = arm, limits
        self.is_on = False
        self.on_since = 0.0  # s
        self.share = 1.0  # of the torque, as it was last sent
        self._wanted = self._ceiling = 1.0  # without heat, and because of it
        self.unconfirmed: tuple[str, ...] = ()  # joints that may still have torque
        self._retries = 0
        self._rising_since: float | None = None  # s
        self._sinking: tuple[float, float] | None = None  # since when, and from which share

    @property
    def is_rising(self) -> bool:
        """Whether torque is on its way to all of it."""
        return self._rising_since is not None

    @property
    def is_sinking(self) -> bool:
        """Whether torque is on its way to nothing."""
        return self._sinking is not None

    def on(self, now: float) -> None:
        """Switches torque on where the joints are, little at first; `carry_on` brings the rest."""
        if self._arm is not None:
            self.share = math.nan  # of a servo that was off nobody knows it
            self.limit(self._limits.arm_share)
            self._arm.enable_torque()
            self._rising_since = now
        self.is_on, self.on_since = True, now
        self.unconfirmed = ()

    def found_on(self, now: float) -> None:
        """Notes that torque was on before anybody here switched it on."""
        self.is_on, self.on_since = True, now

    def limit(self, share: float) -> None:
        """Lets the motors use so much of their torque, as far as they are cool enough."""
        self._wanted = min(max(share, 0.0), 1.0)
        share = min(self._wanted, self._ceiling)
        is_worth_it = not abs(share - self.share) < _STEP or share in (0.0, 1.0)
        if self._arm is not None and share != self.share and is_worth_it:
            self._arm.limit_torque(share)
            self.share = share

    def cool(self, ceiling: float) -> None:
        """Lets hot motors use no more than this share of their torque, whatever is wanted."""
        self._ceiling = ceiling
        if self.is_on:
            self.limit(self._wanted)

    def sink(self, now: float) -> None:
        """Begins to take the torque away; `carry_on` goes on with it."""
        if self.is_on and self._sinking is None:
            self._rising_since = None
            self._sinking = now, 1.0 if math.isnan(self.share) else self.share

    def off(self) -> tuple[str, ...]:
        """Switches torque off at once, and again until every joint has confirmed it.

        Returns:
            The joints that did not.
        """
        self._sinking, self._rising_since, self.share = None, None, math.nan
        self._retries = self._limits.off_cycles
        for _ in range(self._limits.off_attempts):
            if not self._try_off():
                break
        self.is_on = False
        return self.unconfirmed

    def carry_on(self, now: float) -> None:
        """Goes on with what was begun: rising, sinking, switching off what did not confirm it."""
        if self._sinking is not None:
            since, share = self._sinking
            left = share - (now - since) / self._limits.relax_s
            if left <= 0 or self._arm is None:
                self.off()
            else:
                # A servo out of reach is no reason to leave the others with torque.
                with suppress(*GONE):
                    self.limit(left)
        elif self._rising_since is not None:
            done = min((now - self._rising_since) / self._limits.arm_s, 1.0)
            with suppress(*GONE):
                self.limit(self._limits.arm_share + (1 - self._limits.arm_share) * done)
            if done >= 1.0:
                self._rising_since = None
        elif self.unconfirmed and not self.is_on and self._retries > 0:
            self._retries -= 1
            self._try_off()

    def forget(self) -> None:
        """Knows nothing any more: the arm is gone."""
        self.is_on, self._sinking, self._rising_since, self.unconfirmed = False, None, None, ()
        self.share = math.nan

    def _try_off(self) -> tuple[str, ...]:
        if self._arm is not None:
            self.unconfirmed = self._arm.disable_torque()
        return self.unconfirmed
