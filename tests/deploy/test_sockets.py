"""Where a server may listen, where a robot may ask, and what each is told when it may not."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import zmq

from demoloop.deploy import DeployError
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.server import PolicyServer
from demoloop.deploy.sockets import make_socket
from demoloop.deploy.wire import Fault, decode
from demoloop.robot import Observation, RobotSpec

Serving = Callable[..., AbstractContextManager[PolicyServer]]


def test_port_in_use_is_named(serving: Serving, still: Any) -> None:
    with (
        serving(still) as server,
        pytest.raises(DeployError, match=r"tcp://127\.0\.0\.1:\d+ is in use already; stop"),
        serving(still, server.endpoint),
    ):
        pass


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://192.168.1.7:5555", "tcp://robot.example:5555"],
)
def test_other_computers_are_refused_while_nobody_is_authenticated(
    still: Any, spec: RobotSpec, endpoint: str
) -> None:
    with pytest.raises(DeployError, match="reachable from other computers"):
        PolicyServer(still, endpoint).__enter__()
    with pytest.raises(DeployError, match="reachable from other computers"):
        RemotePolicy(endpoint, spec)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "udp://a:1", ""]
)
def test_what_is_no_endpoint_is_answered_with_one(
    still: Any, spec: RobotSpec, endpoint: str
) -> None:
    with pytest.raises(DeployError, match=r"write it like tcp://127\.0\.0\.1:5555"):
        PolicyServer(still, endpoint).__enter__()
    with pytest.raises(DeployError, match=r"write it like tcp://127\.0\.0\.1:5555"):
        RemotePolicy(endpoint, spec)


def test_silence_is_answered_with_the_endpoint_and_what_to_start(spec: RobotSpec) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # accepts, and never says a word
        endpoint = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(DeployError, match=rf"{endpoint} .*`demoloop serve POLICY\.onnx --bind"):
            RemotePolicy(endpoint, spec, timeout_s=0.3).connect()


@pytest.fixture
def vandal() -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    rude = make_socket(context, zmq.DEALER)
    rude.setsockopt(zmq.IMMEDIATE, 0)
    rude.setsockopt(zmq.SNDTIMEO, 10_000)
    yield rude
    context.destroy(linger=0)


def test_garbage_disturbs_nobody_else(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    observe: Callable[..., Observation],
    vandal: zmq.Socket[bytes],
) -> None:
    rng = random.Random(0)
    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        vandal.connect(server.endpoint)
        host, port = server.endpoint.removeprefix("tcp://").split(":")
        for turn in range(30):
            for _ in range(10):
                parts = [rng.randbytes(rng.choice([0, 1, 36, 5000])) for _ in range(4)]
                vandal.send_multipart(parts[: rng.randint(1, 4)])
            with socket.create_connection((host, int(port))) as plain:
                plain.sendall(b"GET / HTTP/1.1\r\n\r\n" if turn % 2 else rng.randbytes(300))
            assert policy.predict(observe(time=float(turn))).time == turn
            while vandal.poll(0):
                assert isinstance(decode(vandal.recv_multipart()).body, Fault)
        assert server.num_robots == 1
