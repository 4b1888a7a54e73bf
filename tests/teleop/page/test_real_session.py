"""The real page before the real panel and session: pointing, what goes wrong, who may come."""

from __future__ import annotations

import math
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.teleop.bench import SPEC, Stick
from tests.teleop.web.conftest import PLAN, Show

from demoloop.cli.benches import SupervisedBench
from demoloop.cli.robots import Opened
from demoloop.datasets import DatasetWriter, open_dataset
from demoloop.robot import CameraSpec, Marks, Observation, RobotError
from demoloop.robot.safety import Limits, Supervised

pytestmark = pytest.mark.realtime

Look = Callable[[str], Any]
Strike = Callable[..., None]
PHASE = "document.body.dataset.phase === '{}'"
SAID = "document.querySelector('#sentence').textContent"
OTHER = "127.0.0.2"  # an address of this machine that is not 127.0.0.1
# Patient with a busy machine; these are no laws of the supervisor.
PATIENT = Limits(heartbeat_s=5.0, camera_age_s=math.inf, following_rad=math.inf)
TWO_CAMERAS = replace(SPEC, cameras=(*SPEC.cameras, CameraSpec("wrist", 32, 48)))


class Seeing(Stick):
    """The stick, seen by two cameras."""

    spec = TWO_CAMERAS

    def observe(self) -> Observation:
        seen = super().observe()
        images = {**seen.images, "wrist": 255 - seen.images["front"]}
        return replace(seen, images=images, image_times=dict.fromkeys(images, seen.time))


@contextmanager
def desk(root: Path, marks: Marks | None = None) -> Iterator[tuple[Show, Stick]]:
    """A supervised arm on a desk, where a person says what is meant, and its panel."""
    stick = Seeing(time.monotonic) if marks is not None else Stick(time.monotonic)
    with Supervised(stick, limits=PATIENT) as arm:
        arm.arm()
        with Show(root, bench=SupervisedBench(Opened(arm, arm), marks)) as show:
            yield show, stick


def click(page: Any, selector: str, x: float, y: float) -> None:
    """Clicks a place of an element, as shares of its width and height."""
    place = page.js(
        f"(r => [r.x + {x} * r.width, r.y + {y} * r.height])"
        f"(document.querySelector({selector!r}).getBoundingClientRect())"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.send(
            "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left",
            clickCount=1,
        )  # fmt: skip


def reach(page: Any, phase: str) -> None:
    page.wait(PHASE.format(phase))


def test_a_click_on_the_picture_is_the_goal_of_the_episode(
    look: Look, strike: Strike, tmp_path: Path
) -> None:
    marks = Marks(("object", "place"), "wrist")  # the second of the cameras
    with desk(tmp_path / "data", marks) as (show, _), look(show.address) as page:
        reach(page, "ready")
        strike("Space")  # nobody has pointed yet
        assert "mark object and place" in page.wait(f"{SAID}.includes('pointed') && {SAID}")
        page.wait("document.querySelector('.surface')")
        name = "document.querySelector('.surface').parentElement.textContent"
        assert "wrist" in page.js(name)
        click(page, ".surface", 0.25, 0.75)
        page.wait("document.querySelector('.mark.place').ariaChecked === 'true'")
        click(page, ".surface", 0.5, 0.125)
        page.wait("!document.querySelector('.point.place').hidden")
        # A point in the picture of another camera means something else, and is refused.
        page.js(
            "new Promise((done) => { const send = WebSocket.prototype.send;"
            "WebSocket.prototype.send = function (what) { send.call(this, typeof what === 'string'"
            "? what.replace('\"wrist\"', '\"front\"') : what); }; window.mend = () => {"
            "WebSocket.prototype.send = send; }; done(); })"
        )
        click(page, ".surface", 0.9, 0.9)
        assert page.wait(f"{SAID}.startsWith('point in') && {SAID}") == (
            "point in the picture of wrist, not of 'front'"
        )
        page.js("window.mend()")
        strike("Space")
        reach(page, "recording")
        page.wait("Number(document.querySelector('#clock').textContent.split('· ')[1]) > 5")
        strike("Space")
        reach(page, "review")
        strike("Enter")
        reach(page, "ready")
    episode = open_dataset(tmp_path / "data").episode(0)
    assert episode.goal is not None
    np.testing.assert_allclose(episode.goal, [[0.25, 0.75], [0.5, 0.125]], atol=0.01)


def test_an_arm_that_fails_while_it_is_led_is_a_sentence_and_what_was_shown_is_kept(
    look: Look, strike: Strike, tmp_path: Path
) -> None:
    def fail(count: int) -> None:
        if count == 15:
            stick.gone = "shoulder (motor 2) does not answer; check its cable"
            raise RobotError(stick.gone)

    with desk(tmp_path / "data") as (show, stick), look(show.address) as page:
        reach(page, "ready")
        strike("Space")
        reach(page, "recording")
        stick.on_act = fail
        stick.sent.clear()
        strike("KeyW", "down")
        reach(page, "fault")
        assert "shoulder (motor 2) does not answer" in page.js(SAID)
        assert len(page.js(SAID).splitlines()) == 1
        strike("KeyW", "up")
        strike("KeyW", "down")  # a person who pushes on
        page.js("new Promise((done) => setTimeout(done, 150))")
        assert len(stick.sent) < 15
        strike("KeyW", "up")
        stick.gone, stick.on_act = "", lambda count: None
        strike("KeyR")
        reach(page, "review")
        strike("Enter")
        reach(page, "ready")
    assert len(open_dataset(tmp_path / "data").episode(0)) >= 10


def test_a_full_disk_is_a_sentence_and_what_was_written_is_kept(
    look: Look, strike: Strike, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Show(root) as show, look(show.address) as page:
            reach(page, "ready")
            strike("Space")
            reach(page, "recording")
            strike("KeyW", "down")
            page.wait("Number(document.querySelector('#clock').textContent.split('· ')[1]) >= 40")
            (log,) = (root / "demoloop" / "open").glob("*/steps.log")
            resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, old[1]))
            page.wait(f"{SAID}.includes('disk is full')")
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            strike("KeyW", "up")
            sent = show.num_acts
            page.wait("document.querySelectorAll('.episode.kept').length === 1")
            assert len(page.js(SAID).splitlines()) == 1
            assert show.num_acts <= sent + 1  # and the arm has stopped
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    with DatasetWriter(root, SPEC):  # puts together what there was no room for
        pass
    assert len(open_dataset(root).episode(0)) >= 20


def test_a_device_that_is_not_there_is_a_sentence_and_the_one_before_stays(
    look: Look, strike: Strike
) -> None:
    plan = replace(PLAN, agents=("keyboard", "hand"))
    with Show(plan=plan) as show, look(show.address) as page:
        reach(page, "ready")
        page.js(
            "(e => { e.value = 'hand'; e.dispatchEvent(new Event('change')); })"
            "(document.querySelector('#agent'))"
        )
        said = page.wait(f"{SAID}.includes('tracker') && {SAID}")
        assert "is not here" in said and "demoloop hand" in said
        assert page.js("document.body.dataset.agent") == "keyboard"
        assert show.num_acts == 0
        strike("Space")  # and it goes on with the keys
        reach(page, "recording")


def test_a_second_page_watches_says_so_and_takes_a_wheel_that_is_free(
    look: Look, strike: Strike
) -> None:
    with Show() as show, show.page() as first:
        first.until_phase("ready")
        with look(show.address) as page:
            page.wait("document.querySelector('#watching').checkVisibility()")
            strike("KeyW", "down")
            strike("Space")
            first.until(lambda it: it.state["session"]["watchers"] == 1, "a watcher")
            first.until(lambda it, n=first.num_pictures: it.num_pictures > n + 5, "pictures")
            assert (first.phase, show.num_acts) == ("ready", 0)
            strike("KeyW", "up")
            first.__exit__(None, None, None)
            page.wait("document.querySelector('#drive').checkVisibility()")
            page.click("#drive")
            page.wait("document.body.dataset.role === 'driver'")
            strike("Space")
            reach(page, "recording")
        first.__enter__()


def test_the_code_that_the_page_shows_lets_one_browser_in_and_no_second(
    look: Look, strike: Strike, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Show(host=OTHER) as show:
        with look(show.address) as page:
            page.click("#invite-open")
            page.wait("document.querySelector('#invite').open")
            page.wait("document.querySelector('#invite-code').naturalWidth > 100")
            url = page.js("document.querySelector('#invite-url').textContent")
            assert url.startswith(f"https://{OTHER}:") and "token=" in url
        try:
            # As a person does who has compared the fingerprint.
            page.send("Security.setIgnoreCertificateErrors", ignore=True)
            base = url.partition("?")[0]
            page.open(base)  # without a code
            page.wait("document.body?.textContent.includes('new code')")
            with look(url) as phone:
                reach(phone, "ready")
                assert phone.js("location.href") == base  # the code is off the screen
                assert phone.js("isSecureContext")  # so it may be asked for camera and tilt
                strike("Space")
                reach(phone, "recording")
                again = phone.js(f"fetch({url!r}, {{redirect: 'manual'}}).then((r) => r.status)")
                assert again == 200  # who is in stays in, and has no need of a code
            page.send("Network.clearBrowserCookies")  # another phone, with the same code
            page.open(url)
            page.wait("document.body?.textContent.includes('new code')")
        finally:
            page.send("Network.clearBrowserCookies")
            page.send("Security.setIgnoreCertificateErrors", ignore=False)
            page.open("about:blank")
