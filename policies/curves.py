"""Pictures of a training run, and of predictions beside recordings."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np

from demoloop.policies.open_loop import OpenLoop

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def plot_curves(metrics: Path, picture: Path) -> None:
    """Draws loss, and success where it was judged, over minutes of training into a PNG."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    losses = [(line["seconds"] / 60, line["loss"]) for line in lines if "loss" in line]
    judged = [line for line in lines if "success" in line]
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    if losses:
        axis.plot(*zip(*losses, strict=True), color="#2b6ca8", linewidth=2)
    axis.set(xlabel="minutes of training", yscale="log")
    axis.set_ylabel("loss (normalised L1)", color="#2b6ca8")
    axis.spines[["top", "right"]].set_visible(False)
    if judged:
        right = axis.twinx()
        minutes = [line["seconds"] / 60 for line in judged]
        success = [100 * line["success"] for line in judged]
        below = [100 * (line["success"] - line["low"]) for line in judged]
        above = [100 * (line["high"] - line["success"]) for line in judged]
        right.errorbar(
            minutes, success, yerr=(below, above), color="#c8341f", marker="o", capsize=3
        )
        right.set_ylim(-2, 102)
        right.set_ylabel("success [%], 95 % Wilson interval", color="#c8341f")
        right.spines["top"].set_visible(False)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def plot_open_loop(result: OpenLoop, picture: Path, num_joints: int = 4) -> None:
    """Draws into a PNG the joints predicted worst in the first episode, and the error ahead."""
    figure, axes = plt.subplots(
        num_joints + 1, 1, figsize=(8, 2 * (num_joints + 1)), layout="constrained", squeeze=False
    )
    recorded, chunks = result.recorded[0], result.predicted[0]
    hz, horizon = result.spec.control_hz, len(result.count)
    for axis, j in zip(axes[:-1, 0], result.worst_joints(), strict=False):
        axis.plot(np.arange(len(recorded)) / hz, recorded[:, j], color="#222222", label="recorded")
        for start in range(0, len(recorded), horizon):
            chunk = chunks[start, : len(recorded) - start, j]
            label = "predicted, anew at each dot" if start == 0 else None
            time = (start + np.arange(len(chunk))) / hz
            axis.plot(time, chunk, color="#c8341f", label=label)
            axis.plot(time[0], chunk[0], "o", color="#c8341f", markersize=3)
        joint = result.spec.joints[j]
        axis.set_ylabel(f"{joint.name}\n[{joint.unit}]", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(fontsize=8, frameon=False)
    axes[-2, 0].set_xlabel("s")
    for who, colour in zip(result.totals, ("#c8341f", "#888888", "#2b6ca8"), strict=True):
        ahead = np.arange(horizon) / hz
        axes[-1, 0].plot(ahead, 100 * result.by_step(who), color=colour, label=who)
    axes[-1, 0].set(xlabel="s ahead", ylabel="mean error\n[% of range]")
    axes[-1, 0].set_ylim(bottom=0)
    axes[-1, 0].legend(fontsize=8, frameon=False)
    axes[-1, 0].spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=110)
    plt.close(figure)
