"""Laws of the panel over real sockets: who drives, what stops, what holds up nothing."""

from __future__ import annotations

import json
import socket
import struct
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.teleop.bench import STEP
from tests.teleop.web.conftest import Show, recording, wait_until
from tests.teleop.web.wire import Wire

from demoloop.datasets import open_dataset
from demoloop.teleop.commands import WORDS
from demoloop.teleop.web.messages import Command


def test_a_session_is_led_by_its_page_from_start_to_finish(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with Show(root) as show, show.page() as page:
        with recording(page):
            page.press("KeyW")
            page.until(lambda it: it.header.get("step", 0) >= 10, "ten steps")
            page.send(type="note", text="well done")
            page.command("stop")
        state = page.until_phase("review")
        assert state["minutes_left"] > 1 and state["disk_free"] > 0
        page.until(lambda it: it.state["session"]["episodes"][0]["thumbnail"] != "", "thumbnail")
        page.command("success")
        page.until(lambda it: it.state["session"]["kept"] == 1, "an episode")
        page.command("finish")
        page.until_phase("finished")
    episode = open_dataset(root).episode(0)
    assert episode.success is True
    assert np.diff(episode.actions[:, 0]).max() > 0.9 * STEP
    assert "panel: note well done" in " ".join(what for _, what in episode.events)


def test_pictures_say_what_was_pressed_before_they_were_taken(show: Show) -> None:
    with show.page() as page, recording(page):
        before = page.header["joints"][0]
        seq = page.press("KeyW")
        page.until(lambda it: it.header["seq"] >= seq, "an answer")
        assert page.header["joints"][0] >= before
        page.until(lambda it: it.header["joints"][0] > before + 3 * STEP, "movement")
        assert page.header["engaged"]
        picture = cv2.imdecode(np.frombuffer(page.jpegs[0], np.uint8), cv2.IMREAD_COLOR)
        camera = page.header["cameras"][0]
        assert picture is not None and picture.shape == (camera["height"], camera["width"], 3) == (
            32,
            48,
            3,
        )


def test_the_first_page_drives_and_others_watch_until_it_has_left(show: Show) -> None:
    with show.page() as watcher_to_be:
        with show.page(beats=False) as first:
            watcher_to_be.until(lambda it: "hello" in it.state, "hello")
            first.until(lambda it: "hello" in it.state, "hello")
        # It is known by then who came first: the other one.
        assert watcher_to_be.state["hello"]["role"] == "driver"
        assert first.state["hello"]["role"] == "watcher"
        with show.page() as second:
            second.until(lambda it: it.phase == "ready", "ready")
            for name in ("start", "engage", "finish"):
                second.command(name)
            second.send(type="task", text="Steal.")
            second.send(type="drive")  # somebody drives already
            second.press("KeyW")
            watcher_to_be.until(lambda it: it.num_pictures > 20, "pictures")
            assert watcher_to_be.phase == "ready"
            assert watcher_to_be.state["session"]["task"] == "Push."
            assert show.num_acts == 0
            watcher_to_be.command("start")
            watcher_to_be.until_phase("recording")
            watcher_to_be.__exit__(None, None, None)
            second.until(lambda it: not it.state["session"]["has_driver"], "nobody drives")
            second.until_phase("review")
            second.send(type="drive")
            second.until(lambda it: it.state["hello"]["role"] == "driver", "drive")
            second.command("discard")
            second.until_phase("ready")
            watcher_to_be.__enter__()


def test_anybody_may_stop_the_robot_and_only_who_drives_lets_it_go_on(show: Show) -> None:
    with show.page() as driver, recording(driver), show.page() as watcher:
        watcher.command("estop")
        state = driver.until_phase("fault")
        assert state["problem"] == "stick stopped: stop on the panel"
        watcher.command("reset")
        sent = show.num_acts
        driver.press("KeyW")
        seen = driver.num_pictures
        driver.until(lambda it: it.num_pictures > seen + 20, "pictures")
        assert (show.num_acts, driver.phase) == (sent, "fault")
        driver.command("reset")
        driver.until_phase("review")


def test_a_page_that_is_closed_stops_the_arm_and_what_was_shown_waits(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with Show(root) as show:
        with show.page() as page, recording(page):
            page.send(type="agent", name="lever")  # not while it is recorded
            page.press("KeyW")
            page.until(lambda it: it.header["step"] > 25, "some steps")
        wait_until(lambda: show.session.phase == "review", "review")
        sent = show.num_acts
        with show.page() as again:  # the same person, who loaded the page anew
            again.until_phase("review")
            seen = again.num_pictures
            again.until(lambda it: it.num_pictures > seen + 10, "pictures")
            assert show.num_acts == sent
            again.command("keep")
            again.until(lambda it: it.state["session"]["kept"] == 1, "an episode")
    assert len(open_dataset(root).episode(0)) == sent


def test_keys_of_a_page_that_falls_silent_are_let_go(show: Show) -> None:
    with show.page() as page, recording(page):
        page.press("KeyW")
        page.until(lambda it: it.header["joints"][0] > 0.52, "movement")
        end = time.monotonic() + 30
        page.beats = False  # its script hangs, or its link is lost, and nothing is closed yet
        with show.page() as watcher:
            last = -1.0
            still = 0
            while still < 10:
                seen = watcher.num_pictures
                watcher.until(lambda it, seen=seen: it.num_pictures > seen, "a picture")
                page.hear()  # its link lives: it answers pings, and says nothing
                here = watcher.header["joints"][0]
                still = still + 1 if here == last else 0
                last = here
            assert watcher.phase == "recording"
            assert last < 0.52 + 2.0  # and did not go on to the end of its way
            # Whatever moves the arm, a page that says nothing does not lead it.
            while watcher.header["engaged"]:
                seen = watcher.num_pictures
                watcher.until(lambda it, seen=seen: it.num_pictures > seen, "a picture")
                page.hear()
                assert time.monotonic() < end, "it is never released"
            assert watcher.phase == "recording"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "null",
        "[]",
        "{}",
        '{"type": "input"}',
        '{"type": "input", "seq": -1}',
        '{"type": "input", "seq": 1, "keyboard": {"held": [1]}}',
        '{"type": "input", "seq": 1, "gamepad": {"axes": [1e9], "buttons": []}}',
        '{"type": "input", "seq": 1, "phone": {"is_held": true, "drag": [NaN, 0]}}',
        '{"type": "command", "name": "explode"}',
        '{"type": "note", "text": "' + "x" * 501 + '"}',
        '{"type": "mark", "name": "object", "camera": "front", "x": 1.5, "y": 0}',
        '{"type": "input", "seq": 1, "keyboard": ' + "[" * 10000 + "}",
    ],
)  # fmt: skip
def test_a_message_of_no_page_of_ours_gets_a_sentence_and_is_hung_up_on(
    show: Show, text: str
) -> None:
    with show.page(beats=False) as page:
        page.send_text(text)
        assert page.until_closed() == 1008
        assert len(page.state["error"]["sentence"].splitlines()) == 1
    with show.page() as page:
        page.until_phase("ready")
    assert show.num_acts == 0


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0", b"\xff\xff\xff\xff", b"\2\0\0\0{}", struct.pack("<I", 9) + b"{" * 20]
)
def test_a_picture_of_no_page_of_ours_is_hung_up_on(show: Show, data: bytes) -> None:
    with show.page(beats=False) as page:
        page.send_bytes(data)
        assert page.until_closed() == 1008


def test_a_thousand_spoilt_messages_move_nothing_and_end_nothing(show: Show) -> None:
    rng = np.random.default_rng(6)
    whole: list[dict[str, Any]] = [
        {"type": "input", "seq": 3, "keyboard": {"held": ["KeyW"]}},
        {"type": "input", "seq": 4, "gamepad": {"axes": [0.5, 0, 0, 0], "buttons": [0] * 17}},
        {"type": "command", "name": "give_back"},
        {"type": "note", "text": "a note"},
        {"type": "mark", "name": "object", "camera": "front", "x": 0.5, "y": 0.5},
        {"type": "agent", "name": "lever"},
    ]
    with show.page() as driver:  # so that those below only watch, whatever they happen to say
        driver.until_phase("ready")
        page: Wire | None = None
        for count in range(1000):
            if page is None:
                page = show.page(beats=False).__enter__()
            data = bytearray(json.dumps(whole[count % len(whole)]).encode())
            for _ in range(int(rng.integers(1, 6))):
                data[rng.integers(len(data))] = rng.integers(32, 127)
            try:
                if count % 7 == 0:
                    page.send_bytes(bytes(rng.integers(0, 256, rng.integers(1, 200)).tolist()))
                else:
                    page.send_text(data.decode())
                page.hear(0.0)
            except ConnectionError:
                page.closed = -1
            if page.closed is not None or count % 50 == 49:
                page.__exit__(None, None, None)
                page = None
        assert page is None
        driver.until(lambda it: it.num_pictures > 0 and it.phase == "ready", "still there")
        driver.command("start")
        driver.until_phase("recording")


def test_a_page_that_reads_nothing_holds_up_neither_the_loop_nor_the_others(show: Show) -> None:
    port = int(show.address.rstrip("/").rpartition(":")[2])
    with show.page() as page, socket.create_connection(("127.0.0.1", port)) as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        page.until(lambda it: it.state.get("session", {}).get("watchers") == 1, "two pages")
        with recording(page):
            page.press("KeyW")
            page.until(lambda it: it.header["step"] >= 60, "sixty steps")
            assert page.header["late"] < 60


def test_every_word_of_the_table_is_a_command_of_the_page() -> None:
    assert set(Command.__args__) == set(WORDS)  # type: ignore[attr-defined]
