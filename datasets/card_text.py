"""The dataset card: what README.md of a published dataset says."""

from __future__ import annotations

import json
from collections import Counter

from demoloop.datasets.lerobot_read import Dataset

MAX_TASKS = 20  # listed by name; a dataset may hold one sentence for each episode


def card_text(dataset: Dataset, repo_id: str) -> str:
    """Returns the README.md; its head is what the Hub and LeRobot's tools look for."""
    spec, episodes = dataset.spec, dataset.episodes
    count = Counter(episode.success for episode in episodes)
    judged = f"{count[True]} successes, {count[False]} failures, {count[None]} not judged"
    tasks = Counter(episode.task for episode in episodes).most_common()
    joints = ", ".join(
        f"{joint.name} [{joint.unit}]" if dataset.has_own_spec else joint.name
        for joint in spec.joints
    )
    cameras = ", ".join(f"{camera.name} {camera.height}x{camera.width}" for camera in spec.cameras)
    marks = dataset.marks
    told = "nothing" if marks is None else f"{', '.join(marks.names)} in {marks.camera}"
    lines = [
        "---",
        "tags:",
        "- LeRobot",
        "- robotics",
        "task_categories:",
        "- robotics",
        "configs:",
        "- config_name: default",
        "  data_files: data/*/*.parquet",
        "---",
        "",
        f"# {repo_id}",
        "",
        "Demonstrations for imitation learning, in the layout of LeRobot v3.0, recorded with "
        "demoloop.",
        "",
        "| | |",
        "|---|---|",
        f"| robot | {_cell(spec.name)} |",
        f"| joints | {_cell(joints)} |",
        f"| cameras (height x width) | {_cell(cameras or 'none')} |",
        f"| pointed at | {_cell(told)} |",
        f"| control rate | {dataset.fps} Hz |",
        f"| episodes | {len(episodes)} |",
        f"| duration | {dataset.num_frames / dataset.fps:.1f} s, {dataset.num_frames} steps |",
        f"| judged | {judged} |",
        f"| view | `{dataset.view_hash()}` |",
        "",
        "## Tasks",
        "",
        *(f"- {_cell(task) or 'not said'} ({times} episodes)" for task, times in tasks[:MAX_TASKS]),
    ]
    if len(tasks) > MAX_TASKS:
        lines.append(f"- and {len(tasks) - MAX_TASKS} more")
    lines += [
        "",
        "## Reading it",
        "",
        "```python",
        "from lerobot.datasets.lerobot_dataset import LeRobotDataset",
        f"dataset = LeRobotDataset({json.dumps(repo_id)})",
        "```",
        "",
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Keeps text of others, such as a task's name, within its cell or line."""
    kept = " ".join(text.split())
    for mark in "\\|<>[]`":
        kept = kept.replace(mark, "\\" + mark)
    return kept
