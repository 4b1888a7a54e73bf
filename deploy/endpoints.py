"""What an endpoint may be; without ZeroMQ, so that the loop that owns an arm need not load it."""

from __future__ import annotations

import ipaddress

from demoloop.deploy.errors import DeployError
from demoloop.deploy.local_socket import path_of

HEARTBEAT_S = 0.05  # of the server, and of a robot that has nothing to send


def check_endpoint(
    endpoint: str, what: str, *, any_port: bool = False, has_keys: bool = False
) -> None:
    """Raises DeployError unless `endpoint` stays on this computer, or there are keys.

    Args:
        endpoint: As ZeroMQ writes it.
        what: Names the option it came from.
        any_port: Whether `*` is a port: whichever is free.
        has_keys: Whether both sides prove who they are.
    """
    transport, _, rest = endpoint.partition("://")
    host, _, port = rest.rpartition(":")
    if transport == "ipc" and rest:
        return
    if transport == "unix":
        path_of(endpoint, what)
        return
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    if transport != "tcp" or not host or not (is_port or (any_port and port == "*")):
        raise DeployError(f"{what} {endpoint!r} is no endpoint; write it like tcp://127.0.0.1:5555")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise DeployError(
            f"{what} {endpoint!r} is no endpoint; write an IPv6 address in brackets: "
            f"tcp://[{host}]:{port}"
        )
    if not has_keys and not _is_loopback(host):
        raise DeployError(
            f"{what} {endpoint!r} is reachable from other computers, and without keys whoever "
            "connects could move the arm; make keys on both with `demoloop keys generate NAME` "
            "and say --keys FOLDER, or stay on tcp://127.0.0.1:5555 with an SSH tunnel between them"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
