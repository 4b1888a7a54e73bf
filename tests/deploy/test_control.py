"""Laws of the control line and of telemetry, over real sockets: who orders, who only looks on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from demoloop.deploy.auth import Gate, Pin
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.control import OPERATOR_PATIENCE_S, ControlServer, Operator
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.key_files import Role
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.notes import Order, Reply, Status, pack
from demoloop.deploy.sockets import make_socket
from demoloop.deploy.standing import Standing
from demoloop.deploy.telemetry import (
    PICTURES_TOPIC,
    STATUS_TOPIC,
    Publisher,
    Sight,
    Viewer,
    pack_sight,
    read_sight,
)
from demoloop.deploy.vitals import Vitals
from demoloop.robot import RobotSpec

Eventually = Callable[[Callable[[], object]], None]
ROBOT_KEYS = "robot"


@pytest.fixture
def status(spec: RobotSpec) -> Status:
    return Vitals(RemotePolicy("tcp://127.0.0.1:5555", spec), 100.0, num_episodes=3).status()


class Desk:
    """What the io process does for operators and viewers, with a guard that obeys at once."""

    def __init__(self, keys: KeyFolder | None, status: Status) -> None:
        self.status = status
        self.standing = Standing()
        self.orders: list[Order] = []
        self.image = np.zeros((16, 24, 3), np.uint8)
        self.is_silent = False
        self._stop = threading.Event()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.gate = Gate(self.context, keys) if keys is not None else None
        if self.gate is not None:
            self.gate.open()
        self.control = ControlServer(self.context, "tcp://127.0.0.1:*", self.gate, self._obey)
        self.publisher = Publisher(self.context, "tcp://127.0.0.1:*", self.gate)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()
        self.context.destroy(linger=0)

    def _obey(self, order: Order) -> None:
        self.orders.append(order)
        reply = self.standing.take(order, "running")
        if not self.is_silent:
            self.control.answer(reply)

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            if self.gate is not None:
                self.gate.answer()
                self.gate.refresh()
            self.control.hear(self.status)
            self.publisher.hear()
            self.publisher.publish(self.status)
            self.publisher.publish_pictures(self.status, {"front": self.image})


@contextmanager
def desk_of(keys: KeyFolder | None, status: Status) -> Iterator[Desk]:
    desk = Desk(keys, status)
    try:
        yield desk
    finally:
        desk.end()


def folder_of(path: Path, robot: KeyFolder, name: str, role: Role | None) -> Pin:
    """Keys of another computer that knows the robot, and that the robot trusts as `role`."""
    folder = KeyFolder(path / name)
    own, _ = folder.generate(name)
    folder.trust(robot.own().public, "robot", "policy")
    if role is not None:
        robot.trust(own.public, name, role)
    return Pin(folder)


@pytest.fixture
def robot_keys(tmp_path: Path) -> KeyFolder:
    keys = KeyFolder(tmp_path / ROBOT_KEYS)
    keys.generate("robot")
    return keys


# Orders


def test_order_is_answered_with_the_state_that_came_of_it(status: Status) -> None:
    with desk_of(None, status) as desk, Operator(desk.control.endpoint, "ann") as operator:
        assert operator.order("hold").mode == "hold"
        reply = operator.order("stop")
        assert (reply.is_done, reply.mode) == (True, "stopped")
        assert "say reset first" in operator.order("go").text
        assert operator.order("reset").mode == "hold"
        assert [order.verb for order in desk.orders] == ["hold", "stop", "go", "reset"]
        assert {order.who for order in desk.orders} == {"ann (no key)"}


def test_answers_go_to_who_gave_the_order(status: Status) -> None:
    with (
        desk_of(None, status) as desk,
        Operator(desk.control.endpoint, "ann") as ann,
        Operator(desk.control.endpoint, "bob") as bob,
    ):
        assert ann.order("hold").reason == "held by ann (no key)"
        assert bob.order("hold").reason == "held by bob (no key)"


def test_order_that_does_not_exist_is_never_sent(status: Status) -> None:
    with desk_of(None, status) as desk, Operator(desk.control.endpoint, "ann") as operator:
        for verb in ("kill", "reload", "exec"):
            with pytest.raises(DeployError, match="no order"):
                operator.order(verb)
        operator.order("status")
        assert [order.verb for order in desk.orders] == ["status"]


def test_without_an_answer_there_is_one_sentence(status: Status) -> None:
    with desk_of(None, status) as desk:
        desk.is_silent = True
        with (
            Operator(desk.control.endpoint, "ann", timeout_s=0.3) as operator,
            pytest.raises(DeployError, match=r"did not answer 'stop' within 0\.3 s"),
        ):
            operator.order("stop")


def test_control_line_off_loopback_needs_keys() -> None:
    with pytest.raises(DeployError, match="reachable from other computers"):
        Operator("tcp://10.0.0.7:5556", "ann")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with pytest.raises(DeployError, match="reachable from other computers"):
        ControlServer(context, "tcp://0.0.0.0:5556", None, print)
    with pytest.raises(DeployError, match="reachable from other computers"):
        Publisher(context, "tcp://0.0.0.0:5557", None)
    context.destroy(linger=0)


def test_nonsense_gives_no_order_and_stops_nobody_else(status: Status) -> None:
    with desk_of(None, status) as desk, Operator(desk.control.endpoint, "ann") as operator:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = make_socket(context, zmq.DEALER)
        socket.connect(desk.control.endpoint)
        rng = np.random.default_rng(0)
        good = pack(Order(1, "stop", "mallory"))
        for _ in range(300):
            cut = good[: rng.integers(0, len(good) - 1)]
            socket.send_multipart([cut, b"x"] if rng.random() < 0.3 else [cut + b"\xc1"])
        assert operator.order("hold").is_done
        assert [order.verb for order in desk.orders] == ["hold"]
        assert desk.standing.mode == "hold"
        context.destroy(linger=0)


def test_operator_is_the_one_whose_signs_of_life_come(
    status: Status, eventually: Eventually
) -> None:
    with desk_of(None, status) as desk:
        assert desk.control.operator == ""
        with Operator(desk.control.endpoint, "ann") as operator:

            def is_known() -> bool:
                operator.say_alive()
                operator.hear(0.01)
                return desk.control.operator == "ann (no key)" and operator.status is not None

            eventually(is_known)
            assert operator.status == status
        eventually(lambda: desk.control.operator == "")
    assert OPERATOR_PATIENCE_S <= 0.5


# Keys


def test_only_a_key_with_the_role_operator_gives_orders(
    tmp_path: Path, robot_keys: KeyFolder, status: Status
) -> None:
    operator_pin = folder_of(tmp_path, robot_keys, "ann", "operator")
    roles: list[Role | None] = ["viewer", "policy", None]
    pins = {role: folder_of(tmp_path, robot_keys, f"key-{role}".lower(), role) for role in roles}
    with desk_of(robot_keys, status) as desk:
        for pin in pins.values():
            with (
                Operator(desk.control.endpoint, "mallory", pin, timeout_s=0.5) as other,
                pytest.raises(DeployError, match="did not answer"),
            ):
                other.order("stop")
        with (
            Operator(desk.control.endpoint, "mallory", timeout_s=0.5) as plain,
            pytest.raises(DeployError, match="did not answer"),
        ):
            plain.order("stop")
        assert desk.orders == []
        with Operator(desk.control.endpoint, "pretends to be bob", operator_pin) as operator:
            assert operator.order("stop").is_done
        assert [order.who for order in desk.orders] == ["ann"]  # the key's own name


def test_operator_whose_key_was_revoked_gives_no_more_orders(
    tmp_path: Path, robot_keys: KeyFolder, status: Status, eventually: Eventually
) -> None:
    pin = folder_of(tmp_path, robot_keys, "ann", "operator")
    with (
        desk_of(robot_keys, status) as desk,
        Operator(desk.control.endpoint, "ann", pin, timeout_s=1.0) as operator,
    ):
        assert operator.order("hold").is_done
        robot_keys.revoke("ann")
        assert desk.gate is not None
        revision = desk.gate.revision
        eventually(lambda: desk.gate is not None and desk.gate.revision > revision)
        with pytest.raises(DeployError, match="did not answer"):
            operator.order("go")
        assert desk.standing.mode == "hold"


def test_viewer_sees_with_a_key_and_nothing_without(
    tmp_path: Path, robot_keys: KeyFolder, status: Status, eventually: Eventually
) -> None:
    pin = folder_of(tmp_path, robot_keys, "eve", "viewer")
    stranger = folder_of(tmp_path, robot_keys, "stranger", None)
    with desk_of(robot_keys, status) as desk:
        endpoint = desk.publisher.endpoint
        with Viewer(endpoint, wants_pictures=False, pin=stranger) as other:
            assert other.look(0.5) is None
        with Viewer(endpoint, wants_pictures=True, pin=pin) as viewer:
            seen = viewer.look(5.0)
            assert seen is not None
            assert (seen.status, list(seen.jpegs)) == (status, ["front"])
            robot_keys.revoke("eve")
            eventually(lambda: viewer.look(0.3) is None)  # cut off, though it was connected
        other_pin = folder_of(tmp_path, robot_keys, "bob", "viewer")
        with Viewer(endpoint, wants_pictures=True, pin=other_pin) as viewer:
            assert viewer.look(10.0) is not None  # and nobody else


# Pictures


def test_pictures_are_made_only_while_somebody_wants_them(
    status: Status, eventually: Eventually
) -> None:
    with desk_of(None, status) as desk:
        with Viewer(desk.publisher.endpoint, wants_pictures=False) as viewer:
            seen = viewer.look(5.0)
            assert seen is not None
            assert seen.jpegs == {}
            assert not desk.publisher.is_watched
        with Viewer(desk.publisher.endpoint, wants_pictures=True) as viewer:
            assert viewer.look(5.0) is not None
            assert desk.publisher.is_watched
        eventually(lambda: not desk.publisher.is_watched)


def test_viewer_that_sleeps_delays_nobody_and_wakes_to_the_newest(
    status: Status, eventually: Eventually
) -> None:
    """A thousand statuses while it does not look: what it then gets is no backlog."""
    with (
        desk_of(None, status) as desk,
        Viewer(desk.publisher.endpoint, wants_pictures=False) as viewer,
    ):
        assert viewer.look(5.0) is not None
        for count in range(1000):
            desk.status = msgspec.structs.replace(status, num_ticks=count)
        eventually(lambda: (seen := viewer.look(1.0)) and seen.status.num_ticks == 999)


@pytest.mark.parametrize("topic", [STATUS_TOPIC, PICTURES_TOPIC])
def test_what_viewers_get_survives_and_what_is_cut_off_is_refused(
    status: Status, topic: bytes
) -> None:
    sight = Sight(status, {"front": b"jpeg" * 9, "wrist": b""})
    data = pack_sight(sight, topic)
    assert read_sight(data) == sight
    for size in range(0, len(data), 7):
        with pytest.raises(WireError):
            read_sight(data[:size])


def test_reply_that_nobody_waits_for_is_dropped(status: Status) -> None:
    with desk_of(None, status) as desk:
        desk.control.answer(Reply(999, True, "late", "go", "running"))
        with Operator(desk.control.endpoint, "ann") as operator:
            assert operator.order("status").number == 1
