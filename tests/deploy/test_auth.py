"""Who gets in, who is put out, and that nothing of anybody else ever acts; over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
import zmq

from demoloop.deploy import DeployError
from demoloop.deploy.auth import MAY_USE, Gate, Line, Pin
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.run import run_remote
from demoloop.deploy.server import MAX_OF_ONE_KEY, PolicyServer
from demoloop.deploy.sockets import bind, make_socket
from demoloop.deploy.translate import observation_message
from demoloop.deploy.wire import Hello, Message, Welcome, decode, encode
from demoloop.robot import Observation, RobotSpec

Serving = Callable[..., AbstractContextManager[PolicyServer]]
Observe = Callable[..., Observation]
Eventually = Callable[[Callable[[], object]], None]


class Computers:
    """Folders of keys: `box` serves, the others are robots and people."""

    def __init__(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path
        self.box = self.make("box")

    def make(self, name: str) -> KeyFolder:
        folder = KeyFolder(self._tmp_path / name)
        folder.generate(name)
        return folder

    def robot(self, name: str = "arm-1", role: Any = "policy") -> KeyFolder:
        """Makes a computer that trusts the box, and is trusted there in a role; None: it is not."""
        folder = self.make(name)
        folder.trust(self.box.own().public, "box", "policy")
        if role is not None:
            self.box.trust(folder.own().public, name, role)
        return folder


@pytest.fixture
def computers(tmp_path: Path) -> Computers:
    return Computers(tmp_path)


class Peer:
    """A bare socket that says what it likes, with whatever keys."""

    def __init__(self, endpoint: str, pin: Pin | None = None) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = make_socket(self.context, zmq.DEALER)
        self.socket.setsockopt(zmq.IMMEDIATE, 0)  # queues until somebody lets it in
        self.socket.setsockopt(zmq.SNDTIMEO, 200)
        if pin is not None:
            pin.protect(self.socket)
        self.socket.connect(endpoint)

    def say(self, message: Message) -> None:
        with contextlib.suppress(zmq.Again):  # turned away already
            self.socket.send_multipart(encode(message))

    def greet(self, spec: RobotSpec) -> int:
        self.say(Message(Hello(spec, spec.fingerprint()), time_ns=time.monotonic_ns()))
        while self.socket.poll(10_000):
            message = decode(self.socket.recv_multipart())
            if isinstance(message.body, Welcome):
                return message.session
        raise AssertionError("no Welcome came")

    def heard(self) -> list[Message]:
        """Returns what has come since it was last asked."""
        messages = []
        while self.socket.poll(0):
            messages.append(decode(self.socket.recv_multipart()))
        return messages

    def close(self) -> None:
        self.context.destroy(linger=0)


def ask(endpoint: str, spec: RobotSpec, observation: Observation, keys: KeyFolder) -> None:
    with RemotePolicy(endpoint, spec, pin=Pin(keys)) as policy:
        policy.predict(observation)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "[::1]"])
def test_a_trusted_robot_is_answered_on_any_address(
    serving: Serving, still: Any, spec: RobotSpec, observe: Observe, computers: Computers, host: str
) -> None:
    if host == "[::1]" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    robot = computers.robot()
    with serving(still, f"tcp://{host}:*", keys=computers.box) as server:
        ask(server.endpoint.replace("0.0.0.0", "127.0.0.1"), spec, observe(), robot)
    assert len(still.seen) == 1


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_loopback_needs_no_key_in_either_family(
    serving: Serving, still: Any, spec: RobotSpec, observe: Observe
) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with serving(still, "tcp://[::1]:*") as server, RemotePolicy(server.endpoint, spec) as policy:
        policy.predict(observe())


@pytest.mark.parametrize("role", [None, "viewer", "operator"])
def test_key_that_is_not_trusted_as_policy_reaches_nothing_and_is_told(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    observe: Observe,
    computers: Computers,
    role: str | None,
) -> None:
    friend, stranger = computers.robot("friend"), computers.robot("stranger", role)
    with serving(still, keys=computers.box) as server:
        with pytest.raises(
            DeployError, match=r"does not trust this robot's key .* keys trust .*--role policy"
        ) as refusal:
            RemotePolicy(server.endpoint, spec, pin=Pin(stranger)).connect()
        peer = Peer(server.endpoint, Pin(stranger))  # and once more, with none of our manners
        for seq in range(5):
            peer.say(Message(Hello(spec, spec.fingerprint()), time_ns=time.monotonic_ns()))
            peer.say(observation_message(observe(), 1, seq))
        ask(server.endpoint, spec, observe(time=7.0), friend)
        assert not peer.socket.poll(0)
        peer.close()
    assert [seen.time for seen in still.seen] == [7.0]
    assert stranger.own().secret not in str(refusal.value)


def test_plaintext_peer_reaches_nothing_and_is_told(
    serving: Serving, still: Any, spec: RobotSpec, observe: Observe, computers: Computers
) -> None:
    friend = computers.robot()
    with serving(still, keys=computers.box) as server:
        with pytest.raises(DeployError, match="asks who this robot is; say --keys FOLDER"):
            RemotePolicy(server.endpoint, spec).connect()
        peer = Peer(server.endpoint)
        for seq in range(5):
            peer.say(Message(Hello(spec, spec.fingerprint()), time_ns=time.monotonic_ns()))
            peer.say(observation_message(observe(), 1, seq))
        ask(server.endpoint, spec, observe(time=7.0), friend)
        assert not peer.socket.poll(0)
        peer.close()
    assert [seen.time for seen in still.seen] == [7.0]


@pytest.mark.parametrize("impostor_has_keys", [True, False])
def test_server_without_the_pinned_key_learns_nothing_and_moves_nothing(
    serving: Serving, still: Any, spec: RobotSpec, computers: Computers, impostor_has_keys: bool
) -> None:
    robot = computers.robot()
    impostor = computers.make("impostor")
    impostor.trust(robot.own().public, "arm-1", "policy")
    with serving(still, keys=impostor if impostor_has_keys else None) as server:
        policy = RemotePolicy(server.endpoint, spec, timeout_s=0.5, pin=Pin(robot))
        with pytest.raises(DeployError, match="does not prove that it is box"):
            policy.connect()
        assert (policy.num_welcomes, server.num_robots, still.seen) == (0, 0, [])


def revoke_after(num_steps: int, folder: KeyFolder, name: str) -> Callable[..., None]:
    """Listens to steps and revokes a key after so many."""
    count = iter(range(10**6))
    return lambda *_: folder.revoke(name) if next(count) == num_steps else None


@pytest.mark.parametrize("side", ["server", "robot"])
def test_revoked_key_ends_a_run_and_moves_nothing_more(
    serving: Serving,
    still: Any,
    robot: Any,
    spec: RobotSpec,
    computers: Computers,
    side: str,
) -> None:
    keys = computers.robot()
    revokes = (computers.box, "arm-1") if side == "server" else (keys, "box")
    with (
        serving(still, keys=computers.box) as server,
        RemotePolicy(server.endpoint, spec, pin=Pin(keys)) as policy,
        pytest.raises(DeployError, match="revoked"),
    ):
        run_remote(
            robot, policy, num_episodes=1, max_steps=3000, on_step=revoke_after(20, *revokes)
        )
    assert 20 < len(robot.sent) <= 20 + 50  # within a second, of 50 steps


def test_living_connection_of_a_revoked_key_reaches_nothing_more(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    observe: Observe,
    computers: Computers,
    eventually: Eventually,
) -> None:
    friend, lost = computers.robot("friend"), computers.robot("lost")
    with serving(still, keys=computers.box) as server:
        peer = Peer(server.endpoint, Pin(lost))
        session = peer.greet(spec)
        peer.say(observation_message(observe(time=1.0), session, seq=1))
        eventually(lambda: len(still.seen) == 1)
        computers.box.revoke("lost")
        eventually(lambda: server.num_robots == 0)
        peer.heard()
        for seq in range(1, 20):
            peer.say(Message(Hello(spec, spec.fingerprint()), time_ns=time.monotonic_ns()))
            peer.say(observation_message(observe(time=2.0), session, seq))
        for at in (7.0, 8.0):
            ask(server.endpoint, spec, observe(time=at), friend)
        assert peer.heard() == []
        with pytest.raises(DeployError, match="does not trust this robot's key"):
            RemotePolicy(server.endpoint, spec, pin=Pin(lost)).connect()
        peer.close()
    assert [seen.time for seen in still.seen] == [1.0, 7.0, 8.0]


def test_key_trusted_while_the_server_runs_is_let_in(
    serving: Serving, still: Any, spec: RobotSpec, observe: Observe, computers: Computers
) -> None:
    robot = computers.robot(role=None)
    with serving(still, keys=computers.box) as server:
        with pytest.raises(DeployError, match="does not trust"):
            ask(server.endpoint, spec, observe(), robot)
        computers.box.trust(robot.own().public, "arm-1", "policy")
        ask(server.endpoint, spec, observe(), robot)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder.trusted_path / "bad.json").write_text("{"),
        lambda folder: (folder.trusted_path / "bad.json").chmod(0o666),
        lambda folder: (folder.trusted_path / "bad.json").unlink(),
    ],
)
def test_key_spoilt_while_the_server_runs_is_trusted_no_longer_and_the_others_are(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    observe: Observe,
    computers: Computers,
    spoil: Callable[[KeyFolder], object],
) -> None:
    good, bad = computers.robot("good"), computers.robot("bad")
    with serving(still, keys=computers.box) as server:
        ask(server.endpoint, spec, observe(), bad)
        spoil(computers.box)
        with pytest.raises(DeployError, match="does not trust"):
            ask(server.endpoint, spec, observe(), bad)
        ask(server.endpoint, spec, observe(), good)


def test_folder_opened_to_others_while_the_server_runs_lets_nobody_in(
    serving: Serving, still: Any, spec: RobotSpec, observe: Observe, computers: Computers
) -> None:
    robot = computers.robot()
    with serving(still, keys=computers.box) as server:
        computers.box.trusted_path.chmod(0o777)
        with pytest.raises(DeployError, match="does not trust"):
            ask(server.endpoint, spec, observe(), robot)


def test_one_key_takes_no_more_than_its_share_of_the_server(
    serving: Serving, still: Any, spec: RobotSpec, observe: Observe, computers: Computers
) -> None:
    greedy, other = computers.robot("greedy"), computers.robot("other")
    with serving(still, keys=computers.box) as server, ExitStack() as stack:
        for _ in range(MAX_OF_ONE_KEY):
            stack.enter_context(RemotePolicy(server.endpoint, spec, pin=Pin(greedy)))
        with pytest.raises(DeployError, match="robots with this key are connected already"):
            RemotePolicy(server.endpoint, spec, timeout_s=0.5, pin=Pin(greedy)).connect()
        ask(server.endpoint, spec, observe(), other)


def test_flood_of_silent_connections_disturbs_no_robot_and_is_gone_soon(
    serving: Serving, still: Any, spec: RobotSpec, observe: Observe, computers: Computers
) -> None:
    robot, late = computers.robot(), computers.robot("late")
    with (
        serving(still, keys=computers.box) as server,
        RemotePolicy(server.endpoint, spec, pin=Pin(robot)) as policy,
        ExitStack() as stack,
    ):
        address = ("127.0.0.1", int(server.endpoint.rpartition(":")[2]))
        flood = []
        for count in range(200):
            flood.append(stack.enter_context(socket.create_connection(address, 10.0)))
            if count % 10 == 0:
                policy.predict(observe(time=float(count)))
        ask(server.endpoint, spec, observe(time=1e3), late)
        for one in flood:
            while one.recv(100):  # the server's own greeting; then it ends, or this times out
                pass
        policy.predict(observe(time=2e3))
        assert policy.num_welcomes == 1


class Served:
    """A socket on one line behind a gate that a thread answers."""

    def __init__(self, folder: KeyFolder, kind: int, line: Line) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.gate = Gate(self._context, folder)
        self.gate.open()
        self.socket = make_socket(self._context, kind)
        self.gate.protect(self.socket, line)
        self.endpoint = bind(self.socket, "tcp://127.0.0.1:*", has_keys=True)
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        while not self.stop.is_set():
            self.gate.socket.poll(10)
            self.gate.answer()

    def close(self) -> None:
        self.stop.set()
        self._thread.join()
        self._context.destroy(linger=0)


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    open_: list[Served] = []

    def make(*arguments: Any) -> Served:
        open_.append(Served(*arguments))
        return open_[-1]

    yield make
    for one in open_:
        one.close()


@pytest.mark.parametrize("role", ["viewer", "policy", "operator", None])
@pytest.mark.parametrize("line", MAY_USE)
def test_role_decides_which_line_a_key_gets_through_to(
    served: Callable[..., Served], computers: Computers, role: Any, line: Line
) -> None:
    box = served(computers.box, zmq.ROUTER, line)
    friend = computers.robot("friend", next(iter(MAY_USE[line])))
    peers = [Peer(box.endpoint, Pin(computers.robot("tried", role)))]
    peers[0].socket.send(b"move")
    heard = [b"move"] if role in MAY_USE[line] else []
    if heard:
        assert box.socket.poll(10_000)
        assert box.socket.recv_multipart()[1:] == heard
    peers.append(Peer(box.endpoint, Pin(friend)))
    peers[1].socket.send(b"end")
    assert box.socket.poll(10_000)
    assert box.socket.recv_multipart()[1:] == [b"end"]  # and nothing before it
    for peer in peers:
        peer.close()


def test_viewer_sees_telemetry_and_is_never_heard(
    served: Callable[..., Served], computers: Computers
) -> None:
    box = served(computers.box, zmq.PUB, "telemetry")
    viewer = Pin(computers.robot("screen", "viewer"))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    screen = make_socket(context, zmq.SUB)
    screen.setsockopt(zmq.SUBSCRIBE, b"")
    viewer.protect(screen)
    screen.connect(box.endpoint)
    deadline = time.monotonic() + 10.0
    while not screen.poll(5) and time.monotonic() < deadline:
        box.socket.send(b"joints")
    assert screen.recv() == b"joints"
    with pytest.raises(zmq.ZMQError):
        screen.send(b"move")  # a subscriber has no way to
    context.destroy(linger=0)


def test_without_a_gate_no_key_gets_through(computers: Computers, spec: RobotSpec) -> None:
    keys = computers.robot()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    gate = Gate(context, computers.box)
    gate.open()
    router = make_socket(context, zmq.ROUTER)
    gate.protect(router, "policy")
    gate.close()
    endpoint = bind(router, "tcp://127.0.0.1:*", has_keys=True)
    with pytest.raises(DeployError):
        RemotePolicy(endpoint, spec, timeout_s=0.3, pin=Pin(keys)).connect()
    assert not router.poll(0)
    context.destroy(linger=0)


def test_what_is_logged_names_keys_and_holds_no_secret(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    observe: Observe,
    computers: Computers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    robot, stranger = computers.robot(), computers.robot("stranger", None)
    with serving(still, keys=computers.box) as server:
        ask(server.endpoint, spec, observe(), robot)
        with pytest.raises(DeployError):
            ask(server.endpoint, spec, observe(), stranger)
    assert "arm-1 connected to the policy line" in caplog.text
    assert "turned away an unknown key" in caplog.text
    for folder in (computers.box, robot, stranger):
        assert folder.own().secret not in caplog.text
