"""Tries a half-trained network in simulation, for the success curve of a training run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from tqdm import tqdm

from demoloop.deploy.chunks import ActionChunk, ChunkExecution
from demoloop.deploy.fit import check_fit
from demoloop.policies import Policy
from demoloop.robot import Observation, RobotSpec, run_episode
from demoloop.robot.arms.so101 import SO101
from demoloop.robot.marked import check_goal
from demoloop.sim import SimError, make_robot
from demoloop.sim.evaluate import wilson_interval
from demoloop.sim.make import find_task
from demoloop.sim.seeds import VALIDATION_SEEDS


class TorchPolicy:
    """A network in this process where deployment has an ONNX file."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._spec = policy.shape.spec

    @property
    def spec(self) -> RobotSpec:
        """The robot it is trained for."""
        return self._spec

    def predict(self, observation: Observation) -> ActionChunk:
        """Returns the chunk that starts at `observation.time`, clamped to the joint limits."""
        images = {
            name: torch.from_numpy(observation.images[name][None].copy())
            for name in self._spec.camera_names
        }
        state = torch.from_numpy(observation.proprioception[None])
        goal = None
        if self._policy.shape.marks is not None:
            goal = torch.from_numpy(check_goal(observation.goal, self._policy.shape.marks)[None])
        with torch.no_grad():
            chunk = self._policy.predict(images, state, goal)[0].numpy()
        return ActionChunk(np.clip(chunk, self._spec.low, self._spec.high), observation.time)


class SimJudge:
    """Success over a few validation seeds, which are neither trained nor reported on."""

    def __init__(self, task: str, num_episodes: int) -> None:
        find_task(task)  # an unknown name is refused here, not after minutes of training
        if not 1 <= num_episodes <= len(VALIDATION_SEEDS):
            raise SimError(
                f"--judge-episodes is {num_episodes}; it must be 1 to {len(VALIDATION_SEEDS)}"
            )
        self._task, self._num_episodes = task, num_episodes

    def check(self, spec: RobotSpec) -> None:
        """Raises PolicyError when a policy for `spec` cannot move the simulated robot."""
        check_fit(spec, SO101, "a policy trained on this dataset")

    def __call__(self, policy: Policy) -> Mapping[str, float]:
        """Returns `success` (0..1) and the bounds `low` and `high` of its interval."""
        seeds = VALIDATION_SEEDS[: self._num_episodes]
        robot = make_robot(self._task, seeds)
        agent = ChunkExecution(TorchPolicy(policy))
        successes = 0
        # Without a trace when it is done: it stands below the bar of the training.
        bar = tqdm(seeds, "judge it so far", unit="episode", leave=False, position=1)
        for _ in bar:
            run_episode(robot, agent, robot.max_steps, is_over=robot.succeeded)
            successes += robot.succeeded()
            bar.set_postfix_str(f"{successes} succeeded")
        robot.close()
        low, high = wilson_interval(successes, len(seeds))
        return {"success": successes / len(seeds), "low": low, "high": high}
