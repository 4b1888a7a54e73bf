"""The demo at its smallest: all five stages run, and the page holds what they made."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from demoloop.__main__ import main
from demoloop.robot.video import read_frames

SMALL = ["--demonstrations", "3", "--budget-minutes", "0.05", "--episodes", "2"]
SMALL += ["--curve-episodes", "0", "--live-episodes", "1"]


class Page(HTMLParser):
    """Collects what a browser would load, and what one can click."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "a":
            self.links.append(str(named["href"]))
        else:
            self.sources += [str(named[key]) for key in ("src", "href", "poster") if key in named]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "made"
    words = [sys.executable, "-m", "demoloop", "demo", "--out", str(folder), *SMALL]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def page(demo: Path) -> Page:
    page = Page()
    page.feed((demo / "index.html").read_text(encoding="utf-8"))
    return page


pytestmark = pytest.mark.slow


def test_the_page_loads_nothing_from_outside_itself(page: Page, demo: Path) -> None:
    assert page.sources
    assert all(source.startswith("data:") for source in page.sources)
    assert not re.search(r"url\(|@import|<script", (demo / "index.html").read_text())


def test_every_film_on_the_page_plays(page: Page, tmp_path: Path) -> None:
    films = [source for source in page.sources if source.startswith("data:video/mp4;base64,")]
    assert len(films) == 4  # the demonstration, two judged episodes, the live run
    for film in films:
        path = tmp_path / "film.mp4"
        path.write_bytes(base64.b64decode(film.partition(",")[2]))
        frames = list(read_frames(path))
        assert len(frames) > 10
        assert frames[0].std() > 10  # there is something to see


def test_every_judged_episode_is_linked_to_its_film(page: Page, demo: Path) -> None:
    assert len(page.links) == 2
    assert all((demo / link).is_file() for link in page.links)


def test_the_page_tells_the_judges_numbers(demo: Path) -> None:
    judged = json.loads((demo / "evaluation" / "evaluation.json").read_text())
    low, high = (round(100 * bound) for bound in judged["interval"])
    text = (demo / "index.html").read_text(encoding="utf-8")
    assert f"Then it did it {judged['successes']} of 2 times" in text
    assert f"95 % interval {low} to {high} %" in text


def test_the_live_run_is_a_robot_that_follows_a_served_policy(demo: Path) -> None:
    report = json.loads((demo / "live" / "report.json").read_text())
    assert report["server"].startswith("tcp://127.0.0.1:")
    assert report["seeds"] == [4000]  # neither trained nor judged on
    assert report["num_chunks"] > 10
    states = {part["state"] for part in report["episodes"][0]["timeline"]}
    assert "running" in states


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--task", "juggle"], "no task 'juggle'"),
        (["--out", "a-file"], "a-file cannot be a folder"),
        (["--demonstrations", "0"], "--demonstrations is 0"),
        (["--episodes", "-1"], "--episodes is -1"),
        (["--episodes", "4001"], "--episodes is 4001"),
        (["--live-episodes", "0"], "--live-episodes is 0"),
        (["--workers", "0"], "--workers is 0"),
        (["--curve-episodes", "5001"], "--curve-episodes is 5001"),
        (["--budget-minutes", "nan"], "--budget-minutes is nan"),
        (["--seed", "-1"], "--seed -1"),
    ],
)
def test_bad_input_is_answered_before_anything_is_made(
    words: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("kept")
    assert main(["demo", *words]) == 2
    assert named in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
