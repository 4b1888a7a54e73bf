"""Laws of what operators order: a stop is latched, and nothing moves an arm but `go`."""

from __future__ import annotations

import numpy as np
import pytest

from demoloop.deploy.notes import Order, Pulse, Reply, Verb
from demoloop.deploy.standing import IO_PATIENCE_S, UNATTENDED, UNHEARD, Halted, Setting, Standing
from demoloop.robot import Action, Observation, RobotError, RobotSpec


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Arm:
    """Has an emergency stop of its own."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.stops: list[str] = []
        self.sent: list[Action] = []
        self.is_broken = False

    def estop(self, reason: str) -> None:
        self.stops.append(reason)

    def reset_fault(self) -> None:
        if self.is_broken:
            raise RobotError("so101, elbow: 71 degrees; let it cool down")
        self.stops.clear()

    def reset(self) -> None: ...

    def observe(self) -> Observation:
        raise AssertionError

    def act(self, action: Action) -> Action:
        self.sent.append(action)
        return action

    def close(self) -> None: ...


def order(standing: Standing, verb: Verb, **more: object) -> Reply:
    return standing.take(Order(7, verb, "ann", **more), "running")  # type: ignore[arg-type]


def test_a_run_without_orders_goes() -> None:
    assert (Standing().ban, Standing().mode) == ("", "go")


def test_stop_is_latched_until_reset_and_reset_moves_nothing() -> None:
    standing = Standing()
    assert order(standing, "stop").is_done
    for verb in ("go", "hold", "set", "status"):
        reply = order(standing, verb)
        assert (reply.mode, standing.ban) == ("stopped", "stopped by ann")
        assert reply.is_done == (verb == "status")
    assert standing.is_stopped
    assert order(standing, "reset").is_done
    assert (standing.mode, standing.is_stopped) == ("hold", False)
    assert standing.ban == "reset by ann; say go"
    assert order(standing, "go").is_done
    assert standing.ban == ""


def test_answer_carries_the_orders_number_and_what_came_of_it() -> None:
    reply = order(Standing(), "hold")
    assert (reply.number, reply.is_done, reply.mode, reply.reason) == (
        7,
        True,
        "hold",
        "held by ann",
    )


def test_reset_without_a_stop_changes_nothing() -> None:
    standing = Standing()
    assert order(standing, "reset").is_done
    assert standing.ban == ""


def test_stop_reaches_the_robots_own_emergency_stop(spec: RobotSpec) -> None:
    arm = Arm(spec)
    standing = Standing(arm)
    order(standing, "stop")
    assert arm.stops == ["stopped by ann"]
    order(standing, "reset")
    assert arm.stops == []


def test_stop_stays_while_the_robot_refuses_to_be_reset(spec: RobotSpec) -> None:
    arm = Arm(spec)
    standing = Standing(arm)
    order(standing, "stop")
    arm.is_broken = True
    reply = order(standing, "reset")
    assert (reply.is_done, reply.mode) == (False, "stopped")
    assert "let it cool down" in reply.text


def test_robot_that_was_stopped_is_sent_nothing(spec: RobotSpec) -> None:
    arm = Arm(spec)
    standing = Standing(arm)
    halted = Halted(arm, standing)
    action = np.zeros(3, np.float32)
    halted.act(action)
    order(standing, "stop")
    assert halted.act(action + 1) is not None
    assert len(arm.sent) == 1


def test_arm_holds_while_nobody_could_stop_it_and_goes_on_by_itself() -> None:
    clock = Clock()
    standing = Standing(now=clock)
    clock.time += IO_PATIENCE_S + 0.01
    standing.check()
    assert standing.ban == UNHEARD
    standing.hear(Pulse())
    standing.check()
    assert standing.ban == ""


def test_arm_that_needs_an_operator_starts_at_his_word() -> None:
    standing = Standing(needs_operator=True)
    assert standing.ban == UNATTENDED
    assert not order(standing, "go").is_done  # of somebody who does not stay
    standing.hear(Pulse("ann"))
    assert standing.ban == UNATTENDED
    assert order(standing, "go").is_done
    assert standing.ban == ""


def test_arm_holds_when_its_operator_falls_silent_and_waits_for_his_word() -> None:
    clock = Clock()
    standing = Standing(needs_operator=True, now=clock)
    standing.hear(Pulse("ann"))
    order(standing, "go")
    standing.hear(Pulse(""))
    assert standing.ban == UNATTENDED
    standing.hear(Pulse("ann"))
    assert standing.ban == UNATTENDED
    order(standing, "go")
    clock.time += IO_PATIENCE_S + 0.01  # the io process hangs, and the operator with it
    standing.check()
    standing.hear(Pulse("ann"))
    standing.check()
    assert standing.ban == UNHEARD
    assert standing.mode == "hold"


@pytest.mark.parametrize("value", [0.0, 11.0, -1.0])
def test_setting_keeps_to_its_bounds(value: float) -> None:
    changed: list[float] = []
    standing = Standing(settings={"replan_every": Setting(1, 10, changed.append)})
    assert not order(standing, "set", name="replan_every", value=value).is_done
    assert not order(standing, "set", name="max_velocity", value=3.0).is_done
    assert changed == []
    assert order(standing, "set", name="replan_every", value=3.0).is_done
    assert changed == [3.0]


def test_an_end_is_no_way_around_a_stop() -> None:
    standing = Standing()
    order(standing, "stop")
    standing.end("io died")
    assert (standing.mode, standing.has_ended) == ("stopped", True)
    going = Standing()
    going.end("io died")
    assert going.ban == "io died"
    assert not order(going, "go").is_done  # one that was under way
    assert going.ban == "io died"
