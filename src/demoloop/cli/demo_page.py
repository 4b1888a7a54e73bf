"""The page that the demo ends in: one HTML file that holds its pictures and films itself."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from demoloop.policies.export import ExportReport
from demoloop.sim.evaluate import EpisodeResult, Evaluation
from demoloop.sim.task import Task

_TEMPLATE = Path(__file__).with_name("demo_page.html")
_MAX_FAILURES = 4
_MAX_SUCCESSES = 4


@dataclass(frozen=True)
class Story:
    """What there is to tell, and the folder where the files lie."""

    folder: Path
    task: Task
    num_demonstrations: int
    export: ExportReport
    evaluation: Evaluation
    server_memory_mb: float | None  # peak of the process that serves the policy
    seconds: dict[str, float]  # stage -> how long it took


def write_page(story: Story) -> Path:
    """Writes `index.html` into the folder and returns its path."""
    folder, judged = story.folder, story.evaluation
    training = _last_training_line(folder / "policy" / "metrics.jsonl")
    live = json.loads((folder / "live" / "report.json").read_text())
    low, high = judged.interval
    values = {
        "task": escape(story.task.name),
        "instruction": escape(story.task.instruction.rstrip(".")),
        "num_demonstrations": story.num_demonstrations,
        "train_minutes": f"{training['seconds'] / 60:.1f}",
        "train_frames": f"{training['samples']:,}",
        "samples_per_s": f"{training['samples'] / training['seconds']:.0f}",
        "loader_percent": f"{100 * training['waited'] / training['seconds']:.1f}",
        "megabytes": f"{story.export.megabytes:.1f}",
        "parity": f"{story.export.worst_error:.0e}",
        "num_successes": judged.num_successes,
        "num_episodes": len(judged.episodes),
        "low": f"{100 * low:.0f}",
        "high": f"{100 * high:.0f}",
        "rate": f"{100 * judged.num_successes / len(judged.episodes):.1f}",
        "median_seconds": "none"
        if judged.median_seconds is None
        else f"{judged.median_seconds:.1f}",
        "first_seed": judged.episodes[0].seed,
        "last_seed": judged.episodes[-1].seed,
        "cells": "\n".join(_cell(episode) for episode in judged.episodes),
        "demonstration": _data_url(folder / "demonstration.mp4", "video/mp4"),
        "curves": _data_url(folder / "policy" / "curves.png", "image/png"),
        "failures": _films(story, succeeded=False, at_most=_MAX_FAILURES),
        "successes": _films(story, succeeded=True, at_most=_MAX_SUCCESSES),
        "live_video": _data_url(folder / "live" / "run.mp4", "video/mp4"),
        "live_rows": "\n".join(_live_row(episode) for episode in live["episodes"]),
        "latency_rows": _latency_rows(live),
        "memory": "unknown" if story.server_memory_mb is None else f"{story.server_memory_mb:.0f}",
        "stages": "\n".join(
            f"<tr><td>{escape(name)}</td><td>{seconds / 60:.1f} min</td></tr>"
            for name, seconds in story.seconds.items()
        ),
        "total_minutes": f"{sum(story.seconds.values()) / 60:.1f}",
        "folder": escape(str(folder)),
    }
    page = folder / "index.html"
    page.write_text(Template(_TEMPLATE.read_text()).substitute(values), encoding="utf-8")
    return page


def _last_training_line(metrics: Path) -> dict[str, float]:
    """Sums up `metrics.jsonl`: seconds and samples of training, seconds waited for data."""
    seconds = samples = waited = 0.0
    for line in map(json.loads, metrics.read_text().splitlines()):
        if "loss" in line:
            taken = line["seconds"] - seconds
            seconds = line["seconds"]
            samples += line["samples_per_s"] * taken
            waited += line["loader_share"] * taken
    return {"seconds": seconds, "samples": round(samples), "waited": waited}


def _data_url(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _cell(episode: EpisodeResult) -> str:
    outcome = "success" if episode.success else "failure"
    return (
        f'<a class="cell {outcome}" href="evaluation/{episode.video}" '
        f'title="seed {episode.seed}: {outcome}, {episode.seconds:.1f} s"></a>'
    )


def _films(story: Story, *, succeeded: bool, at_most: int) -> str:
    chosen = [e for e in story.evaluation.episodes if e.success is succeeded and e.video]
    if not chosen:
        return "<p class='quiet'>There is none.</p>"
    return "\n".join(
        _figure(
            _data_url(story.folder / "evaluation" / str(episode.video), "video/mp4"),
            f"seed {episode.seed}, {episode.seconds:.1f} s",
        )
        for episode in chosen[:at_most]
    )


def _figure(source: str, caption: str) -> str:
    return (
        f'<figure><video src="{source}" muted loop playsinline controls></video>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _live_row(episode: dict[str, Any]) -> str:
    """One live episode as a bar of states over time."""
    timeline = episode["timeline"]
    total = max(timeline[-1]["end_s"], 1e-3) if timeline else 1e-3
    bar = "".join(
        f'<span class="{escape(part["state"])}" title="{escape(part["state"])} '
        f'{escape(part["reason"])}" style="flex:{max(part["end_s"] - part["start_s"], 0):.3f}">'
        "</span>"
        for part in timeline
    )
    outcome = "success" if episode["success"] else "no success"
    return (
        f"<tr><td>{outcome}</td><td>{total:.1f} s</td>"
        f"<td>{episode['num_late']} of {episode['num_steps']}</td>"
        f'<td class="wide"><div class="bar">{bar}</div></td></tr>'
    )


def _latency_rows(live: dict[str, Any]) -> str:
    names = {
        "round_trip_ms": "observation sent to chunk received",
        "inference_ms": "of it, inference",
        "chunk_age_ms": "age of the look behind each action",
    }
    rows = []
    for key, name in names.items():
        quantiles = live[key]
        if quantiles is not None:
            numbers = "".join(f"<td>{quantiles[q]:.1f}</td>" for q in ("p50", "p95", "max"))
            rows.append(f"<tr><td>{name}</td>{numbers}</tr>")
    return "\n".join(rows)
