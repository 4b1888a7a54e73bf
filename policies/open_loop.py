"""How far a policy's actions are from a person's, on recorded episodes, without moving anything.

At each recorded step the policy sees what was seen then, and its chunk is compared with what the
person did next. This is no success rate: errors do not add up as they do on a robot. It tells
whether a policy learned anything that holds for new data, where nobody can judge success, and it
means something only beside what costs nothing: staying where one is, or repeating the last action.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import Dataset, Lowdim
from demoloop.policies.errors import PolicyError
from demoloop.robot import Marks, Observation, RobotSpec

Predict = Callable[[Observation], NDArray[np.float32]]
"""From an observation to an action chunk (horizon, action_dim)."""

POLICY, STAY, REPEAT = "policy", "stay where you are", "repeat the last action"


@dataclass
class OpenLoop:
    """Absolute errors over some episodes; what a chunk says past its episode's end is ignored."""

    spec: RobotSpec
    count: NDArray[np.int64]  # (horizon,) compared actions so many steps ahead
    totals: dict[str, NDArray[np.float64]]  # who -> (horizon, A) sum of |error| [unit of the joint]
    recorded: list[NDArray[np.float32]] = field(default_factory=list)  # (T, A) of each episode
    predicted: list[NDArray[np.float32]] = field(default_factory=list)  # (T, horizon, A)

    @property
    def ranges(self) -> NDArray[np.float64]:
        """Between the joint limits, (A,) [unit of each joint]."""
        return (self.spec.high - self.spec.low).astype(np.float64)

    def by_joint(self, who: str) -> NDArray[np.float64]:
        """Mean error of each joint over the whole chunk, (A,) [unit of each joint]."""
        mean: NDArray[np.float64] = self.totals[who].sum(0) / self.count.sum()
        return mean

    def by_step(self, who: str) -> NDArray[np.float64]:
        """Mean error so many steps ahead, (horizon,), as share of a joint's range."""
        shares = self.totals[who] / self.ranges  # (horizon, A)
        mean: NDArray[np.float64] = shares.mean(1) / np.maximum(self.count, 1)
        return mean

    def share(self, who: str) -> float:
        """Mean error over joints and chunk, as share of a joint's range."""
        return float((self.by_joint(who) / self.ranges).mean())

    def worst_joints(self) -> list[int]:
        """Joints by the policy's error as share of their range, worst first."""
        order: list[int] = np.argsort(-self.by_joint(POLICY) / self.ranges).tolist()
        return order

    def to_json(self) -> dict[str, object]:
        """Returns every number, by who predicted, by joint and by step ahead."""
        return {
            "compared_actions": int(self.count.sum()),
            "horizon": len(self.count),
            "control_hz": self.spec.control_hz,
            "errors": {
                who: {
                    "share_of_range": self.share(who),
                    "share_of_range_by_step_ahead": self.by_step(who).tolist(),
                    "joints": {
                        joint.name: {"error": error, "unit": joint.unit, "share_of_range": share}
                        for joint, error, share in zip(
                            self.spec.joints,
                            self.by_joint(who).tolist(),
                            (self.by_joint(who) / self.ranges).tolist(),
                            strict=True,
                        )
                    },
                }
                for who in self.totals
            },
        }


def open_loop(
    predict: Predict,
    spec: RobotSpec,
    horizon: int,
    dataset: Dataset,
    episodes: Sequence[int],
    on_step: Callable[[], object] = lambda: None,
) -> OpenLoop:
    """Compares the policy's chunk at every step of some episodes with what was done.

    Args:
        predict: The policy.
        spec: Of the robot it was trained for.
        horizon: Actions in its chunk.
        dataset: Where the recordings are; `check_recording` says whether they fit.
        episodes: Which ones, counted from 0 among those present.
        on_step: Called after each step.
    """
    size = (horizon, spec.action_dim)
    result = OpenLoop(spec, np.zeros(horizon, np.int64), {})
    for number in episodes:
        lowdim = dataset.lowdim(number)
        state = whole_proprioception(spec, dataset, lowdim)
        cameras = (dataset.frames(number, name) for name in spec.camera_names)
        looks = zip(*cameras, strict=True) if spec.cameras else ((),) * len(state)
        chunks = np.empty((len(state), *size), np.float32)
        for step, pictures in enumerate(looks):
            time = float(lowdim.time[step])
            images = dict(zip(spec.camera_names, pictures, strict=True))
            times = dict.fromkeys(spec.camera_names, time)
            goal = None if lowdim.goal is None else lowdim.goal[step]
            chunks[step] = predict(Observation(time, state[step], images, times, goal))
            on_step()
        present = state[:, : spec.action_dim]
        # Nothing was asked for before the first step: there the arm may as well stay.
        last = np.concatenate([present[:1], lowdim.actions[:-1]])
        guesses = {POLICY: chunks, STAY: present[:, None], REPEAT: last[:, None]}
        ahead = np.arange(len(state))[:, None] + np.arange(horizon)  # (T, horizon)
        is_real = ahead < len(state)
        done = lowdim.actions[np.minimum(ahead, len(state) - 1)]  # (T, horizon, A)
        for who, guess in guesses.items():
            error = np.abs(guess.astype(np.float64) - done) * is_real[..., None]
            result.totals[who] = result.totals.get(who, np.zeros(size)) + error.sum(0)
        result.count += is_real.sum(0)
        result.recorded.append(lowdim.actions)
        result.predicted.append(chunks)
    return result


def whole_proprioception(spec: RobotSpec, dataset: Dataset, lowdim: Lowdim) -> NDArray[np.float32]:
    """Returns (T, 2 A) in the order of `spec`, 0 for what was not recorded."""
    names = spec.proprioception_names
    whole = np.zeros((len(lowdim.time), len(names)), np.float32)
    for column, name in enumerate(dataset.proprioception_names):
        if name in names:
            whole[:, names.index(name)] = lowdim.proprioception[:, column]
    return whole


def check_recording(
    spec: RobotSpec,
    needed: Sequence[str],
    dataset: Dataset,
    what: str,
    marks: Marks | None = None,
) -> None:
    """Raises PolicyError in one sentence when recordings are not of the robot a policy knows.

    Joint limits may differ: those of a foreign dataset are guessed from what is in it.

    Args:
        spec: Of the robot the policy was trained for.
        needed: Names of the proprioception it looks at.
        dataset: The recordings.
        what: Names the policy in the message.
        marks: What it must be pointed at; None for one that is told nothing.
    """
    found, root = dataset.spec, dataset.root
    cameras = [f"{c.name} {c.width}x{c.height}" for c in spec.cameras]
    recorded = [f"{c.name} {c.width}x{c.height}" for c in found.cameras]
    unread = [n for n in (*spec.position_names, *needed) if n not in dataset.proprioception_names]
    if spec.joint_names != found.joint_names:
        fault = f"moves {_few(spec.joint_names)}, {root} records {_few(found.joint_names)}"
    elif not set(cameras) <= set(recorded):
        fault = f"looks through {_few(cameras)} px, {root} has {_few(recorded)} px"
    elif spec.control_hz != found.control_hz:
        fault = f"acts at {spec.control_hz:g} Hz, {root} was recorded at {found.control_hz:g} Hz"
    elif unread:
        fault = f"needs the reading {unread[0]}, {root} has {_few(dataset.proprioception_names)}"
    elif marks is not None and marks != dataset.marks:
        there = "nothing" if dataset.marks is None else ", ".join(dataset.marks.names)
        fault = f"is told {', '.join(marks.names)}, in {root} people point at {there}"
    else:
        return
    raise PolicyError(f"{what} {fault}; choose a dataset of {spec.name}")


def _few(names: Sequence[str]) -> str:
    """Returns `26 (a, b, c, ...)`."""
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} ({', '.join(names[:3])}{more})"
