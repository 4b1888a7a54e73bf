"""From a training config to an exported file, once: for benchmarks that judge what was learnt."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from demoloop.policies.export import export
from demoloop.policies.train import train
from demoloop.policies.train_config import TrainConfig


def trained(config: TrainConfig) -> Path:
    """Returns `policy.onnx` in the run's folder; trains, or goes on, when it is not there yet."""
    path = config.out / "policy.onnx"
    if path.exists():
        return path
    resumes = (config.out / "checkpoint.safetensors").exists()
    report = export(train(replace(config, resume=resumes)), path)
    last = json.loads((config.out / "metrics.jsonl").read_text().splitlines()[-1])
    print(
        f"trained     {config.max_episodes} demonstrations, {last['step']} steps in "
        f"{last['seconds'] / 60:.1f} minutes; {report.megabytes:.1f} MB",
        flush=True,
    )
    return path
