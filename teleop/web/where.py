"""Where a panel listens: on this machine, and if asked for also on one of its other addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from demoloop.teleop.errors import TeleopError
from demoloop.teleop.web.certificate import own_certificate
from demoloop.teleop.web.door import Door
from demoloop.teleop.web.guard import server_context
from demoloop.teleop.web.invite import Invite


@dataclass(frozen=True)
class Where:
    """Where a panel listens, what it is of, and where the recording goes."""

    verb: str
    port: int = 0
    """On 127.0.0.1; 0 takes a free one."""
    host: str = ""
    """An address of this machine for phones and other machines, by HTTPS; empty: none."""
    root: Path | None = None
    """Folder of the dataset; None: nothing is recorded."""


@dataclass(frozen=True)
class Addresses:
    """How a panel is reached."""

    address: str  # of the page, on this machine
    invite: Invite | None = None  # the way in for other machines; None: there is none
    fingerprint: str = ""  # of the certificate that those are shown


async def listen(runner: web.AppRunner, where: Where, door: Door) -> Addresses:
    """Listens; raises TeleopError when a port cannot be had, or the address is none."""
    await _start(web.TCPSite(runner, "127.0.0.1", where.port), "127.0.0.1", where.port)
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    if not where.host:
        return Addresses(address)
    certificate = own_certificate(where.host)
    context = server_context(str(certificate.file), str(certificate.key))
    site = web.TCPSite(runner, where.host, where.port, ssl_context=context)
    await _start(site, where.host, where.port)
    name = f"[{where.host}]" if ":" in where.host else where.host
    invite = Invite(door, f"https://{name}:{runner.addresses[1][1]}/")
    return Addresses(address, invite, certificate.fingerprint)


async def _start(site: web.TCPSite, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        raise TeleopError(
            f"port {port} of {host} cannot be had ({error.strerror}); name another by --port, or "
            "none to take a free one"
        ) from error
