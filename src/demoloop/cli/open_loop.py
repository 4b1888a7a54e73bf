"""`demoloop open-loop`: an exported policy's actions beside recorded ones."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from demoloop.cli.train import left_out
from demoloop.datasets import Dataset, open_dataset
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.policies.curves import plot_open_loop
from demoloop.policies.errors import PolicyError
from demoloop.policies.learnable import teachable
from demoloop.policies.open_loop import (
    POLICY,
    REPEAT,
    STAY,
    OpenLoop,
    check_recording,
    open_loop,
)
from demoloop.robot.card import PolicyCard


@dataclass(frozen=True)
class Options:
    """For robots nobody simulates: the error of each joint, and what doing nothing would cost.

    Writes open_loop.json and open_loop.png (the joints predicted worst, recorded and predicted).
    """

    policy: tyro.conf.Positional[Path]
    """ONNX file that `demoloop export` wrote."""
    data: Path
    """Folder of the dataset to compare with: ours, or LeRobot v3.0 or v2.1."""
    episodes: tuple[int, ...] | None = None
    """Which ones, counted from 0 among those that are present. None is those held out from
    training, or all of a dataset the policy was not trained on."""
    out: Path = Path("open_loop")
    """Folder to write."""


def main(options: Options) -> int:
    """Compares; exit code 0 however large the error."""
    policy = OnnxPolicy.load(options.policy)
    dataset = open_dataset(options.data)
    for sentence in left_out(dataset):
        print(f"demoloop: {sentence}", file=sys.stderr)
    card = policy.card
    needed, what = card.proprioception_names, f"the policy {options.policy}"
    check_recording(card.spec, needed, dataset, what, card.marks)
    unseen = unseen_episodes(card, dataset)
    episodes = chosen_episodes(options, dataset, unseen)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PolicyError(
            f"--out {options.out} cannot be a folder ({error.strerror}); choose another"
        ) from error
    total = sum(dataset.episodes[number].length for number in episodes)
    with tqdm(total=total, desc="open loop", unit="frame") as bar:
        result = open_loop(
            lambda observation: policy.predict(observation).actions,
            card.spec,
            card.horizon,
            dataset,
            episodes,
            bar.update,
        )
    seen = [number for number in episodes if number not in unseen]
    report = {
        "policy": options.policy.name,
        "robot": card.spec.name,
        "episodes": [dataset.episodes[number].index for number in episodes],
        "trained_on": [dataset.episodes[number].index for number in seen],
        "left_out": list(dataset.missing),
        **result.to_json(),
    }
    (options.out / "open_loop.json").write_text(json.dumps(report, indent=2))
    plot_open_loop(result, options.out / "open_loop.png")
    indices = [dataset.episodes[number].index for number in episodes]
    known = "trained on" if len(seen) == len(episodes) else "in part trained on"
    print(summary(result, indices, known if seen else "not trained on"))
    print(f"every joint and step: {options.out}/open_loop.json, {options.out}/open_loop.png")
    return 0


def unseen_episodes(card: PolicyCard, dataset: Dataset) -> list[int]:
    """Returns the episodes, counted among those present, that the policy was not trained on."""
    everything = list(range(len(dataset.episodes)))
    config = card.train_config
    split, learnt_from = config.get("split"), dataset
    if split in {it.split for it in dataset.episodes}:
        learnt_from = open_dataset(dataset.root, str(split))
    if card.dataset_view != learnt_from.view_hash():
        return everything
    held_out = {int(n) for n in re.findall(r"\d+", str(config.get("held_out", "")))}
    present = learnt_from.episodes
    is_good = [it.success is not False and it.weight > 0 for it in present]
    trained = teachable(is_good, held_out)
    if "max_episodes" in config:
        trained = trained[: int(config["max_episodes"])]
    known = {present[number].uuid for number in trained}
    return [number for number in everything if dataset.episodes[number].uuid not in known]


def chosen_episodes(options: Options, dataset: Dataset, unseen: list[int]) -> list[int]:
    """Returns what to compare on; raises PolicyError when there is no such episode."""
    total = len(dataset.episodes)
    if options.episodes is None:
        if not unseen:
            raise PolicyError(
                f"the policy was trained on all {total} episodes of {options.data}; train with "
                "--held-out, or say --episodes to see how well it remembers"
            )
        return unseen
    wrong = [number for number in options.episodes if number not in range(total)]
    if wrong or not options.episodes:
        raise PolicyError(
            f"--episodes {' '.join(map(str, wrong)) or '(none)'}: {options.data} has episodes "
            f"0 to {total - 1}, counted among those that are present"
        )
    return sorted(set(options.episodes))


def summary(result: OpenLoop, indices: list[int], seen: str) -> str:
    """Says in a sentence how far off the policy is, and how far doing nothing would be."""
    numbers = ", ".join(map(str, indices[:5])) + (", ..." if len(indices) > 5 else "")
    better = result.share(POLICY) < min(result.share(STAY), result.share(REPEAT))
    seconds = len(result.count) / result.spec.control_hz
    worst = result.worst_joints()[0]
    joint, error = result.spec.joints[worst], result.by_joint(POLICY)[worst]
    return (
        f"episode {numbers} ({seen}), {seconds:.2f} s ahead: the policy is off by "
        f"{result.share(POLICY):.1%} of a joint's range, which is "
        f"{'better' if better else 'NO better'} than to {STAY} ({result.share(STAY):.1%}) or "
        f"{REPEAT} ({result.share(REPEAT):.1%}); worst joint {joint.name} {error:.3f} "
        f"{joint.unit} ({error / result.ranges[worst]:.1%})"
    )
