"""Switching servos on and off, each step read back: what is not confirmed has not happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from demoloop.robot.bus.interface import Bus
from demoloop.robot.bus.registers import Register, ServoModel
from demoloop.robot.errors import RobotError

WATCHDOG = 5
"""Of 20 ms: a Dynamixel stops by itself when it has heard nothing for 100 ms."""
_NUM_TRIES = 3
_ANSWER_S = 0.01  # for one servo
_READ_S = 0.03  # for all


class Motors:
    """The motors of all servos on one bus, by id."""

    def __init__(self, bus: Bus, models: Mapping[int, ServoModel]) -> None:
        """Stores."""
        self._bus = bus
        self._models = models
        self._ids = tuple(models)
        self._table = next(iter(models.values())).table

    def off(self) -> tuple[int, ...]:
        """Switches all off, whatever fails on the way; returns the ids that did not confirm it."""
        left = self._ids
        torque = self._table["torque_enable"]
        for attempt in range(_NUM_TRIES):
            try:
                self._bus.sync_write(torque.address, dict.fromkeys(self._ids, b"\0"))
                if attempt:
                    for servo_id in left:
                        self._write(servo_id, torque, 0)
                left = self._unlike(torque, dict.fromkeys(left, 0))
                if not left:
                    self._watch(0)
                    break
            except RobotError:
                break  # the line is gone: nobody can be reached any more
        return left

    def on(self, goal_ids: Sequence[int], limits: Mapping[str, Mapping[int, int]]) -> None:
        """Switches all on where they are.

        Args:
            goal_ids: Whose goal becomes where they are; the others obey one of these.
            limits: Register -> id -> counts, written first.

        Raises:
            RobotError: A servo did not confirm a step; those that were on are off again.
        """
        try:
            self._watch(0)
            for name, counts in limits.items():
                self._set(name, counts)
            present = self._read(self._table["present_position"], goal_ids)
            if silent := [i for i in goal_ids if i not in present]:
                raise RobotError(f"servo {silent[0]} does not say where it is; check its cable")
            self._set("goal_position", present)
            self._set("torque_enable", dict.fromkeys(self._ids, 1))
            self._watch(WATCHDOG)
        except RobotError:
            self.off()
            raise

    def answer_at_once(self) -> None:
        """Takes away the pause before an answer, half a millisecond each as they are delivered.

        Unconfirmed: who keeps the pause is slower, not wrong.
        """
        paused = [
            i for i, counts in self._read(self._table["return_delay"], self._ids).items() if counts
        ]
        for servo_id in paused:
            self._write(servo_id, self._table["return_delay"], 0)

    def limit(self, counts: Mapping[int, int]) -> None:
        """Writes torque limits, unconfirmed."""
        self._sync("torque_limit", counts)

    def go(self, ticks: Mapping[int, int]) -> None:
        """Writes goals, unconfirmed: where the servos go is read the next cycle."""
        self._sync("goal_position", ticks)

    def _sync(self, name: str, counts: Mapping[int, int]) -> None:
        register = self._table[name]
        data = {servo_id: register.encode(value) for servo_id, value in counts.items()}
        self._bus.sync_write(register.address, data)

    def _set(self, name: str, counts: Mapping[int, int]) -> None:
        """Writes a register of several servos until each has it."""
        self._sync(name, counts)
        register = self._table[name]
        left = self._unlike(register, counts)
        for _ in range(_NUM_TRIES):
            if not left:
                return
            for servo_id in left:
                self._write(servo_id, register, counts[servo_id])
            left = self._unlike(register, {servo_id: counts[servo_id] for servo_id in left})
        if left:
            raise RobotError(
                f"servo {left[0]} does not take {name} = {counts[left[0]]}; see whether it "
                "complains of something (its LED blinks), and switch its power off and on"
            )

    def _write(self, servo_id: int, register: Register, value: int) -> None:
        deadline = self._bus.now() + _ANSWER_S
        self._bus.write(servo_id, register.address, register.encode(value), deadline)

    def _unlike(self, register: Register, counts: Mapping[int, int]) -> tuple[int, ...]:
        """Returns the ids that do not confirm what they should hold."""
        found = self._read(register, tuple(counts))
        return tuple(i for i, value in counts.items() if found.get(i) != value)

    def _read(self, register: Register, ids: Sequence[int]) -> dict[int, int]:
        """Reads a register; on a line with broken bytes twice, and what differs is left out."""
        deadline = self._bus.now() + _READ_S
        found = self._bus.read(ids, register.address, register.size, deadline).values
        if self._bus.is_noisy():
            again = self._bus.read(ids, register.address, register.size, deadline).values
            found = {i: data for i, data in found.items() if again.get(i) == data}
        return {i: register.decode(data, register.address) for i, data in found.items()}

    def _watch(self, counts: int) -> None:
        """Lets servos that can watch over the line do so, or not; unconfirmed."""
        if "watchdog" in self._table.registers:
            self._sync("watchdog", dict.fromkeys(self._ids, counts))
