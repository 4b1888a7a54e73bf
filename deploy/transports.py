"""The endpoint says which transport it is: one line moves a part to another host.

ZeroMQ is imported with the endpoint that needs it: a thread of its I/O has no place in the process
that owns an arm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from demoloop.deploy.channel import Connection, Listener
from demoloop.deploy.local import LocalConnection, LocalListener

if TYPE_CHECKING:
    from demoloop.deploy.auth import Line, Pin
    from demoloop.deploy.keys import KeyFolder


def open_connection(endpoint: str, pin: Pin | None, line: Line = "policy") -> Connection:
    """Returns the end that connects; raises DeployError when `endpoint` is none.

    Args:
        endpoint: `unix:///FOLDER/NAME.sock`, or what ZeroMQ understands.
        pin: Whom to obey; not asked on a Unix socket, where the kernel says whose the server is.
        line: What it is for, which decides whom the other side lets in.
    """
    if endpoint.startswith("unix:"):
        return LocalConnection(endpoint)
    from demoloop.deploy.zmq_channel import ZmqConnection

    return ZmqConnection(endpoint, pin, line)


def open_listener(endpoint: str, keys: KeyFolder | None, line: Line = "policy") -> Listener:
    """Returns a server's end, bound; raises DeployError when it cannot be.

    Args:
        endpoint: As for `open_connection`; port * takes a free one.
        keys: Who may connect; not asked on a Unix socket, where the same user may.
        line: What it is for: only keys with a role that it takes get in.
    """
    if endpoint.startswith("unix:"):
        return LocalListener(endpoint)
    from demoloop.deploy.zmq_channel import ZmqListener

    return ZmqListener(endpoint, keys, line)
