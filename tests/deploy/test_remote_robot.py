"""Laws of a robot at the other end of a line, over real sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from tests.deploy.hosted import PICTURE_AGE_S, Diarist, hosting

from demoloop.deploy import DeployError
from demoloop.deploy.arm_loop import SILENCE_S
from demoloop.deploy.auth import Pin
from demoloop.deploy.host_line import HostLine
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.remote_robot import RemoteRobot
from demoloop.deploy.robot_server import RobotServer
from demoloop.robot import Action, ActionError, Observation, RobotSpec, WallClock, run_episode
from demoloop.robot.errors import Disconnected
from demoloop.robot.safety import SafetyError

TARGET = np.array([0.2, 0.4, 0.6], np.float32)
Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture
def robot(spec: RobotSpec) -> Diarist:
    return Diarist(spec)


@pytest.fixture
def server(robot: Diarist) -> Iterator[RobotServer]:
    with hosting(robot) as server:
        yield server


@pytest.fixture
def remote(server: RobotServer) -> Iterator[RemoteRobot]:
    with RemoteRobot(HostLine(server.endpoint, who="me")) as remote:
        yield remote


class Steady:
    """Always asks for the same."""

    def reset(self) -> None:
        pass

    def decide(self, observation: Observation) -> Action:
        return TARGET


def test_it_is_a_robot_like_any_other_and_says_what_was_really_sent(
    remote: RemoteRobot, robot: Diarist
) -> None:
    assert (remote.spec, remote.task) == (robot.spec, "table")
    assert remote.events == ("calibrated by ann",)
    sent = []
    report = run_episode(
        remote, Steady(), 20, lambda _, action: sent.append(action), clock=WallClock()
    )
    assert report.num_steps == 20
    np.testing.assert_allclose(sent, np.tile(TARGET / 2, (20, 1)))
    assert robot.diary[0] == "reset None"
    assert robot.diary.count("act") == 20


def test_a_look_keeps_the_age_of_its_pictures_and_is_on_this_clock(
    remote: RemoteRobot, robot: Diarist
) -> None:
    before = 0.0
    for number in range(6):
        robot.picture, robot.taken_at = number, time.monotonic()
        remote.observe()
        seen = remote.observe()
        assert before < seen.time <= time.monotonic()
        before = seen.time
        for name, image in seen.images.items():
            assert (image == number).all()
            age = seen.time - seen.image_times[name]
            assert PICTURE_AGE_S <= age < PICTURE_AGE_S + 10.0  # as there; no clock is compared


def test_a_picture_that_is_here_already_does_not_travel_again(
    remote: RemoteRobot, robot: Diarist
) -> None:
    remote.observe()
    robot.picture = 99  # the same time: a camera does not change what it showed then
    assert all((image == 0).all() for image in remote.observe().images.values())


def test_silence_is_a_hold_and_the_next_action_moves_on(
    remote: RemoteRobot, robot: Diarist, eventually: Eventually
) -> None:
    remote.act(TARGET)
    eventually(lambda: robot.diary == ["act", "hold"])
    remote.act(TARGET)
    assert robot.diary == ["act", "hold", "act"]
    assert SILENCE_S == 0.2


def test_leaving_is_a_hold_without_waiting_for_the_silence(
    server: RobotServer, robot: Diarist, eventually: Eventually
) -> None:
    with RemoteRobot(HostLine(server.endpoint)) as remote:
        remote.act(TARGET)
    eventually(lambda: robot.diary == ["act", "hold"])
    assert server.driver == ""


def test_one_drives_at_a_time_and_the_seat_is_free_again_afterwards(
    server: RobotServer, robot: Diarist, eventually: Eventually
) -> None:
    with RemoteRobot(HostLine(server.endpoint, who="ann@desk")) as first:
        second = RemoteRobot(HostLine(server.endpoint, who="ben"))
        with pytest.raises(DeployError, match="ann@desk drives tiny, one at a time"), second:
            pass
        first.act(TARGET)  # and is not disturbed
    eventually(lambda: not server.driver)
    with RemoteRobot(HostLine(server.endpoint, who="ben")) as second:
        second.act(TARGET)
    assert robot.diary.count("act") == 2


def test_a_fault_is_passed_on_as_its_sentence_and_reset_on_request_only(
    remote: RemoteRobot, robot: Diarist
) -> None:
    robot.fault, robot.state = "elbow_flex is stalled; look at it", "FAULT"
    with pytest.raises(SafetyError, match="elbow_flex is stalled; look at it"):
        remote.act(TARGET)
    remote.observe()
    remote.observe()  # of one that was looked at before the fault came
    assert (remote.state, remote.fault) == ("FAULT", robot.fault)
    assert "reset_fault" not in robot.diary
    remote.reset_fault()
    assert (remote.state, remote.fault) == ("ARMED", "")
    remote.act(TARGET)


def test_an_emergency_stop_gets_through_while_another_thread_waits_for_an_order(
    remote: RemoteRobot, robot: Diarist, eventually: Eventually
) -> None:
    is_pressed = threading.Event()
    robot.on_order = lambda: eventually(lambda: is_pressed.set() or "FAULT" in robot.state)
    thread = threading.Thread(target=remote.reset)
    thread.start()
    assert is_pressed.wait(10.0)
    remote.estop("Esc")
    thread.join(20.0)
    assert robot.diary[0] == "estop Esc, from another computer"


def test_an_action_beyond_a_limit_does_not_even_leave(remote: RemoteRobot, robot: Diarist) -> None:
    with pytest.raises(ActionError, match="pan: target 5"):
        remote.act(np.array([5.0, 0.0, 0.0], np.float32))
    assert robot.diary == []


def test_a_robot_that_cannot_be_looked_at_says_why_and_comes_back(
    remote: RemoteRobot, robot: Diarist, eventually: Eventually
) -> None:
    robot.gone = "tiny is unplugged"
    with pytest.raises(SafetyError, match="tiny is unplugged"):
        while True:
            remote.observe()
    robot.gone = ""

    def is_seen() -> bool:
        try:
            remote.observe()
        except SafetyError:
            return False
        return True

    eventually(is_seen)


def test_success_is_what_the_host_knows(remote: RemoteRobot, robot: Diarist) -> None:
    remote.observe()
    assert remote.succeeded() is None
    robot.success = True
    remote.observe()
    remote.observe()
    assert remote.succeeded() is True


def test_a_host_that_ends_is_a_sentence_and_only_connect_finds_the_next_one(
    robot: Diarist, spec: RobotSpec
) -> None:
    said: list[str] = []

    def drive() -> None:
        try:
            while True:
                remote.observe()
                remote.act(TARGET)
        except Disconnected as error:
            said.append(str(error))

    with ExitStack() as entered:
        with hosting(robot) as first:
            remote = entered.enter_context(RemoteRobot(HostLine(first.endpoint)))
            remote.reset(3)
            driving = threading.Thread(target=drive)
            driving.start()
        driving.join(20.0)
        assert "host of the robot" in said[0] and "has ended; the robot is at rest" in said[0]
        second = Diarist(spec)
        entered.enter_context(hosting(second, first.endpoint))
        for asks in (remote.observe, remote.reset, lambda: remote.act(TARGET)):
            with pytest.raises(Disconnected):  # not by itself: an arm that stopped stays so
                asks()
        remote.connect()
        remote.reset(4)
        assert second.diary == ["reset 4"]
        remote.observe()
        remote.act(TARGET)


def test_nobody_there_is_a_sentence() -> None:
    with pytest.raises(DeployError, match="demoloop host ARM:PORT"):
        RemoteRobot(HostLine("tcp://127.0.0.1:1", timeout_s=0.1)).connect()


def test_on_one_computer_it_needs_no_network(robot: Diarist, tmp_path: Path) -> None:
    where = f"unix://{tmp_path}/arm.sock"
    with hosting(robot, where), RemoteRobot(HostLine(where)) as remote:
        remote.act(TARGET)
        assert set(remote.observe().images) == set(robot.spec.camera_names)
    assert robot.diary == ["act", "hold"]


def test_off_loopback_nothing_is_hosted_or_driven_without_keys(spec: RobotSpec) -> None:
    with pytest.raises(DeployError, match="reachable from other computers"):
        RemoteRobot(HostLine("tcp://192.168.1.9:5558"))
    with (
        pytest.raises(DeployError, match="reachable from other computers"),
        hosting(Diarist(spec), "tcp://0.0.0.0:5558"),
    ):
        pass


@pytest.mark.parametrize("role", ["operator", "policy", "viewer", None])
def test_only_a_key_trusted_as_operator_drives(
    robot: Diarist, tmp_path: Path, role: str | None
) -> None:
    host, desk = KeyFolder(tmp_path / "host"), KeyFolder(tmp_path / "desk")
    host.generate("host")
    desk.generate("desk")
    desk.trust(host.own().public, "host", "policy")
    if role is not None:
        host.trust(desk.own().public, "desk", role)  # type: ignore[arg-type]
    with hosting(robot, keys=host) as server:
        remote = RemoteRobot(HostLine(server.endpoint, Pin(desk), timeout_s=2.0))
        if role == "operator":
            with remote:
                remote.act(TARGET)
        else:
            with pytest.raises(DeployError, match=r"on the robot line; .* --role operator"), remote:
                pass
    assert ("act" in robot.diary) == (role == "operator")
