"""The picture shown is the picture of the step shown, to the frame, whatever the video is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demoloop.datasets import DatasetWriter, Episode
from demoloop.robot import RobotSpec

Look = Callable[[Path], AbstractContextManager[Any]]

# Reads 12 bars from a row of each canvas, as numbers.
READ = """
((row, last) => [...document.querySelectorAll("canvas[data-step]")].map((canvas, camera) => {
  const [w, h] = [canvas.width, canvas.height];
  const y = Math.floor(h * (camera === 1 ? last : row));
  const line = canvas.getContext("2d").getImageData(0, y, w, 1).data;
  let number = 0;
  for (let bit = 0; bit < 12; bit++) {
    number += (line[4 * Math.floor(((bit + 0.5) * w) / 12) + 1] > 127) << bit;
  }
  return number;
}))
"""
SHOWN = "document.querySelector('canvas').dataset.step === String({})"


def read(page: Any, step: int, rows: tuple[float, float]) -> list[int]:
    page.wait(SHOWN.format(step))
    numbers: list[int] = page.js(f"{READ}({rows[0]}, {rows[1]})")
    return numbers


def scrub(page: Any, targets: list[int], rows: tuple[float, float]) -> list[list[int]]:
    """Goes to each step, by the slider and by keys in turn, and reads what is shown."""
    found, now = [], 0
    for turn, step in enumerate(targets):
        if turn % 2:
            page.js(f"(e => {{ e.value = {step}; e.dispatchEvent(new Event('input')); }})(scrub)")
        else:
            far, near = divmod(abs(step - now), 10)
            way = "ArrowRight" if step > now else "ArrowLeft"
            page.press(*[f"Shift+{way}"] * far, *[way] * near)
        now = step
        found.append(read(page, step, rows))
    return found


@pytest.fixture
def small_root(tmp_path: Path, spec: RobotSpec, make_episode: Callable[..., Episode]) -> Path:
    with DatasetWriter(tmp_path / "small", spec) as writer:
        for seed in (1, 2):
            writer.add(make_episode(seed, steps=40))
    return tmp_path / "small"


@pytest.mark.parametrize("fixture", ["small_root", "large_root"], ids=["yuv444p", "yuv420p"])
def test_scrubbing_shows_the_frame_of_the_step(
    fixture: str, request: pytest.FixtureRequest, look: Look
) -> None:
    root = request.getfixturevalue(fixture)
    targets = np.random.default_rng(0).integers(0, 40, 50).tolist()
    with look(root) as page:
        page.press("j")  # the second episode, whose frames carry 200 and more
        read(page, 0, (0.25, 0.75))
        found = scrub(page, targets, (0.25, 0.75))
    assert found == [[200 + step, 200 + step] for step in targets]


def test_scrubbing_shows_the_frame_of_the_step_in_files_of_lerobot(
    lerobot_sample: Path, tmp_path: Path, look: Look
) -> None:
    targets = np.random.default_rng(1).integers(0, 30, 50).tolist()
    with look(lerobot_sample) as page:
        page.press("j", "j")  # the third of three episodes in one AV1 file
        page.wait("document.querySelector('#task').textContent.startsWith('#2')")
        read(page, 0, (0.25, 0.25))
        found = scrub(page, targets, (0.25, 0.25))
    assert found == [[step, step] for step in targets]


def test_playing_ends_at_the_last_frame(small_root: Path, look: Look) -> None:
    with look(small_root) as page:
        page.press(".", ".", "Space")  # four times the speed
        assert page.wait(
            "document.querySelector('#play').textContent === '▶' && scrub.value === '39'"
        )
        assert read(page, 39, (0.25, 0.75)) == [139, 139]


def test_curves_and_pictures_show_the_same_step(small_root: Path, look: Look) -> None:
    with look(small_root) as page:
        page.wait("document.querySelector('.u-over')")
        page.click(".u-over")  # its middle
        page.wait("scrub.value !== '0'")
        step = int(page.js("scrub.value"))
        assert step in (19, 20)
        assert read(page, step, (0.25, 0.75)) == [100 + step] * 2
        page.press("End")
        assert page.wait(
            "Math.abs(parseFloat(document.querySelector('.playhead').style.left) "
            "- document.querySelector('.u-over').clientWidth) < 1"
        )
