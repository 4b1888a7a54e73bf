"""What the page shows, and that it stays within its own four walls."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demoloop.datasets import DatasetWriter, Episode
from demoloop.robot import Marks, RobotSpec

Look = Callable[[Path], AbstractContextManager[Any]]
MakeEpisode = Callable[..., Episode]

ROWS = "[...document.querySelectorAll('.episode')]"


def write(root: Path, spec: RobotSpec, episodes: list[Episode]) -> Path:
    with DatasetWriter(root, spec) as writer:
        for episode in episodes:
            writer.add(episode)
    return root


@pytest.fixture
def many(tmp_path: Path, spec: RobotSpec, make_episode: MakeEpisode) -> Path:
    episodes = [make_episode(seed, steps=2) for seed in range(30)]
    return write(tmp_path / "many", spec, episodes)


def test_nothing_is_asked_of_anybody_else(root: Path, look: Look) -> None:
    with look(root) as page:
        page.press("j", "Space", "1", "3", "h", "Escape", "?", "Escape")
        page.wait("[...document.querySelectorAll('.episode img.there')].length === 3")
        assert len(page.requests) > 10
        strangers = [r for r in page.requests if not r.startswith((page.address, "data:", "blob:"))]
        assert strangers == []
        assert page.problems == []  # among them what the content security policy refused


def test_the_page_may_not_load_from_elsewhere(root: Path, look: Look) -> None:
    with look(root) as page:
        blocked = page.js(
            "new Promise((done) => { document.addEventListener('securitypolicyviolation', "
            "(event) => done(event.blockedURI)); new Image().src = 'http://192.0.2.1/x.png'; })"
        )
    assert blocked.startswith("http://192.0.2.1")


def test_only_rows_in_sight_are_elements(many: Path, look: Look) -> None:
    with look(many) as page:
        assert page.js("document.querySelector('#count').textContent") == "30 episodes"
        assert 0 < page.js(f"{ROWS}.length") < 25
        page.press(*["j"] * 29)
        page.wait("document.querySelector('#task').textContent.startsWith('#29')")
        assert page.js(f"{ROWS}.length") < 25
        assert page.wait(f"{ROWS}.some(r => r.ariaSelected === 'true' && r.ariaPosInSet === '30')")


def test_search_and_filters_leave_what_fits(
    tmp_path: Path, spec: RobotSpec, make_episode: MakeEpisode, look: Look
) -> None:
    tasks = ["pick the cube", "stack the cube", "push the ball"]
    episodes = [make_episode(s, task=task) for s, task in enumerate(tasks, start=1)]
    with look(write(tmp_path / "tasks", spec, episodes)) as page:
        listed = f"{ROWS}.map(r => r.querySelector('.number').textContent)"
        page.press("/")
        page.type("cube")
        assert page.wait(f"{ROWS}.length === 2 && {listed}") == ["#0", "#1"]
        page.js(
            "(e => { e.value = 'yes'; e.dispatchEvent(new Event('change')); })"
            "(document.querySelector('#by-success'))"
        )
        assert page.wait(f"{ROWS}.length === 1 && {listed}") == ["#1"]
        page.js("(e => { e.value = ''; e.dispatchEvent(new Event('input')); })(search)")
        page.js(
            "(e => { e.value = ''; e.dispatchEvent(new Event('change')); })"
            "(document.querySelector('#by-success'))"
        )
        page.click("#direction")
        assert page.wait(f"{ROWS}.length === 3 && {listed}") == ["#2", "#1", "#0"]


def test_a_hostile_task_is_shown_as_text(
    tmp_path: Path, spec: RobotSpec, make_episode: MakeEpisode, look: Look
) -> None:
    tasks = [
        "<img src=x onerror='document.title=1'><script>document.title=2</script>&amp;",
        "take " + "the very long way around " * 400,
        "take" + "theverylongwayaround" * 400,
        "\u202eeht pu kcip \u05e7\u05d7 \u05d0\u05ea \u05d4\u05e7\u05d5\u05d1\u05d9\u05d4\u202c",
        "${alert(1)} $token \\ \" ' `",
    ]
    episodes = [make_episode(seed, task=task) for seed, task in enumerate(tasks)]
    with look(write(tmp_path / "hostile", spec, episodes)) as page:
        shown = page.js("[...document.querySelectorAll('.episode .task')].map(t => t.textContent)")
        assert shown == tasks
        for number, task in enumerate(tasks):
            title = page.wait(f"task.textContent.startsWith('#{number} ') && task.textContent")
            assert title == f"#{number}  {task}"
            # It takes no more room than any other.
            assert page.js("task.offsetHeight") < 80
            assert page.js("document.documentElement.scrollWidth <= innerWidth")
            page.press("j")
        heights = page.js("[...document.querySelectorAll('.episode')].map(e => e.offsetHeight)")
        assert heights == [76] * len(tasks)
        assert page.js("document.title") == "hostile · demoloop"
        assert page.js("document.querySelectorAll('main img, main script, nav script').length") == 0
        assert page.problems == []


def test_a_missing_video_gives_a_sentence_and_the_rest_works(root: Path, look: Look) -> None:
    with look(root) as page:
        video = next((root / "videos/observation.images.wrist").rglob("file-001.mp4"))
        shutil.move(video, root / "elsewhere.mp4")
        page.press("j")
        sentence = page.wait(
            "!document.querySelectorAll('.fault')[1].hidden && "
            "document.querySelectorAll('.fault')[1].textContent"
        )
        assert "wrist" in sentence and "file-001.mp4" in sentence
        assert page.js("document.querySelectorAll('.fault')[0].hidden")
        page.press("End")
        page.wait("document.querySelector('canvas').dataset.step === '5'")
        page.press("j")
        assert page.wait(
            "document.querySelector('#task').textContent.startsWith('#2') && "
            "[...document.querySelectorAll('.fault')].every(f => f.hidden)"
        )


def test_episodes_that_cannot_be_read_are_named(g1: Path, look: Look) -> None:
    with look(g1) as page:
        assert page.js("document.querySelector('#missing').textContent") == "98 not shown"
        page.click("#missing")
        assert page.wait("document.querySelectorAll('#absent li').length") == 98


def test_what_was_recorded_meanwhile_appears(
    root: Path, spec: RobotSpec, make_episode: MakeEpisode, look: Look
) -> None:
    with look(root) as page:
        page.press("j")
        page.wait("document.querySelector('#task').textContent.startsWith('#1')")
        write(root, spec, [make_episode(4)])
        page.wait("document.querySelector('#count').textContent === '4 episodes'")
        assert "changed on disk" in page.js("document.querySelector('#toast').textContent")
        assert page.js("document.querySelector('#task').textContent").startswith("#1")


def test_a_closed_page_leaves_the_viewer_as_it_was(root: Path, look: Look) -> None:
    with look(root) as page:
        for _ in range(3):
            page.press("j", "Space")  # requests are under way
            page.open("about:blank")
            page.open(page.address)
            page.wait("performance.getEntriesByName('filled').length")
        assert page.js("fetch('/api/state').then(r => r.status)") == 200


def test_each_thing_to_press_is_reached_by_the_tab_key(root: Path, look: Look) -> None:
    with look(root) as page:
        page.wait("document.querySelectorAll('.legend button').length")
        wanted = set(
            page.js(
                "[...document.querySelectorAll('button, input, select, #list')]"
                ".filter(e => e.checkVisibility() && !e.disabled)"
                ".map((e, i) => (e.dataset.nth = i, String(i)))"
            )
        )
        reached = set()
        for _ in range(len(wanted) + 5):
            page.press("Tab")
            reached.add(page.js("document.activeElement.dataset.nth"))
            assert page.js(
                "document.activeElement === document.body || "
                "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
            )
        assert wanted <= reached


def test_every_key_stands_in_the_help(root: Path, look: Look) -> None:
    with look(root) as page:
        page.press("?")
        keys = set(page.wait("[...document.querySelectorAll('#help kbd')].map(k => k.textContent)"))
    said = "j k / space ← → [ ] x s f b t r w g p d u h c ? + - 0 n 1 2 3"
    assert set(said.split()) <= keys


def test_takeovers_and_events_are_marked_where_they_were(
    tmp_path: Path, spec: RobotSpec, make_episode: MakeEpisode, look: Look
) -> None:
    taken = np.isin(np.arange(20), [*range(4, 8), 15])
    episode = replace(
        make_episode(1, steps=20), is_takeover=taken, events=((9, "pinch"), (12, "<b>open</b>"))
    )
    with look(write(tmp_path / "taken", spec, [episode])) as page:
        bands = page.wait(
            "(b => b.length && b.map(e => [e.classList[1], Math.round(parseFloat(e.style.left) * "
            "19 / 100)]))([...document.querySelectorAll('.band')])"
        )
        assert bands == [["takeover", 4], ["takeover", 15], ["event", 9], ["event", 12]]
        page.js("[...document.querySelectorAll('#findings button')][1].click()")
        assert page.wait("scrub.value === '12'")
        said = page.js("document.querySelector('#findings').textContent")
        assert "step 12: <b>open</b>" in said and "takes over until step 7" in said


def test_what_was_pointed_at_is_marked_where_it_was_in_that_cameras_picture(
    tmp_path: Path, spec: RobotSpec, make_episode: MakeEpisode, look: Look
) -> None:
    goal = np.array([[0.25, 0.5], [0.75, 1.0]], np.float32)
    episode = replace(make_episode(1, steps=20), goal=goal)
    with DatasetWriter(
        tmp_path / "pointed", spec, marks=Marks(("<b>object", "place"), "wrist")
    ) as writer:
        writer.add(episode)
    with look(tmp_path / "pointed") as page:
        marks = page.wait(
            "(m => m.length && m.map(e => [e.textContent, e.style.left, e.style.top, "
            "e.closest('figure').querySelector('figcaption').textContent]))"
            "([...document.querySelectorAll('.mark')])"
        )
        assert marks == [
            ["<b>object", "25%", "50%", "wrist"],
            ["place", "75%", "100%", "wrist"],
        ]
        # The point itself, not only its style: in the picture as the browser has laid it out.
        off = page.js(
            "(([m], c) => [(m.x - c.x) / c.width - 0.25, (m.y - c.y) / c.height - 0.5])"
            "([...document.querySelectorAll('.mark')].map(e => e.getBoundingClientRect()), "
            "document.querySelectorAll('canvas')[1].getBoundingClientRect())"
        )
        assert np.abs(off).max() < 0.01


def test_the_age_of_each_picture_is_shown(
    tmp_path: Path, spec: RobotSpec, make_episode: MakeEpisode, look: Look
) -> None:
    with look(write(tmp_path / "timed", spec, [make_episode(1, steps=20)])) as page:
        page.press("3")
        values = page.wait(
            "(v => v.length === 3 && v.map(e => e.textContent))"
            "([...document.querySelectorAll('.legend button')])"
        )
        assert values[1:] == ["age of front1.0", "age of wrist1.0"]  # ms, as make_episode says


def test_nothing_jumps_while_episodes_are_looked_at_and_edited(root: Path, look: Look) -> None:
    with look(root) as page:
        page.press("j", "s")
        page.wait("document.querySelector('#own-edits button')")
        page.press("u", "[", "x", "3", "k")
        page.wait("document.querySelector('#task').textContent.startsWith('#0 ')")
        shift = page.js(
            "new Promise((done) => { let sum = 0; new PerformanceObserver((list) => { for (const e "
            "of list.getEntries()) sum += e.value; }).observe({ type: 'layout-shift', buffered: "
            "true }); requestAnimationFrame(() => setTimeout(() => done(sum))); })"
        )
    assert shift < 0.02  # of the window's area; below 0.1 counts as good (web.dev/cls)
