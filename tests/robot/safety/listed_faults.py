"""Every fault of the list, through bytes and processes, and what a supervised arm makes of it.

The table says for each what befalls an emulated SO-101 and what must come of it. `befall` tries one
and says what did; the test and `benchmarks/faults.py` are this table.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from math import pi, sin
from typing import Literal, TypeAlias

import numpy as np

from demoloop.robot import Action, RobotError
from demoloop.robot.arms.so101 import ARM
from demoloop.robot.bus import serial_bus
from demoloop.robot.emulator import faults
from demoloop.robot.emulator.emulator import Emulator
from demoloop.robot.safety import Limits, SafetyError, Supervised
from demoloop.robot.safety.faults import State
from demoloop.robot.servo_arm import ServoArm

MOST_S = 3.0  # by when a fault that must be seen is seen; what is too late, the benchmark says
_SWING_RAD, _SWING_HZ = 0.2, 0.5
_TICK_S = 0.01
_FOLDED = (0.0, -1.7453, 1.6895, 1.6581, 0.0, -0.1745)  # rad: it rests on its stops
_OPENS = """
import sys
from demoloop.robot.arms.so101 import ARM
from demoloop.robot.bus import serial_bus
try:
    serial_bus(ARM.servos, sys.argv[1]).open()
    print("opened", flush=True)
    sys.stdin.read()
except Exception as error:
    print(error)
"""
_STEALS = """
import os, sys
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
while os.read(port, 4096):
    pass
"""


@dataclass
class Desk:
    """An emulated arm, the programs beside it, and what was said."""

    emulator: Emulator
    opened: ExitStack
    said: list[str] = field(default_factory=list)

    def program(self, text: str) -> subprocess.Popen[str]:
        """Starts another program at the same port; it ends with the case."""
        command = [sys.executable, "-c", text, self.emulator.port]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.opened.callback(self._end, process)
        return process

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()


Strike: TypeAlias = Callable[[Desk, Callable[[float], None]], object]
"""Does it; the second lets the loop go on for some seconds."""


@dataclass(frozen=True)
class Case:
    """One fault, and what must come of it."""

    name: str  # as in the list
    how: str
    strike: Strike
    state: State | Literal["refused"]
    sentence: str = ""  # a regular expression that what is said must contain
    at: Literal["running", "connecting"] = "running"

    @property
    def id(self) -> str:
        """For a test's name."""
        return re.sub(r"\W+", "-", f"{self.name} {self.how} {self.at}").strip("-")


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    state: str
    sentence: str
    seconds: float  # until it was reached
    is_right: bool


def _inject(fault: faults.AnyFault) -> Strike:
    return lambda desk, _: desk.emulator.control.inject(fault)


def _unplug(desk: Desk, _: Callable[[float], None]) -> None:
    desk.emulator.control.unplug()


def _replug(desk: Desk, go_on: Callable[[float], None]) -> None:
    desk.emulator.control.unplug()
    go_on(0.5)
    desk.emulator.control.replug()


def _another_opens(desk: Desk, go_on: Callable[[float], None]) -> None:
    process = desk.program(_OPENS)
    while process.poll() is None:
        go_on(0.05)
    assert process.stdout is not None
    desk.said.append(process.stdout.read().strip())


def _another_has_it(desk: Desk, _: Callable[[float], None]) -> None:
    process = desk.program(_OPENS)
    assert process.stdout is not None and process.stdout.readline() == "opened\n"


def _another_steals(desk: Desk, _: Callable[[float], None]) -> None:
    desk.program(_STEALS)


_DEAD_LINE = "no servo answers for .* check power and bus cable"
_SOME_SILENT = "(no servo answers|do(es)? not answer) for "
CASES = (
    Case("drop", "2 % of answers", _inject(faults.Drop(share=0.02)), "RUNNING"),
    Case("drop", "all answers", _inject(faults.Drop()), "FAULT", _DEAD_LINE),
    Case("corrupt", "2 % of answers", _inject(faults.Corrupt(share=0.02)), "RUNNING"),
    Case("corrupt", "all answers", _inject(faults.Corrupt(num_bytes=4)), "FAULT", _SOME_SILENT),
    Case("truncate", "2 % of answers", _inject(faults.Truncate(share=0.02)), "RUNNING"),
    Case("truncate", "all answers", _inject(faults.Truncate()), "FAULT", _SOME_SILENT),
    Case("noise", "before 2 % of answers", _inject(faults.Noise(share=0.02)), "RUNNING"),
    Case("noise", "before all answers", _inject(faults.Noise()), "FAULT", _SOME_SILENT),
    Case("late", "2 % of answers, 20 to 120 ms", _inject(faults.Late(share=0.02)), "RUNNING"),
    Case("late", "all answers", _inject(faults.Late()), "FAULT", _SOME_SILENT),
    Case("echo", "of every request", _inject(faults.Echo()), "RUNNING"),
    Case("one dead", "servo 4 without power", _inject(faults.Dead(id=4)), "FAULT",
         "wrist_flex does not answer for .* check the cable before it"),
    Case("all dead", "no power at all", _inject(faults.Dead()), "FAULT", _DEAD_LINE),
    Case("all dead", "no power at all", _inject(faults.Dead()), "refused",
         "no servo answers at 1000000 baud; switch the arm's power on", "connecting"),
    Case("duplicate id", "servo 3 becomes another 2", _inject(faults.DuplicateId(id=3, twin=2)),
         "FAULT", _SOME_SILENT),
    Case("duplicate id", "two servos are 2", _inject(faults.DuplicateId(id=3, twin=2)),
         "refused", "shoulder_lift: what answers to id 2 is garbled; two servos have this id",
         "connecting"),
    Case("wrong model", "an SCS0009 in place of 5", _inject(faults.WrongModel(id=5)), "refused",
         "wrist_roll: id 5 is model 1284 .* should be 777 .sts3215.", "connecting"),
    Case("overload", "its protection trips", _inject(faults.Overload(id=3)), "FAULT",
         "elbow_flex: its servo reports overload"),
    Case("over-temperature", "80 degrees: the servo trips",
         _inject(faults.OverTemperature(id=2)), "FAULT",
         "shoulder_lift(: its servo reports overheat| has 80 degrees C, at most)"),
    Case("over-temperature", "67 degrees: before it does",
         _inject(faults.OverTemperature(id=2, celsius=67)), "FAULT",
         "shoulder_lift has 67 degrees C, at most 65; let it cool"),
    Case("over-current", "its protection trips", _inject(faults.OverCurrent(id=2)), "FAULT",
         "shoulder_lift: its servo reports overcurrent"),
    Case("over-current", "3 A: before it does",
         _inject(faults.OverCurrent(id=2, amperes=3, at_once=False)), "FAULT",
         r"shoulder_lift takes [23]\.\d+ A, at most 2\.20"),
    Case("under-voltage", "3.5 V: the servos complain", _inject(faults.UnderVoltage()), "FAULT",
         "shoulder_pan: its servo reports voltage; check the power supply"),
    Case("under-voltage", "6 of 7.4 V: before they do",
         _inject(faults.UnderVoltage(volts=6)), "FAULT",
         r"has 6\.0 V, 6\.3 to .* expected; check the power supply"),
    Case("under-voltage", "3.5 V", _inject(faults.UnderVoltage()), "refused",
         r"shoulder_pan: servo 1 has 3\.5 V, and wants 4\.0", "connecting"),
    Case("brown-out", "servo 2 restarts", _inject(faults.BrownOut(id=2)), "FAULT",
         "shoulder_lift lost its torque by itself: its supply broke down"),
    Case("stall", "the pan is held", _inject(faults.Stall(id=1)), "FAULT",
         "shoulder_pan (pushes with .* free it|is .* from where it was sent)"),
    Case("unplug", "the port is gone", _unplug, "DISCONNECTED", "is gone: .* check its cable"),
    Case("replug", "and comes back after 0.5 s", _replug, "IDLE", "connected, torque off"),
    Case("baud mismatch", "servos change to 500 k", _inject(faults.BaudMismatch()), "FAULT",
         _DEAD_LINE),
    Case("baud mismatch", "servos at 500 k", _inject(faults.BaudMismatch()), "refused",
         "no servo answers at 1000000 baud; .* baud rate", "connecting"),
    Case("second process", "tries to open the port", _another_opens, "RUNNING",
         r"is in use by .*process \d+.*; end that first"),
    Case("second process", "has it already", _another_has_it, "refused",
         r"is in use by .*process \d+.*; end that first", "connecting"),
    Case("second process", "heeds no lock and takes bytes away", _another_steals, "FAULT",
         _SOME_SILENT),
)  # fmt: skip


def befall(case: Case, emulator: Emulator, limits: Limits, *, stays_s: float = 1.0) -> Outcome:
    """Lets one fault befall an arm that swings to and fro, or is being connected.

    Args:
        case: Which.
        emulator: Of an SO-101; it is as before afterwards.
        limits: Of the supervision.
        stays_s: For so long an arm that must keep running is watched.
    """
    with ExitStack() as opened:
        desk = Desk(emulator, opened)
        emulator.control.place(_FOLDED, holds=False)
        bus = serial_bus(ARM.servos, emulator.port)
        robot = Supervised(
            ServoArm(ARM.spec, ARM.servos, bus),
            limits=limits,
            on_event=lambda event: desk.said.append(event.sentence),
        )
        opened.callback(_close, robot)
        opened.callback(emulator.control.clear)  # before: a protection ends when torque goes off
        if case.at == "connecting":
            case.strike(desk, time.sleep)
            start = time.monotonic()
            try:
                robot.connect()
            except RobotError as error:
                desk.said.append(str(error))
            reached = "refused" if robot.state == "DISCONNECTED" else robot.state
            return _judged(case, desk, reached, time.monotonic() - start)
        return _while_running(case, desk, robot, stays_s)


def _while_running(case: Case, desk: Desk, robot: Supervised, stays_s: float) -> Outcome:
    robot.connect()
    robot.arm()
    began = time.monotonic()
    base = robot.observe().proprioception[:6].clip(ARM.spec.low, ARM.spec.high)

    def swing() -> Action:
        pan = _SWING_RAD * sin(2 * pi * _SWING_HZ * (time.monotonic() - began))
        return (base + np.array([pan, 0, 0, 0, 0, 0])).astype(np.float32)

    def go_on(seconds: float, is_over: Callable[[], bool] = lambda: False) -> None:
        start = time.monotonic()
        for tick in range(1, round(seconds / _TICK_S) + 1):
            with suppress(SafetyError):
                robot.observe()
                if robot.state in ("ARMED", "RUNNING"):
                    robot.act(swing())
            if is_over():
                return
            time.sleep(max(0.0, start + tick * _TICK_S - time.monotonic()))

    go_on(0.3)
    desk.said.clear()
    case.strike(desk, go_on)
    struck = time.monotonic()
    if case.state == "RUNNING":
        go_on(stays_s, lambda: robot.state != "RUNNING")
    else:
        go_on(MOST_S, lambda: robot.state == case.state)
    return _judged(case, desk, robot.state, time.monotonic() - struck)


def _judged(case: Case, desk: Desk, state: str, seconds: float) -> Outcome:
    right = [said for said in desk.said if re.search(case.sentence, said)]
    said = (right or desk.said or [""])[-1]
    is_said = bool(right) if case.sentence else not desk.said
    return Outcome(state, said, seconds, state == case.state and is_said)


def _close(robot: Supervised) -> None:
    with suppress(SafetyError):  # of servos that do not confirm: they are the fault
        robot.close()
