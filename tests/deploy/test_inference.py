"""A policy that fails on one look is asked about the next."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest

from demoloop.deploy import ActionChunk, DeployError, PolicyError, Predictor
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.server import PolicyServer
from demoloop.robot import Observation, RobotSpec

Serving = Callable[..., AbstractContextManager[PolicyServer]]


class Failing:
    """Fails on every second question."""

    def __init__(self, spec: RobotSpec, error: Exception) -> None:
        self.spec = spec
        self._error = error
        self._count = 0

    def predict(self, observation: Observation) -> ActionChunk:
        self._count += 1
        if self._count % 2:
            raise self._error
        return ActionChunk(np.zeros((6, 3), np.float32), observation.time)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PolicyError("camera wrist is dark"), "camera wrist is dark"),
        (ZeroDivisionError("secret"), "the policy failed; see the server's log"),
    ],
)
def test_failed_inference_is_told_and_the_next_question_answered(
    serving: Serving,
    spec: RobotSpec,
    observe: Callable[..., Observation],
    error: Exception,
    message: str,
) -> None:
    policy: Predictor = Failing(spec, error)
    with serving(policy) as server, RemotePolicy(server.endpoint, spec) as remote:
        for time in (1.0, 2.0):
            with pytest.raises(DeployError, match=message):
                remote.predict(observe(time=time))
            assert remote.predict(observe(time=time + 0.5)).time == time + 0.5
