"""Both languages say the same things, and nothing is said past them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from demoloop.teleop.commands import COMMANDS
from demoloop.teleop.keyboard import KEYS

WORDS = "import('/static/words.js').then((m) => m.WORDS)"

# Replaces every word by its key between marks, then says everything anew.
MARK = """import('/static/words.js').then((m) => {
  for (const words of Object.values(m.WORDS)) {
    for (const key of Object.keys(words)) words[key] = `«${key}»`;
  }
  document.querySelector('#language').click();
  document.querySelector('#language').click();
})"""

# What a person reads or hears and the dictionary did not say; names and sentences of the server are
# translate=no.
STRAY = """(() => {
  const found = [];
  const isStray = (text) => /\\p{L}/u.test(text.replace(/«[^»]*»/g, ''));
  const isName = (element) => element.closest('[translate=no], .joint, script, style');
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!isName(node.parentElement) && isStray(node.data)) found.push(node.data);
  }
  for (const name of ['aria-label', 'title', 'placeholder', 'alt']) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      const said = element.getAttribute(name);
      if (!isName(element) && isStray(said)) found.push(said);
    }
  }
  return found;
})()"""


def test_both_languages_say_the_same_things(page: Any) -> None:
    words = page.js(WORDS)
    assert set(words["en"]) == set(words["zh"])
    for key, english in words["en"].items():
        chinese = words["zh"][key]
        assert chinese.strip() and english.strip(), key
        holes = [sorted(re.findall(r"\{\w+\}", said)) for said in (english, chinese)]
        assert holes[0] == holes[1], key


def test_no_word_on_the_page_bypasses_the_dictionary(page: Any, scene: Any) -> None:
    page.js(MARK)
    page.wait("document.querySelector('#state').textContent === '«phase.ready»'")
    episodes = [
        {"number": n, "seconds": 3.0, "steps": 90, "verdict": verdict, "thumbnail": ""}
        for n, verdict in enumerate(("kept", "success", "failure", "discarded", "pending"), 1)
    ]
    scene.say(type="marks", camera="front", aim="place", object=[0.2, 0.2], place=None)
    for phase in ("countdown", "recording", "review", "moving", "fault", "finished", "ready"):
        scene.phase(phase, episodes=episodes)
        page.wait(f"document.body.dataset.phase === '{phase}'")
        page.wait("document.querySelector('#engaged').textContent.startsWith('«')")  # a picture's
        assert page.js(STRAY) == []
    for agent in ("gamepad", "phone", "hand", "spacemouse", "leader", "replay"):
        scene.greet(agents=[agent, "keyboard"])
        scene.tell(agent=agent)
        page.wait(f"document.body.dataset.agent === '{agent}'")
        assert page.js(STRAY) == []
    for role, has_driver in (("watcher", True), ("watcher", False), ("driver", True)):
        scene.greet(role=role)
        scene.tell(has_driver=has_driver)
        page.wait(f"document.body.dataset.role === '{role}'")
        assert page.js(STRAY) == []
    page.click("#help-open")
    assert page.js("document.querySelectorAll('#help tr').length") > 10
    assert page.js(STRAY) == []


def test_every_word_of_the_dictionary_is_used(page: Any) -> None:
    keys = set(page.js(WORDS)["en"])
    files = ["commands", "drawings", "episodes", "help", "main", "marks", "phone", "robot", "state"]
    source = page.js(
        "Promise.all("
        + str([f"/static/{name}.js" for name in [*files, "webcam"]] + ["/"])
        + ".map((path) => fetch(path).then((r) => r.text()))).then((all) => all.join(' '))"
    )
    source = re.sub(r"export const WORDS = .*?\n};", "", source, flags=re.S)
    # Some are put together from what the server says: a phase, a verdict, a device, a command.
    built = [
        "phase",
        "verdict",
        "agent",
        "command",
        "gesture",
        "key",
        "webcam",
        "who",
        "help",
        "marks",
    ]
    unused = {key for key in keys if f'"{key}"' not in source and key.split(".")[0] not in built}
    assert not unused


def test_keys_buttons_and_gestures_are_those_of_teleop(page: Any) -> None:
    shown = page.js("import('/static/commands.js').then((m) => m.COMMANDS)")
    assert {c["name"]: c.get("phases", []) for c in shown} == {
        c.word: list(c.phases) for c in COMMANDS
    }
    for command in COMMANDS:
        (one,) = [c for c in shown if c["name"] == command.word]
        assert [one["key"]] == list(command.keys)
        assert ([one["button"]] if "button" in one else []) == list(command.buttons)
        assert one.get("gesture") == command.gesture
    moving = page.js("import('/static/drawings.js').then((m) => Object.keys(m.KEYS))")
    assert set(moving) == {key.code for key in KEYS}


def test_a_chinese_browser_is_spoken_to_in_chinese_and_a_choice_is_remembered(
    page: Any, scene: Any
) -> None:
    said = "document.querySelector('#state').textContent"
    assert page.js(said) == "Ready"

    def again() -> Any:
        page.open(scene.address)
        page.wait("document.readyState === 'complete' && document.body.dataset.seq !== undefined")
        return page.wait(said)

    page.send("Network.setUserAgentOverride", userAgent="test", acceptLanguage="zh-CN")
    page.open("about:blank")
    assert again() == "就绪"
    assert page.js("document.documentElement.lang") == "zh-Hans"
    page.click("#language")
    assert page.wait(f"{said} === 'Ready'")
    page.open("about:blank")
    assert again() == "Ready"


Look = Callable[[str], Any]


def test_a_page_without_https_says_why_it_has_no_camera_and_no_tilt(look: Look, scene: Any) -> None:
    scene.hello["agent"] = scene.session["agent"] = "hand"
    with look(f"http://panel.test:{scene.port}/") as page:
        assert page.js("isSecureContext") is False
        page.click("#webcam-start")
        said = page.wait("document.querySelector('#webcam-message').textContent")
        assert "https" in said
        scene.tell(agent="phone")
        page.wait("document.body.dataset.agent === 'phone'")
        page.click("#tilt")
        assert "https" in page.wait("document.querySelector('#phone-message').textContent")
