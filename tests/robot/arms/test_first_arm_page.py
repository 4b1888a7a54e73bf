"""docs/first-arm.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from demoloop.robot.arms import ARMS

PAGE_FILE = Path(__file__).parents[3] / "docs" / "first-arm.md"
PAGE = PAGE_FILE.read_text(encoding="utf-8")


def test_safety_stands_before_everything_else() -> None:
    assert PAGE.index("**Read this first.**") < PAGE.index("\n## ")


def test_page_says_that_nothing_was_run_on_a_real_arm() -> None:
    assert "Nothing here was run on a real arm" in PAGE


def test_every_arm_it_names_is_one() -> None:
    named = set(re.findall(r"\b(\w+):(?:/dev/|emulated)", PAGE))
    assert named == {"so101", "so101_leader"}
    assert named <= set(ARMS)


def test_whatever_needs_a_robot_is_shown_without_one_too() -> None:
    for verb in ("record", "run", "takeover"):
        assert f"demoloop {verb} --robot so101:emulated" in PAGE
        assert f"demoloop {verb} --robot so101:/dev/" in PAGE


def test_what_it_says_that_demoloop_says_is_what_it_says() -> None:
    root = PAGE_FILE.parents[1] / "robot"
    source = "".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py"))
    for words in (
        *("there is no port", "belongs to group", "is in use", "by this calibration, outside"),
        *("somebody wrote the homing offset", "on to 0"),
    ):
        assert words in PAGE
        assert words in source, words
