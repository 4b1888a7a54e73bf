"""Laws of the table of a run."""

from __future__ import annotations

import io
import re
import threading

import pytest
from msgspec.structs import replace

from demoloop.cli.live import Live, is_terminal, table
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.vitals import Vitals
from demoloop.robot.arms.so101 import SO101


class Screen:
    """A terminal that understands what the table uses: up, erase below, colours, new lines."""

    def __init__(self) -> None:
        self.rows = [""]
        self.row = 0

    def feed(self, text: str) -> None:
        for up, sequence, plain in re.findall(r"\x1b\[(\d+)F|(\x1b\[[0-9;]*[Jm])|([^\x1b]+)", text):
            if up:
                self.row -= int(up)
                assert self.row >= 0, "the table goes up past its beginning"
            elif sequence.endswith("J"):
                del self.rows[self.row :]
                self.rows.append("")
            for part in re.findall(r"\n|[^\n]+", plain):
                if part == "\n":
                    self.row += 1
                    self.rows.append("")
                else:
                    self.rows[self.row] += part

    @property
    def shown(self) -> list[str]:
        return self.rows[:-1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def vitals() -> Vitals:
    vitals = Vitals(RemotePolicy("tcp://127.0.0.1:5555", SO101), 100.0, num_episodes=3)
    vitals.begin()
    vitals.num_ticks = 5
    return vitals


def drawn(out: io.StringIO) -> list[str]:
    screen = Screen()
    screen.feed(out.getvalue())
    return screen.shown


def test_table_stays_in_place_and_what_is_said_stands_above_it(vitals: Vitals) -> None:
    out = io.StringIO()
    live = Live(vitals.status, out, in_place=True)
    live.say("begins")
    for _ in range(3):
        live.show()
    height = len(drawn(out)) - 1
    live.say("episode over")
    live.show()
    shown = drawn(out)
    assert shown[:2] == ["begins", "episode over"]
    assert len(shown) == 2 + height
    assert sum(row.startswith("state") for row in shown) == 1


def test_table_leaves_nothing_behind_but_what_was_said(vitals: Vitals) -> None:
    out = io.StringIO()
    with Live(vitals.status, out, in_place=True) as live:
        live.say("begins")
        live.show()
    out.write("summary\n")
    assert drawn(out) == ["begins", "summary"]


def test_table_leaves_nothing_behind_when_the_run_breaks(vitals: Vitals) -> None:
    out = io.StringIO()
    with pytest.raises(RuntimeError), Live(vitals.status, out, in_place=True) as live:
        live.show()
        raise RuntimeError("a motor")
    assert drawn(out) == []


def test_table_is_never_wider_than_the_screen(
    vitals: Vitals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    out = io.StringIO()
    vitals.enter("holding", "a reason of many words " * 9)
    Live(vitals.status, out, in_place=True).show()
    assert max(map(len, drawn(out))) < 20


def test_table_says_state_ages_rates_and_faults(vitals: Vitals) -> None:
    vitals.enter("running", "")
    vitals.enter("holding", "no sign of life from the server")
    vitals.chunk_age_s = 0.072
    vitals.num_late, vitals.num_skipped, vitals.num_stale = 3, 4, 6
    vitals.lateness.add(0.0021)
    vitals.round_trip.add(0.0123)
    status = replace(vitals.status("hold", "ann"), time=vitals.since + 2.5)
    rows = {row.split()[0]: row for row in table(status, 99.96)}
    assert "holding for 2.5 s: no sign of life from the server" in rows["state"]
    assert "1 of 3" in rows["episode"]
    assert "100.0 of 100 Hz, lag 2.1 ms" in rows["loop"]
    assert "3 late, 4 skipped" in rows["loop"]
    assert "age 72.0 ms; 1 came, 6 stale" in rows["chunk"]
    assert "12.3 ms" in rows["answer"]
    assert rows["operator"] == "operator ann, ordered hold"
    assert rows["faults"].startswith("faults   held 1 times, ")
    assert rows["faults"].endswith("last: no sign of life from the server")


def test_usual_rows_fit_into_80_columns(vitals: Vitals) -> None:
    vitals.enter("running", "")
    vitals.num_late, vitals.num_skipped, vitals.num_stale = 1234, 1234, 123
    for times in (vitals.lateness, vitals.round_trip, vitals.inference):
        times.add(0.4567)
    assert max(map(len, table(vitals.status("go", "somebody@somewhere"), 99.9))) < 80


def test_what_is_said_never_waits_for_a_screen_that_blocks(vitals: Vitals) -> None:
    is_blocked, is_let_go = threading.Event(), threading.Event()

    class Window(io.StringIO):
        def write(self, text: str) -> int:
            is_blocked.set()
            is_let_go.wait(20)
            return super().write(text)

    out = Window()
    with Live(vitals.status, out, in_place=True) as live:
        assert is_blocked.wait(10)
        live.say("while the terminal is stopped with Ctrl-S")
        live.warn("so is this")
        assert out.getvalue() == ""
        is_let_go.set()
    assert "Ctrl-S\nso is this\n" in out.getvalue()


def test_without_a_terminal_each_change_is_one_line(vitals: Vitals) -> None:
    out = io.StringIO()
    live = Live(vitals.status, out, in_place=False)
    for state, reason in (("running", ""), ("running", ""), ("holding", "silence")):
        vitals.enter(state, reason)  # type: ignore[arg-type]
        live.show()
        live.show()
    said = [line.split(": ", 1)[1] for line in out.getvalue().splitlines()]
    assert said == ["running", "holding (silence)"]
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb")])
def test_nothing_is_drawn_where_it_is_not_wanted(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("NO_COLOR", "CI"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert is_terminal(Terminal())
    assert not is_terminal(io.StringIO())
    monkeypatch.setenv(name, value)
    assert not is_terminal(Terminal())


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_screen_that_has_gone_stops_no_run(vitals: Vitals) -> None:
    class Window(io.StringIO):
        is_closed = False

        def write(self, text: str) -> int:
            if self.is_closed:
                raise OSError("the window was closed")
            return super().write(text)

    out = Window()
    with Live(vitals.status, out, in_place=True) as live:
        live.show()
        out.is_closed = True
        live._thread.join(10)  # which draws once more
        out.is_closed = False
        live.say("episode over")
    assert "episode over" in out.getvalue()
