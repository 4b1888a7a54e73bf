"""A relay changes nothing, keeps nothing, waits for nobody, and hides no end of either side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.deploy.local.peers import look, next_letter

from demoloop.deploy import DeployError
from demoloop.deploy.auth import Pin
from demoloop.deploy.channel import Gone
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.local import LocalConnection, LocalListener
from demoloop.deploy.relay import Relay
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.server import PolicyServer
from demoloop.deploy.wire import Heartbeat, Message, decode
from demoloop.robot import Observation, RobotSpec

Serving = Callable[..., AbstractContextManager[PolicyServer]]
Observe = Callable[..., Observation]
Eventually = Callable[[Callable[[], object]], None]
TCP = "tcp://127.0.0.1:*"


@contextmanager
def relaying(bind: str, server: str, pin: Pin | None = None) -> Iterator[Relay]:
    """Runs a relay in a thread of this process."""
    stop = threading.Event()
    with Relay(bind, server, pin) as relay:
        thread = threading.Thread(target=relay.run, args=(stop,))
        thread.start()
        try:
            yield relay
        finally:
            stop.set()
            thread.join()


def pass_on(relay: Relay) -> None:
    """Lets in who is new, and passes on all there is."""
    for _ in range(3):
        relay.turn()


@pytest.mark.parametrize("near", ["unix", "tcp"])
@pytest.mark.parametrize("far", ["unix", "tcp"])
def test_answers_come_through_as_they_were(
    serving: Serving, still: Any, spec: RobotSpec, observe: Observe, tmp_path: Path,
    near: str, far: str,
) -> None:  # fmt: skip
    ends = {"tcp": TCP, "unix": f"unix://{tmp_path}/{{}}.sock"}
    with (
        serving(still, ends[far].format("server")) as server,
        relaying(ends[near].format("relay"), server.endpoint) as relay,
        RemotePolicy(relay.endpoint, spec) as policy,
    ):
        for time in range(1, 30):
            seen = observe(time=float(time), positions=(0.01 * time, 0.2, 0.3))
            chunk = policy.predict(seen)
            assert chunk.time == time
            np.testing.assert_allclose(chunk.actions[0, 0], 0.01 * time + still.offset, rtol=1e-6)
            np.testing.assert_array_equal(still.seen[-1].images["front"], seen.images["front"])
        assert policy.num_dropped == 0


def test_a_robot_goes_on_with_a_new_server(
    start_server: Callable[..., Any],
    policy_file: Path,
    spec: RobotSpec,
    make_steps: Callable[..., Any],
    tmp_path: Path,
) -> None:
    first = start_server(policy_file)
    with (
        relaying(f"unix://{tmp_path}/relay.sock", first.endpoint) as relay,
        RemotePolicy(relay.endpoint, spec) as policy,
    ):
        steps = make_steps(RemoteAgent(policy))
        steps.until("running")
        first.process.kill()
        first.process.wait(10)
        steps.until("holding", "no sign of life")
        start_server(policy_file, first.endpoint)
        steps.until("running")
        assert policy.num_welcomes == 2


def test_end_of_a_server_on_a_unix_socket_is_passed_on(tmp_path: Path) -> None:
    server = LocalListener(f"unix://{tmp_path}/server.sock")
    with Relay(f"unix://{tmp_path}/relay.sock", server.endpoint) as relay:
        robot = LocalConnection(relay.endpoint)
        robot.send(Message(Heartbeat()))
        pass_on(relay)
        assert next_letter(server) is not None
        server.close()
        pass_on(relay)
        with pytest.raises(Gone):
            robot.receive()


@pytest.mark.parametrize("bind", [TCP, "unix://{}/relay.sock"])
def test_end_of_a_robot_is_passed_on(
    serving: Serving, still: Any, spec: RobotSpec, eventually: Eventually, tmp_path: Path, bind: str
) -> None:
    with (
        serving(still) as server,
        relaying(bind.format(tmp_path), server.endpoint) as relay,
    ):
        policy = RemotePolicy(relay.endpoint, spec)
        policy.connect()
        assert server.num_robots == 1
        policy._session = 0  # so that it leaves without a goodbye, as one that is killed
        policy.close()
        eventually(lambda: server.num_robots == 0)


def test_end_of_the_relay_is_seen_on_both_sides(
    serving: Serving, still: Any, spec: RobotSpec, eventually: Eventually, tmp_path: Path
) -> None:
    with serving(still) as server:
        with relaying(f"unix://{tmp_path}/relay.sock", server.endpoint) as relay:
            policy = RemotePolicy(relay.endpoint, spec)
            policy.connect()
        policy.collect()
        assert policy.session == 0
        eventually(lambda: server.num_robots == 0)
        policy.close()


def test_only_the_newest_message_waits_for_a_server(tmp_path: Path, eventually: Eventually) -> None:
    endpoint = f"unix://{tmp_path}/server.sock"
    with Relay(f"unix://{tmp_path}/relay.sock", endpoint) as relay:
        robot = LocalConnection(relay.endpoint)
        for seq in range(1, 21):
            assert robot.send(look(seq, seq=seq))
            relay.turn()
        server = LocalListener(endpoint)
        letters = []

        def has_come() -> bool:
            relay.turn()
            server.wait(0.01)
            letters.append(server.receive())
            return letters[-1] is not None

        eventually(has_come)
        assert [decode(letter.parts).seq for letter in letters if letter is not None] == [20]
        assert next_letter(server) is None
        assert relay.num_dropped == 19
        server.close()


def test_a_robot_that_does_not_read_makes_nothing_pile_up(tmp_path: Path) -> None:
    server = LocalListener(f"unix://{tmp_path}/server.sock")
    with Relay(f"unix://{tmp_path}/relay.sock", server.endpoint) as relay:
        robot = LocalConnection(relay.endpoint)
        robot.send(Message(Heartbeat()))
        pass_on(relay)
        letter = next_letter(server)
        assert letter is not None
        for _ in range(5000):
            server.send(Message(Heartbeat()), letter.identity)
            relay.turn()
        assert relay.num_down + relay.num_dropped == 5000
        assert 0 < relay.num_down < 2000  # what the kernel takes for one socket
        # Nor does one that comes later have to wait for the first.
        other = LocalConnection(relay.endpoint)
        other.send(Message(Heartbeat(progress=7)))
        pass_on(relay)
        letter = next_letter(server)
        assert letter is not None and decode(letter.parts).body == Heartbeat(progress=7)
    server.close()


def test_an_idle_relay_sleeps(
    serving: Serving, still: Any, spec: RobotSpec, eventually: Eventually, tmp_path: Path
) -> None:
    with (
        serving(still) as server,
        relaying(f"unix://{tmp_path}/relay.sock", server.endpoint) as relay,
        RemotePolicy(relay.endpoint, spec) as policy,
    ):
        turns, turn = [], relay.turn

        def count() -> bool:
            turns.append(1)
            return turn()

        relay.turn = count  # type: ignore[method-assign]
        policy.collect()
        passed = relay.num_up + relay.num_down
        eventually(lambda: policy.collect() or relay.num_down + relay.num_up > passed + 40)
        # A turn that passes something on, one that finds nothing, one after each look for `stop`.
        assert len(turns) < 5 * 40


def test_one_who_is_turned_away_reads_why(
    serving: Serving, still: Any, spec: RobotSpec, tmp_path: Path
) -> None:
    box, arm = KeyFolder(tmp_path / "box"), KeyFolder(tmp_path / "arm")
    box.generate("box")
    arm.generate("arm")
    arm.trust(box.own().public, "box", "policy")
    with (
        serving(still, keys=box) as server,
        relaying(f"unix://{tmp_path}/relay.sock", server.endpoint, Pin(arm)) as relay,
        pytest.raises(DeployError, match=r"relay\.sock: .* does not trust this robot's key on"),
    ):
        RemotePolicy(relay.endpoint, spec).connect()


def test_what_is_no_message_is_not_passed_on(tmp_path: Path) -> None:
    server = LocalListener(f"unix://{tmp_path}/server.sock")
    with Relay(f"unix://{tmp_path}/relay.sock", server.endpoint) as relay:
        robot = LocalConnection(relay.endpoint)
        robot.send_parts([b"alone"])
        pass_on(relay)
        assert relay.num_dropped == 1
        assert next_letter(server) is None
    server.close()
