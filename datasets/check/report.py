"""What was found, for people: check.json, and one HTML page that needs nothing from outside."""

from __future__ import annotations

import base64
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from demoloop.datasets.check.defect import NO_EPISODE, Defect, stretches
from demoloop.datasets.check.find import to_json
from demoloop.datasets.check.plots import plot_of
from demoloop.datasets.check.signals import Signals, read_signals, with_pictures
from demoloop.datasets.durable import replace_file
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_read import Dataset
from demoloop.robot.jpeg import to_jpeg

PICTURE_HEIGHT = 120  # px
JPEG_QUALITY = 80

MAX_PICTURED = 200
"""Defects with pictures; the page of a spoilt dataset would not load otherwise. All are listed."""

STYLE = """
:root { color-scheme: light dark; --line: #8885; --mark: #e8a33d55; --one: #1666c0; --two: #c0392b }
@media (prefers-color-scheme: dark) { :root { --one: #6db3f2; --two: #f08a7b } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem }
article { border-top: 1px solid var(--line); padding: .6rem 0 }
article p { margin: 0 0 .4rem } code { font-size: .9em; overflow-wrap: anywhere }
.shown { display: flex; flex-wrap: wrap; gap: .6rem; align-items: flex-start }
figure { margin: 0 } figcaption, svg text { font-size: 11px; opacity: .8 }
img { display: block; border-radius: 4px; image-rendering: pixelated }
img { outline: 1px solid var(--line) }
svg { width: 360px; border: 1px solid var(--line); border-radius: 4px }
svg text { fill: currentColor } path { fill: none; stroke-width: 1.5 }
.curve0 { stroke: var(--one) } .curve1 { stroke: var(--two); stroke-dasharray: 4 2 }
.where { fill: var(--mark) }
"""


def write_report(
    dataset: Dataset, defects: tuple[Defect, ...], folder: Path, *, progress: bool = False
) -> Path:
    """Writes check.json and check.html into `folder`; returns the path of the page."""
    value = {
        "dataset": str(dataset.root),
        "view": dataset.view_hash(),
        "episodes": len(dataset.episodes),
        "frames": dataset.num_frames,
        "fps": dataset.fps,
        "defects": to_json(defects),
    }
    page = _page(dataset, defects, progress)
    replace_file(folder / "check.json", lambda path: _write(path, json.dumps(value, indent=1)))
    replace_file(folder / "check.html", lambda path: _write(path, page))
    return folder / "check.html"


def counted(defects: Sequence[Defect]) -> str:
    """Returns how many there are of each kind, the most frequent first."""
    kinds = Counter(defect.kind for defect in defects).most_common()
    return ", ".join(f"{count} {kind}" for kind, count in kinds) or "none"


def drop_command(dataset: Dataset, defects: Sequence[Defect]) -> str:
    """Returns the command by which a person would drop the episodes, '' when there are none."""
    episodes = {defect.episode for defect in defects} - {NO_EPISODE}
    if not episodes:
        return ""
    named = np.isin(np.arange(max(episodes) + 1), list(episodes))
    ranges = (f"{a}" if a == b else f"{a}-{b}" for a, b in stretches(named))
    return f"demoloop dataset drop {shlex.quote(str(dataset.root))} {','.join(ranges)}"


def where(defect: Defect, fps: int) -> str:
    """Says in seconds and steps where a defect is."""
    if defect.episode == NO_EPISODE:
        return ""
    first, last = defect.first_step / fps, defect.last_step / fps
    return f"{first:.2f}-{last:.2f} s (steps {defect.first_step}-{defect.last_step})"


def _page(dataset: Dataset, defects: tuple[Defect, ...], progress: bool) -> str:
    numbers = {info.index: i for i, info in enumerate(dataset.episodes)}
    body = [
        "<h1>Hard defects</h1>",
        f"<p><code>{escape(str(dataset.root))}</code>: {len(dataset.episodes)} episodes, "
        f"{dataset.num_frames / dataset.fps:.1f} s, view <code>{dataset.view_hash()}</code></p>",
        f"<p>Found: {escape(counted(defects))}. Facts only: no grade is given, since none has been "
        "shown to predict success. Nothing was changed; what is dropped, a person decides.</p>",
    ]
    if command := drop_command(dataset, defects):
        body.append(f"<p>To drop all of these: <code>{escape(command)}</code></p>")
    looked: tuple[int, Signals | None] = (NO_EPISODE, None)
    bar = tqdm(defects, desc="report", unit="defect", disable=not progress or not defects)
    heading = None
    for number, defect in enumerate(bar):
        i = numbers.get(defect.episode)
        if heading != defect.episode:
            heading = defect.episode
            uuid = f" <code>{escape(defect.uuid[:8])}</code>" if defect.uuid else ""
            name = "The dataset" if i is None else f"Episode {defect.episode}{uuid}"
            body.append(f"<h2>{name}</h2>")
        shown = ""
        if i is not None and number < MAX_PICTURED:
            if looked[0] != i:
                looked = (i, _signals(dataset, i))
            shown = _shown(dataset, i, looked[1], defect)
        at = where(defect, dataset.fps)
        body.append(
            f"<article><p><b>{escape(defect.kind)}</b> {at}: {escape(defect.sentence)}</p>"
            f'<div class="shown">{shown}</div></article>'
        )
    if len(defects) > MAX_PICTURED:
        body.append(f"<p>Pictures of the first {MAX_PICTURED} defects only.</p>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Hard defects</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}</style><body>{''.join(body)}</body></html>"
    )


def _signals(dataset: Dataset, i: int) -> Signals | None:
    try:
        return with_pictures(read_signals(dataset, i), dataset.videos(i))[0]
    except DatasetError:
        return None  # the defect says why


def _shown(dataset: Dataset, i: int, signals: Signals | None, defect: Defect) -> str:
    """Returns the pictures and the curve of a defect."""
    cameras = list(dataset.videos(i))
    steps = [defect.first_step]
    if defect.joint_or_camera in cameras:
        cameras = [defect.joint_or_camera]
        middle = (defect.first_step + defect.last_step) // 2
        steps = sorted({defect.first_step, middle, defect.last_step})
    figures = [
        f'<figure><img alt="" height="{PICTURE_HEIGHT}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{escape(camera)}, {step / dataset.fps:.2f} s</figcaption></figure>"
        for camera in cameras
        for step, data in zip(steps, _jpegs(dataset, i, camera, steps), strict=False)
    ]
    return "".join(figures) + (plot_of(signals, defect) if signals is not None else "")


def _jpegs(dataset: Dataset, i: int, camera: str, steps: Sequence[int]) -> list[str]:
    """Returns the pictures at `steps`, in base64; fewer when the video breaks."""
    found: list[str] = []
    try:
        for step, frame in enumerate(dataset.frames(i, camera)):
            if step in steps:
                found.append(_jpeg(frame))
            if step >= steps[-1]:
                break
    except DatasetError:
        pass  # the defect says so; what could be read is shown
    return found


def _jpeg(frame: NDArray[np.uint8]) -> str:
    height, width = frame.shape[:2]
    scale = PICTURE_HEIGHT / height
    if scale < 1:
        size = (max(1, round(width * scale)), PICTURE_HEIGHT)
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return base64.b64encode(to_jpeg(frame, JPEG_QUALITY)).decode()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
