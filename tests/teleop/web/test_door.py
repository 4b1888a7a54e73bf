"""Laws of who may come to the panel: our own page here, elsewhere HTTPS and a code."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
from tests.teleop.web.conftest import Show
from tests.teleop.web.wire import Wire

from demoloop.teleop import TeleopError
from demoloop.teleop.web.certificate import own_certificate
from demoloop.teleop.web.door import TOKEN_S, Door
from demoloop.teleop.web.panel import Panel
from demoloop.teleop.web.where import Where

OTHER = "127.0.0.2"  # an address of this machine that is not 127.0.0.1


def ask(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Returns status, headers and text; redirections are not followed, certificates not known."""

    async def get() -> tuple[int, dict[str, str], str]:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, headers=headers, allow_redirects=False, ssl=False) as response,
        ):
            return response.status, dict(response.headers), await response.text()

    return asyncio.run(get())


@pytest.fixture(autouse=True)
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_our_own_page_is_served_with_everything_from_here(show: Show) -> None:
    status, headers, text = ask(show.address)
    assert status == 200 and "<html" in text
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("", {"Host": "evil.example"}, 403),
        ("static/../panel.py", {}, 404),
        ("static/%2e%2e/panel.py", {}, 404),
        ("thumb/1.jpg", {}, 404),
        ("thumb/99999999999999999999.jpg", {}, 404),
        ("invite.svg", {}, 404),
        ("nothing", {}, 404),
    ],
)
def test_what_is_not_ours_is_refused(
    show: Show, path: str, headers: dict[str, str], status: int
) -> None:
    got, _, text = ask(show.address + path, **headers)
    assert got == status
    assert "error" in text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", ""])
def test_a_page_of_another_origin_gets_no_socket(show: Show, origin: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        Wire(show.address, origin=origin).__enter__()
    assert refused.value.status == 403


def test_another_machine_comes_by_https_with_a_code_that_works_once() -> None:
    with Show(host=OTHER) as show:
        at = show.panel.at
        assert at.invite is not None
        url = at.invite.url
        base = url.partition("?")[0]
        assert base.startswith(f"https://{OTHER}:")
        for wrong in ("", "?token=", "?token=wrong", "static/main.js", "ws", "invite.svg"):
            assert ask(base + wrong)[0] == 403
        with pytest.raises(aiohttp.ClientError):
            ask(base.replace("https", "http"))
        status, headers, _ = ask(url)
        assert (status, headers["Location"]) == (303, "/")  # and the code is off the screen
        cookie = headers["Set-Cookie"]
        assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite"))
        assert ask(url)[0] == 403  # once
        mine = cookie.partition(";")[0]
        assert ask(base, Cookie=mine)[0] == 200
        assert ask(base, Cookie=mine[:-1] + ("A" if mine[-1] != "A" else "B"))[0] == 403
        assert ask(base, Cookie=mine, Host="evil.example")[0] == 403
        assert at.invite.url != url  # the next person gets another


def test_nobody_else_is_listened_to_unless_it_is_asked_for(show: Show) -> None:
    assert show.panel.at.invite is None
    port = show.address.rstrip("/").rpartition(":")[2]
    with pytest.raises(aiohttp.ClientConnectorError):
        ask(f"http://{OTHER}:{port}/")


def test_a_token_is_good_for_ten_minutes_and_one_person() -> None:
    now = [0.0]
    door = Door(lambda: now[0])
    old, other = door.issue(), door.issue()
    session = door.redeem(other)
    assert session is not None and door.knows(session)
    assert door.redeem(other) is None
    assert not door.knows("") and not door.knows(other)
    now[0] = TOKEN_S + 1
    assert door.redeem(old) is None


def test_the_certificate_is_for_the_address_stays_and_keeps_its_key_to_itself(
    tmp_path: Path,
) -> None:
    first = own_certificate(OTHER, tmp_path)
    assert own_certificate(OTHER, tmp_path).fingerprint == first.fingerprint
    assert own_certificate("::1", tmp_path).fingerprint != first.fingerprint
    assert first.key.stat().st_mode & 0o077 == 0
    context = ssl.create_default_context(cafile=str(first.file))
    assert context.cert_store_stats()["x509"] == 1


@pytest.mark.parametrize("host", ["nowhere", "localhost", "192.0.2.1", "0.0.0.0", "127.0.0.1"])
def test_an_address_that_is_not_ours_is_refused_in_a_sentence(show: Show, host: str) -> None:
    panel = Panel(show.session, show.inputs, Where("record", host=host))
    with pytest.raises(TeleopError, match=host.replace(".", r"\.")), panel:
        pass
