"""Laws of the event log, on an injected clock."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from demoloop.deploy.errors import DeployError
from demoloop.deploy.events import EventHandler, EventLog


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_event_is_a_line_with_both_times_and_the_session(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.jsonl"
    with EventLog(path, "run", now=lambda: 12.5, wall=lambda: 0.25) as log:
        log.note("transition", 7, **{"from": "running", "to": "holding", "reason": "silence"})
    assert lines(path) == [
        {
            **{"time": 12.5, "wall": "1970-01-01T00:00:00.250+00:00", "side": "run"},
            **{"event": "transition", "session": 7},
            **{"from": "running", "to": "holding", "reason": "silence"},
        }
    ]


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: Path) -> None:
    wall, now = Clock(), Clock()
    with EventLog(tmp_path / "log", "run", now=now, wall=wall) as log:
        for _ in range(5):
            log.note("tick")
            now.time, wall.time = now.time + 1.0, wall.time - 10.0
    assert [line["time"] for line in lines(tmp_path / "log")] == [100, 101, 102, 103, 104]


def test_a_reason_with_line_breaks_stays_one_line_of_bounded_length(tmp_path: Path) -> None:
    with EventLog(tmp_path / "log", "serve") as log:
        log.note("refused", reason='"}\n{"event": "welcomed"}\r\u2028' + "x" * 10_000)
    (line,) = lines(tmp_path / "log")
    assert line["event"] == "refused"
    assert len(line["reason"]) == 500


def test_full_file_moves_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with EventLog(path, "run", max_bytes=1000, num_old=2, burst=1000) as log:
        for number in range(100):
            log.note("event", number=number)
    assert sorted(it.name for it in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert all(it.stat().st_size <= 1000 for it in tmp_path.iterdir())
    kept = [path.with_name("log.2"), path.with_name("log.1"), path]
    numbers = [line["number"] for file in kept for line in lines(file)]
    assert numbers == list(range(numbers[0], 100))  # without a gap up to the newest


def test_flood_of_one_event_is_bounded_counted_and_hides_no_other(tmp_path: Path) -> None:
    now = Clock()
    with EventLog(tmp_path / "log", "serve", per_second=2, burst=10, now=now) as log:
        for _ in range(500):
            log.note("refused")
        log.note("welcomed")
        now.time += 1.0  # makes room for two
        for _ in range(3):
            log.note("refused")
    written = lines(tmp_path / "log")
    events = [line["event"] for line in written]
    assert events == [*["refused"] * 10, "welcomed", *["refused"] * 2, "refused"]
    assert [line["suppressed"] for line in written if "suppressed" in line] == [490, 1]


def test_log_goes_on_after_a_line_that_a_kill_tore(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"event": "first"}\n{"event": "to')
    with EventLog(path, "run") as log:
        log.note("second")
    first, torn, second = path.read_text().splitlines()
    assert (json.loads(first)["event"], torn, json.loads(second)["event"]) == (
        *("first", '{"event": "to'),
        "second",
    )


def test_disk_that_is_full_is_warned_of_once_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with EventLog(full, "run") as log:
        for _ in range(5):
            log.note("event")
    said = [record.getMessage() for record in caplog.records]
    assert said == ["the log /dev/full has gaps: No space left on device"]


def test_log_that_cannot_be_opened_is_refused_before_anything_moves(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DeployError, match=r"cannot be written: .*; choose another --log"),
        EventLog(tmp_path / "file" / "log", "run"),
    ):
        pass


def test_warnings_of_the_program_are_events_too(tmp_path: Path) -> None:
    logger = logging.getLogger("demoloop.test_events")
    with EventLog(tmp_path / "log", "serve") as log:
        handler = EventHandler(log.note)
        logger.addHandler(handler)
        logger.warning("turned away %s", "an unknown key")
        logger.removeHandler(handler)
    (line,) = lines(tmp_path / "log")
    assert (line["event"], line["reason"]) == ("warning", "turned away an unknown key")
