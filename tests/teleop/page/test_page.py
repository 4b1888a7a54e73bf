"""What the page shows of a session, who may do what, and that it asks nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Strike = Callable[..., None]

OFFERED = (
    "[...document.querySelectorAll('#actions button:not([hidden])')].map((b) => b.dataset.command)"
)
# What a person must see whole, wherever they are on the page.
STOP_IS_SEEN = """(() => {
  const r = document.querySelector('#estop').getBoundingClientRect();
  const top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
  return r.top >= 0 && r.bottom <= innerHeight && r.height >= 60 && Boolean(top.closest('#estop'));
})()"""


def test_nothing_is_asked_of_anybody_else_and_the_policy_would_refuse_it(
    page: Any, scene: Any, strike: Strike
) -> None:
    episodes = [
        {"number": 1, "seconds": 3, "steps": 9, "verdict": "kept", "thumbnail": "/thumb/1.jpg"}
    ]
    scene.tell(episodes=episodes)
    page.wait("document.querySelector('.episode img')?.naturalWidth > 0")
    for agent in ("hand", "phone", "gamepad", "keyboard"):
        scene.tell(agent=agent)
        page.wait(f"document.body.dataset.agent === '{agent}'")
    page.click("#help-open")
    assert len(page.requests) > 15
    own = (scene.address, scene.address.replace("http", "ws"), "data:", "blob:")
    assert [r for r in page.requests if not r.startswith(own)] == []
    assert page.problems == []
    blocked = page.js(
        "new Promise((done) => { document.addEventListener('securitypolicyviolation', "
        "(event) => done(event.blockedURI)); fetch('http://192.0.2.1/x').catch(() => {}); })"
    )
    assert blocked.startswith("http://192.0.2.1")
    page.problems.clear()


@pytest.mark.parametrize(
    ("phase", "offered"),
    [
        ("ready", {"start", "engage", "home", "finish"}),
        ("countdown", {"stop"}),
        ("recording", {"stop", "engage"}),
        ("review", {"keep", "success", "failure", "redo", "discard", "finish"}),
        ("moving", set()),
        ("fault", {"finish"}),
        ("finished", set()),
    ],
)
def test_each_phase_offers_what_it_hears(
    page: Any, scene: Any, phase: str, offered: set[str]
) -> None:
    scene.phase(phase, problem="it is hot" if phase == "fault" else "")
    page.wait(f"document.body.dataset.phase === '{phase}'")
    assert set(page.js(OFFERED)) == offered
    assert page.js("document.querySelector('#reset').checkVisibility()") == (phase == "fault")
    assert page.js(STOP_IS_SEEN)
    for name in sorted(offered):
        page.click(f"[data-command={name}]")
        scene.wait(lambda m, name=name: m.get("name") == name)
    if phase == "fault":
        assert page.js("document.querySelector('#sentence').textContent") == "it is hot"
    page.click("#estop")
    scene.wait(lambda m: m.get("name") == "estop")


@pytest.mark.parametrize(
    ("phase", "keys"),
    [
        ("ready", {"Space": "start", "KeyH": "home", "KeyG": "engage", "KeyX": "finish"}),
        ("countdown", {"Space": "stop"}),
        ("recording", {"Space": "stop", "KeyF": "release", "KeyT": "take", "KeyB": "give_back"}),
        (
            "review",
            {
                "Enter": "keep",
                "KeyY": "success",
                "KeyN": "failure",
                "KeyR": "redo",
                "Backspace": "discard",
            },
        ),
        ("fault", {"KeyR": "reset", "Escape": "estop"}),
    ],
)
def test_each_command_has_its_key(
    page: Any, scene: Any, strike: Strike, phase: str, keys: dict[str, str]
) -> None:
    scene.phase(phase)
    page.wait(f"document.body.dataset.phase === '{phase}'")
    for code, name in keys.items():
        strike(code)
        scene.wait(lambda m, name=name: m.get("name") == name)
    assert scene.commands() == list(keys.values())


def test_a_picture_that_is_older_than_the_phase_does_not_bring_the_old_one_back(
    page: Any, scene: Any, strike: Strike
) -> None:
    scene.phase("review")
    scene.show(phase="recording", engaged=True, seq=7)
    page.wait("document.body.dataset.seq === '7'")
    assert page.js("document.body.dataset.phase") == "review"
    assert not page.js("document.querySelector('#engaged').classList.contains('on')")
    strike("KeyN")
    scene.wait(lambda m: m.get("name") == "failure")


def test_space_ends_what_moves_even_while_a_button_has_the_focus(
    page: Any, scene: Any, strike: Strike
) -> None:
    page.js("document.querySelector('[data-command=engage]').focus()")
    scene.phase("recording")
    page.wait("document.body.dataset.phase === 'recording'")
    page.js("document.querySelector('#help-open').focus()")
    strike("Space")
    scene.wait(lambda m: m.get("name") == "stop")
    assert page.js("document.querySelector('#help').open") is False


def test_a_click_leaves_the_keys_to_the_arm(page: Any, scene: Any) -> None:
    page.click("[data-command=start]")
    scene.wait(lambda m: m.get("name") == "start")
    assert page.js("document.activeElement === document.body")


def test_a_watcher_says_nothing_but_stop_and_may_take_a_free_wheel(
    page: Any, scene: Any, strike: Strike
) -> None:
    scene.greet(role="watcher")
    page.wait("document.querySelector('#watching').checkVisibility()")
    since = len(scene.heard)
    assert page.js(OFFERED) == []
    assert not page.js("document.querySelector('#drive').checkVisibility()")
    strike("KeyW")
    strike("Space")
    strike("Escape")  # anybody may stop the robot
    scene.wait(lambda m: m.get("name") == "estop", since)
    assert [m["type"] for m in scene.heard[since:]] == ["command"]
    scene.tell(has_driver=False)
    page.wait("document.querySelector('#drive').checkVisibility()")
    page.click("#drive")
    scene.wait(lambda m: m.get("type") == "drive")


def test_what_a_stranger_wrote_is_shown_as_text(page: Any, scene: Any) -> None:
    evil = "<img src=x onerror='document.title=1'>"
    scene.phase("fault", problem=evil, task=evil, notes=[evil], armed=evil)
    scene.show(status=evil)
    page.wait("document.body.dataset.phase === 'fault'")
    page.wait(f"document.querySelector('#status').textContent.length === {len(evil)}")
    assert page.js("document.querySelectorAll('main img[src=x], aside img').length") == 0
    assert page.js("document.querySelector('#sentence').textContent") == evil


def test_state_is_told_by_word_and_icon_and_read_out(page: Any, scene: Any) -> None:
    seen = set()
    for phase in ("ready", "countdown", "recording", "review", "moving", "fault", "finished"):
        scene.phase(phase)
        page.wait(f"document.body.dataset.phase === '{phase}'")
        seen.add(
            (
                page.js("document.querySelector('#state').textContent"),
                page.js("document.querySelector('#state-icon').getAttribute('href')"),
            )
        )
    assert len({word for word, _ in seen}) == len({icon for _, icon in seen}) == 7
    assert page.js("document.querySelector('#state').ariaLive") == "assertive"


def test_the_newest_picture_is_the_one_that_is_seen(page: Any, scene: Any) -> None:
    pictures = dict(scene.pictures)
    for seq in range(1, 120):
        scene.pictures["front"] = pictures["wrist" if seq % 2 else "front"]
        scene.show(seq=seq)
    page.wait("document.body.dataset.seq === '119'")
    shade = page.js(
        "document.querySelector('#cameras canvas').getContext('2d')"
        ".getImageData(9, 9, 1, 1).data[0]"
    )
    assert shade == pytest.approx(160, abs=3)


def test_a_picture_that_shows_an_input_tells_how_long_it_took(
    page: Any, scene: Any, strike: Strike
) -> None:
    assert page.js("document.querySelector('#latency').textContent.length") == 1  # a dash
    strike("KeyW", "down")
    said = scene.wait(lambda m: m.get("type") == "input" and m["keyboard"]["held"] == ["KeyW"])
    scene.show(seq=said["seq"])
    assert page.wait("/^\\d+ ms$/.test(document.querySelector('#latency').textContent)")
    strike("KeyW", "up")


def test_pointing_marks_the_object_and_then_the_place(
    page: Any, scene: Any, strike: Strike
) -> None:
    scene.say(type="marks", camera="front", aim="object", object=None, place=None)
    page.wait("document.querySelector('.surface')")
    page.click(".surface")
    said = scene.wait(lambda m: m.get("type") == "mark")
    assert (said["name"], said["camera"]) == ("object", "front")
    assert (said["x"], said["y"]) == pytest.approx((0.5, 0.5), abs=0.01)
    scene.say(type="marks", camera="front", aim="place", object=[0.5, 0.5], place=None)
    page.wait("!document.querySelector('.point.object').hidden")
    page.js("document.querySelector('.surface').focus({focusVisible: true})")
    since = len(scene.heard)
    for code in ("ArrowRight", "ArrowRight", "ArrowUp", "Enter"):
        strike(code)
    said = scene.wait(lambda m: m.get("type") == "mark", since)
    assert said["name"] == "place"
    assert (said["x"], said["y"]) == pytest.approx((0.54, 0.48))
    assert not any(m["keyboard"]["held"] for m in scene.heard[since:] if m["type"] == "input")
    page.click(".mark.object")
    assert scene.wait(lambda m: m.get("type") == "aim", since)["name"] == "object"


def test_a_finger_is_followed_while_there_is_something_to_point_at(page: Any, scene: Any) -> None:
    seen = {"type": "gesture", "name": "pointing", "progress": 0.5, "score": 0.9, "hint": ""}
    pointing = {**seen, "landmarks": [[0.1, 0.2]] * 21, "at": [0.25, 0.75]}
    finger = "document.querySelector('.finger-cursor')"
    ring = "document.querySelector('.ring').hidden"
    scene.greet(agents=["hand", "keyboard"])
    scene.tell(agent="hand")
    scene.say(**pointing)
    scene.say(type="marks", camera="front", aim="place", object=None, place=None)
    assert page.wait(f"{finger}?.hidden === true") and page.js(ring)
    assert page.js("document.querySelector('.mark.place').getAttribute('aria-checked')") == "true"
    scene.say(**pointing)
    page.wait(f"!{finger}.hidden")
    assert page.js(f"[{finger}.style.left, {finger}.style.top]") == ["25%", "75%"]
    assert not page.js(ring)
    scene.phase("recording")
    page.wait("document.body.dataset.phase === 'recording'")
    scene.say(**pointing)
    page.wait(f"{finger}.hidden")


def test_a_run_is_offered_only_what_it_can_be_told(page: Any, scene: Any) -> None:
    scene.greet(verb="run", agents=["policy"], agent="policy", joints=[])
    page.wait("document.body.dataset.verb === 'run'")
    for phase, offered in (("ready", {"start", "finish"}), ("recording", {"stop"})):
        scene.phase(phase)
        page.wait(f"document.body.dataset.phase === '{phase}'")
        assert set(page.js(OFFERED)) == offered
    assert not page.js("document.querySelector('#words').checkVisibility()")


def test_notes_are_written_while_there_is_an_episode(page: Any, scene: Any) -> None:
    assert page.js("document.querySelector('#note').disabled")
    scene.phase("review")
    page.wait("!document.querySelector('#note').disabled")
    page.click("#note")
    page.type("dropped it once")
    page.press("Enter")
    scene.wait(lambda m: m == {"type": "note", "text": "dropped it once"})
    assert page.js("document.querySelector('#note').value") == ""


def test_a_lost_link_is_said_and_found_again(page: Any, scene: Any) -> None:
    scene.close_pages()
    page.wait("document.body.dataset.phase === 'lost'")
    assert page.js(OFFERED) == []
    page.wait("document.body.dataset.phase === 'ready'")
    page.wait(f"{OFFERED}.includes('start')")


def test_a_session_that_has_finished_stays_finished_when_the_server_goes(
    page: Any, scene: Any
) -> None:
    scene.phase("finished")
    page.wait("document.body.dataset.phase === 'finished'")
    scene.session["phase"] = scene.header["phase"] = (
        "ready"  # of another session, at the same address
    )
    page.js(
        "window.seen = []; new MutationObserver(() => window.seen.push(document.body.dataset"
        ".phase)).observe(document.body, {attributeFilter: ['data-phase']})"
    )
    scene.close_pages()
    page.wait("document.body.dataset.phase === 'ready'")
    assert "lost" not in page.js("window.seen")


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (390, 844)])
def test_it_fits_each_screen_and_the_stop_is_always_there(
    page: Any, scene: Any, size: tuple[int, int]
) -> None:
    page.resize(*size)
    for agent in ("keyboard", "phone", "hand"):
        scene.tell(agent=agent)
        page.wait(f"document.body.dataset.agent === '{agent}'")
        assert page.js("document.documentElement.scrollWidth <= innerWidth")
        assert page.js(STOP_IS_SEEN)
    page.js("scrollTo(0, 1e6)")
    assert page.js(STOP_IS_SEEN)


def test_each_thing_to_press_is_reached_by_the_tab_key_and_seen(
    page: Any, scene: Any, strike: Strike
) -> None:
    scene.phase("review")
    page.wait("document.body.dataset.phase === 'review'")
    wanted = set(
        page.js(
            "[...document.querySelectorAll('button, input, select, textarea')]"
            ".filter((e) => e.checkVisibility() && !e.disabled)"
            ".map((e, i) => (e.dataset.nth = i, String(i)))"
        )
    )
    reached = set()
    for _ in range(len(wanted) + 6):
        strike("Tab")
        reached.add(page.js("document.activeElement.dataset.nth"))
        assert page.js(
            "document.activeElement === document.body || "
            "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
        )
    assert wanted <= reached
    names = page.js(
        "[...document.querySelectorAll('button, input, select, textarea')].filter((e) => "
        "e.checkVisibility())"
        ".map((e) => e.ariaLabel || e.labels?.[0]?.textContent || e.textContent)"
    )
    assert all(name.strip() for name in names)
    page.js("document.querySelector('[data-command=discard]').focus()")
    strike("Enter")  # and not `keep`, which Enter means elsewhere
    scene.wait(lambda m: m.get("name") == "discard")
    assert "keep" not in scene.commands()
