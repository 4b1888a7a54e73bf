"""Where a server may listen, where a robot may ask, and what each is told when it may not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from demoloop.deploy import DeployError
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.server import PolicyServer
from demoloop.robot import RobotSpec

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
