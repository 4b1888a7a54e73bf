"""A picture of a training run."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

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
