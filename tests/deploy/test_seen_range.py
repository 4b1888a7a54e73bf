"""States that no demonstration showed: a little outside is reported, far outside is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.errors import OutsideError, PolicyError
from demoloop.deploy.events import Detail
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.seen_range import NOTED, SeenRange, StillOutside, WithinSeenRange
from demoloop.deploy.server import PolicyServer
from demoloop.robot import Action, Observation, RobotSpec
from demoloop.robot.card import PolicyCard

Observe = Callable[..., Observation]
LOW = (-0.2, 0.0, 0.2, -0.5, -0.5, -0.5)  # pan, lift, gripper, and their velocities
HIGH = (0.4, 0.0, 0.8, 0.5, 0.5, 0.5)  # the lift never moved
# A quarter of the span and a twentieth of the joint's range; the gripper's has 0.3 of it.
MARGINS = (0.15 + 0.1, 0.0 + 0.1, 0.15 + 0.3, 1.0 + 0.5, 1.0 + 0.5, 1.0 + 0.75)


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Detail]]] = []

    def __call__(self, event: str, session: int = 0, **details: Detail) -> None:
        self.events.append((event, details))


@pytest.fixture
def policy(tmp_path: Path, spec: RobotSpec, make_policy: Callable[..., Path]) -> OnnxPolicy:
    path = make_policy(
        tmp_path / "policy.onnx", spec, proprioception_low=LOW, proprioception_high=HIGH
    )
    return OnnxPolicy.load(path, spec)


def seen(observe: Observe, index: int, value: float) -> Observation:
    """In the middle of every range but for one value."""
    observation = observe(positions=(0.1, 0.0, 0.5))
    proprioception = observation.proprioception.copy()
    proprioception[index] = value
    return replace(observation, proprioception=proprioception)


def test_every_state_between_least_and_greatest_is_inside(policy: OnnxPolicy) -> None:
    limits = SeenRange(policy.card)
    rng = np.random.default_rng(0)
    for share in [*rng.uniform(0, 1, (100, 6)), np.zeros(6), np.ones(6)]:
        # The card's numbers are float64, what is measured is float32.
        values = (limits.low + share * (limits.high - limits.low)).astype(np.float32)
        assert limits.excess(values).max() < 1e-6


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("side", [-1, 1])
def test_beyond_its_margin_a_joint_is_refused_with_name_value_and_range(
    policy: OnnxPolicy, observe: Observe, index: int, side: int
) -> None:
    guarded = WithinSeenRange(policy, policy.card)
    edge = HIGH[index] if side > 0 else LOW[index]
    guarded.predict(seen(observe, index, edge + side * 0.99 * MARGINS[index]))
    value = edge + side * 1.01 * MARGINS[index]
    name = policy.card.proprioception_names[index]
    with pytest.raises(OutsideError) as error:
        guarded.predict(seen(observe, index, value))
    assert f"{name} is {np.float32(value):.3f}" in str(error.value)
    assert f"{LOW[index]:.3f} to {HIGH[index]:.3f}" in str(error.value)
    assert "bring the arm back" in str(error.value)
    assert "\n" not in str(error.value)


def test_joint_that_never_moved_in_training_is_not_refused_for_noise(
    policy: OnnxPolicy, observe: Observe
) -> None:
    heard = Heard()
    guarded = WithinSeenRange(policy, policy.card, heard)
    rng = np.random.default_rng(1)
    for noise in rng.normal(0, 0.005, 200):  # rad: a hobby servo's step is 0.0015
        guarded.predict(seen(observe, 1, float(noise)))
    assert heard.events == []


def test_velocities_are_judged_more_leniently_than_positions(policy: OnnxPolicy) -> None:
    limits = SeenRange(policy.card)
    leniency = limits.margin / np.maximum(limits.high - limits.low, 0.1)  # in spans
    assert leniency[3:].min() > 1.2 * leniency[:3].max()


def test_what_is_outside_is_reported_once_per_joint(
    policy: OnnxPolicy, observe: Observe, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    guarded = WithinSeenRange(policy, policy.card, heard)
    for _ in range(5):
        guarded.predict(seen(observe, 0, HIGH[0] + 2 * NOTED * MARGINS[0]))
        guarded.predict(seen(observe, 2, LOW[2] - 2 * NOTED * MARGINS[2]))
    assert [(event, details["name"]) for event, details in heard.events] == [
        ("outside", "pan.pos"), ("outside", "gripper.pos")
    ]  # fmt: skip
    assert [record.getMessage().split(" is ")[0] for record in caplog.records] == [
        "pan.pos", "gripper.pos"
    ]  # fmt: skip


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_outside(policy: OnnxPolicy, observe: Observe, value: float) -> None:
    with pytest.raises(OutsideError):
        WithinSeenRange(policy, policy.card).predict(seen(observe, 4, value))


def test_proprioception_of_another_length_is_still_named_by_the_policy(
    policy: OnnxPolicy, observe: Observe
) -> None:
    observation = replace(observe(), proprioception=np.zeros(5, np.float32))
    with pytest.raises(PolicyError, match=r"has proprioception of shape \(6,\), got \(5,\)"):
        WithinSeenRange(policy, policy.card).predict(observation)


def test_robot_holds_with_that_sentence_and_goes_on_when_it_is_back(
    serving: Callable[..., AbstractContextManager[PolicyServer]],
    policy: OnnxPolicy,
    spec: RobotSpec,
    make_steps: Callable[[RemoteAgent], Any],
) -> None:
    guarded = WithinSeenRange(policy, policy.card)
    with serving(guarded) as server, RemotePolicy(server.endpoint, spec) as remote:
        # A chunk here lasts a tenth of a second, less than a busy computer's silence.
        steps = make_steps(RemoteAgent(remote, silence_s=5.0))
        steps.positions = (0.1, 0.0, 0.5)
        steps.until("running")
        steps.positions = (0.1, 0.9, 0.5)
        steps.until("holding", "lift.pos is 0.900, outside the range 0.000 to 0.000")
        held = steps.until_still()
        for _ in range(10):
            np.testing.assert_array_equal(steps.step(), held)
        steps.positions = (0.1, 0.0, 0.5)
        steps.until("running")
        assert steps.agent.reason == remote.refusal == ""


class Once:
    """Decides once, then is always too far outside."""

    def __init__(self) -> None:
        self.count = 0

    def reset(self) -> None:
        self.count = 0

    def decide(self, observation: Observation) -> Action:
        self.count += 1
        if self.count != 2:
            raise OutsideError("too far")
        return np.array([0.7, 0.7, 0.7], np.float32)


def test_simulated_arm_keeps_still_where_a_served_one_would(
    spec: RobotSpec, observe: Observe
) -> None:
    agent = StillOutside(Once(), spec)
    agent.reset()
    here = observe(positions=(0.1, 0.2, 1.5))  # a gripper beyond its stop
    np.testing.assert_allclose(agent.decide(here), [0.1, 0.2, 1.0], atol=1e-6)
    for _ in range(3):
        np.testing.assert_allclose(agent.decide(here), 0.7, atol=1e-6)


def test_card_of_another_order_is_judged_by_name(
    spec: RobotSpec, policy: OnnxPolicy, observe: Observe
) -> None:
    class Anything:
        def __init__(self) -> None:
            self.spec = spec

        def predict(self, observation: Observation) -> Any:
            return None

    def turned(values: tuple[float, ...]) -> tuple[float, ...]:
        return values[::-1]

    card: PolicyCard = policy.card
    card = PolicyCard(
        **{name: getattr(card, name) for name in card.__struct_fields__}
        | {
            "proprioception_names": turned(card.proprioception_names),  # type: ignore[arg-type]
            "proprioception_low": turned(LOW),
            "proprioception_high": turned(HIGH),
        }
    )
    guarded = WithinSeenRange(Anything(), card)
    guarded.predict(seen(observe, 2, 0.75))
    with pytest.raises(OutsideError, match=r"pan\.pos is 0\.750"):
        guarded.predict(seen(observe, 0, 0.75))
