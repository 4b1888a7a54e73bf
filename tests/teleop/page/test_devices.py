"""What a person does reaches the server, from every device, and stops when they look away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

Strike = Callable[..., None]
MIDDLE = (
    "(r => [r.x + r.width / 2, r.y + r.height / 2])"
    "(document.querySelector({!r}).getBoundingClientRect())"
)


def held(*codes: str) -> Callable[[dict[str, Any]], bool]:
    return lambda m: m.get("type") == "input" and set(m["keyboard"]["held"]) == set(codes)


def hold(page: Any, selector: str, moves: tuple[tuple[int, int], ...] = ()) -> tuple[float, float]:
    """Presses the pointer on an element, and drags it; returns where it ended."""
    x, y = page.js(MIDDLE.format(selector))
    page.send(
        "Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1
    )
    for right, down in moves:
        x, y = x + right, y + down
        page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
    return x, y


def let_go(page: Any, at: tuple[float, float]) -> None:
    page.send(
        "Input.dispatchMouseEvent",
        type="mouseReleased",
        x=at[0],
        y=at[1],
        button="left",
        clickCount=1,
    )


def test_held_keys_are_said_on_change_and_again_and_again(
    page: Any, scene: Any, strike: Strike
) -> None:
    strike("KeyW", "down")
    first = scene.wait(held("KeyW"))
    strike("KeyD", "down")
    scene.wait(held("KeyW", "KeyD"))
    since = len(scene.heard)
    scene.wait(lambda m: held("KeyW", "KeyD")(m) and m["seq"] > first["seq"] + 4, since)
    strike("KeyW", "up")
    scene.wait(held("KeyD"), since)
    strike("KeyD", "up")
    scene.wait(held(), since)
    seqs = [m["seq"] for m in scene.heard if m.get("type") == "input"]
    assert seqs == sorted(set(seqs))


@pytest.mark.parametrize("how", ["blur", "hidden", "gone"])
def test_looking_away_releases_at_once(page: Any, scene: Any, strike: Strike, how: str) -> None:
    strike("KeyW", "down")
    scene.wait(held("KeyW"))
    since = len(scene.heard)
    if how == "blur":
        page.js("window.dispatchEvent(new Event('blur'))")
    elif how == "hidden":
        page.js(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    else:
        page.open("about:blank")
        scene.wait_until(lambda: not scene.pages)  # its end is heard, and says the same
        return
    scene.wait(lambda m: m.get("type") == "command" and m["name"] == "release", since)
    released = scene.wait(held(), since)
    if how == "blur":  # the page goes on speaking, and the finger is still on the key
        scene.wait(lambda m: m.get("seq", 0) > released["seq"] + 2)
    strike("KeyW", "up")
    after = [m for m in scene.heard[since:] if m.get("seq", 0) >= released["seq"]]
    assert not any(m["keyboard"]["held"] for m in after)


def test_a_key_in_a_field_moves_nothing(page: Any, scene: Any, strike: Strike) -> None:
    page.click("#task")
    since = len(scene.heard)
    strike("KeyW")
    strike("Space")
    page.js("document.querySelector('#task').value = 'stack the cubes'")
    page.js("document.querySelector('#task').dispatchEvent(new Event('change'))")
    scene.wait(lambda m: m == {"type": "task", "text": "stack the cubes"}, since)
    scene.wait(lambda m: m.get("type") == "input", since)
    assert not any(m["keyboard"]["held"] for m in scene.heard[since:] if m["type"] == "input")
    assert scene.commands() == []


def test_escape_leaves_a_field_while_all_is_still_and_stops_whatever_moves(
    page: Any, scene: Any, strike: Strike
) -> None:
    page.click("#task")
    strike("Escape")
    assert page.wait("document.activeElement === document.body")
    assert scene.commands() == []
    scene.phase("recording")
    page.wait("document.body.dataset.phase === 'recording'")
    page.click("#task")
    strike("Escape")
    scene.wait(lambda m: m.get("name") == "estop")


def test_sticks_are_sent_and_buttons_command(page: Any, scene: Any) -> None:
    page.js(
        "window.pad = {connected: true, axes: [0, -0.8, 0, 0], "
        "buttons: Array.from({length: 17}, () => ({value: 0}))}"
    )
    said = scene.wait(lambda m: m.get("gamepad") is not None)
    assert said["gamepad"]["axes"] == [0, -0.8, 0, 0]
    assert len(said["gamepad"]["buttons"]) == 17
    page.js("window.pad.buttons[9].value = 1")
    scene.wait(lambda m: m.get("name") == "start")
    scene.phase("recording")
    page.wait("document.body.dataset.phase === 'recording'")
    scene.wait(lambda m: m.get("type") == "input", len(scene.heard))
    assert scene.commands() == ["start"]  # held down from before it means nothing anew
    page.js("window.pad.buttons[9].value = 0")
    scene.wait(lambda m: m.get("gamepad", {}).get("buttons", [1] * 10)[9] == 0, len(scene.heard))
    page.js("window.pad.buttons[9].value = 1")
    scene.wait(lambda m: m.get("name") == "stop")
    page.js("window.dispatchEvent(new Event('blur'))")
    since = [m for m in scene.heard if m.get("type") == "input"][-1]["seq"]
    scene.wait(lambda m: m.get("type") == "input" and m["seq"] >= since)
    page.js("window.pad = null")


def test_a_thumb_on_the_phones_field_drags_and_letting_go_is_said(page: Any, scene: Any) -> None:
    scene.tell(agent="phone")
    page.wait("document.body.dataset.agent === 'phone'")
    end = hold(page, "#field", ((20, 0), (10, -30)))
    said = scene.wait(lambda m: m.get("phone", {}).get("drag") == [30, -30])
    assert said["phone"]["is_held"] and said["phone"]["touch"] == 1
    assert said["phone"]["tilt"] is None
    since = len(scene.heard)
    let_go(page, end)
    scene.wait(lambda m: "phone" in m and not m["phone"]["is_held"], since)
    let_go(page, hold(page, "#field"))
    scene.wait(lambda m: "phone" in m and m["phone"]["touch"] == 2)


def test_the_tilt_counts_while_its_button_is_held(page: Any, scene: Any) -> None:
    scene.tell(agent="phone")
    page.wait("document.body.dataset.agent === 'phone'")
    end = hold(page, "#tilt")
    page.send("DeviceOrientation.setDeviceOrientationOverride", alpha=10, beta=25, gamma=-5)
    said = scene.wait(lambda m: (m.get("phone") or {}).get("tilt") is not None)
    assert said["phone"]["tilt"] == pytest.approx([25, -5, 10], abs=1e-3)
    assert said["phone"]["is_held"]
    since = len(scene.heard)
    let_go(page, end)
    free = scene.wait(lambda m: "phone" in m and not m["phone"]["is_held"], since)
    assert free["phone"]["tilt"] is None
    page.send("DeviceOrientation.clearDeviceOrientationOverride")


def test_the_gripper_says_nothing_until_its_slider_is_moved(page: Any, scene: Any) -> None:
    scene.tell(agent="phone")
    page.wait("document.body.dataset.agent === 'phone'")
    assert page.wait("document.querySelector('#opening').value === '0.5'")  # where the gripper is
    let_go(page, hold(page, "#field"))
    said = scene.wait(lambda m: "phone" in m)
    assert said["phone"]["opening"] is None
    page.js(
        "(e => { e.value = 0.2; e.dispatchEvent(new Event('input')); })"
        "(document.querySelector('#opening'))"
    )
    scene.wait(lambda m: m.get("phone", {}).get("opening") == 0.2)


def test_the_camera_is_sent_as_it_sees_and_mirrored_only_for_the_eye(page: Any, scene: Any) -> None:
    scene.tell(agent="hand")
    page.wait("document.body.dataset.agent === 'hand'")
    page.click("#webcam-start")
    third = scene.wait(lambda m: "jpeg" in m and m["seq"] >= 3)
    picture = cv2.imdecode(np.frombuffer(third["jpeg"], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    assert picture.shape == (360, 640)
    assert picture[:, :300].mean() < 30 and picture[:, 340:].mean() > 225
    assert "matrix(-1" in page.js("getComputedStyle(document.querySelector('.flipped')).transform")
    landmarks = [[0.1 + 0.01 * i, 0.2] for i in range(21)]
    said = {"name": "thumb_up", "progress": 0.5, "score": 0.9, "hint": "closer", "at": None}
    scene.say(type="gesture", landmarks=landmarks, **said)
    page.wait("document.querySelectorAll('.landmarks circle').length === 21")
    ring = "document.querySelector('.ring').getAttribute('aria-valuenow')"
    assert page.js(ring) == "50"
    assert page.js("document.querySelector('.landmarks circle').getAttribute('cx')") == "64"
    assert page.js("document.querySelector('#gesture-hint').textContent") == "closer"
    scene.tell(agent="keyboard")  # another device: the camera's light goes out
    page.wait("document.querySelector('video').srcObject === null")


@pytest.mark.parametrize(
    ("name", "part"),
    [("NotAllowedError", "allow"), ("NotFoundError", "no camera"), ("NotReadableError", "Another")],
)
def test_a_camera_that_cannot_be_had_is_said_in_a_sentence(
    page: Any, scene: Any, name: str, part: str
) -> None:
    scene.tell(agent="hand")
    page.wait("document.body.dataset.agent === 'hand'")
    page.js(f"window.refusal = {name!r}")
    page.click("#webcam-start")
    assert part in page.wait("document.querySelector('#webcam-message').textContent")
    page.js("window.refusal = ''")
    page.click("#webcam-start")
    page.wait("document.querySelector('#webcam-message').textContent === ''")
