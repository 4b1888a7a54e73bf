"""A robot of three joints and a policy file for it, small enough to be made in each test."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from demoloop.deploy import ActionChunk, Predictor
from demoloop.deploy.events import OnEvent, ignore
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.server import PolicyServer
from demoloop.robot import Action, CameraSpec, JointSpec, Observation, RobotSpec
from demoloop.robot.card import CARD_KEY, ParityProbe, PolicyCard, probe_input, seal

HORIZON = 6
SLOPE = np.array([0.01, -0.02, 0.05], np.float32)  # [unit per step] how far the policy moves


@pytest.fixture
def spec() -> RobotSpec:
    return RobotSpec(
        "tiny",
        (
            JointSpec("pan", -1.0, 1.0, 2.0, 10.0),
            JointSpec("lift", -0.5, 1.5, 2.0, 10.0),
            JointSpec("gripper", 0.0, 1.0, 3.0, 20.0, "opening"),
        ),
        (CameraSpec("front", 9, 20), CameraSpec("wrist", 16, 16)),
        50.0,
    )


@pytest.fixture
def observe(spec: RobotSpec) -> Callable[..., Observation]:
    """Makes what `spec`'s robot sees at a time with its joints at given positions."""

    def make(time: float = 0.0, positions: tuple[float, ...] = (0.1, 0.2, 0.3)) -> Observation:
        return Observation(
            time,
            np.array([*positions, 0.0, 0.0, 0.0], np.float32),
            {c.name: np.full((c.height, c.width, 3), 7, np.uint8) for c in spec.cameras},
            {c.name: time for c in spec.cameras},
        )

    return make


def tiny_card(spec: RobotSpec) -> PolicyCard:
    fastest = [joint.max_velocity for joint in spec.joints]
    return PolicyCard(
        policy="ramp",
        spec=spec,
        spec_fingerprint=spec.fingerprint(),
        proprioception_names=spec.proprioception_names,
        proprioception_low=(*spec.low.tolist(), *(-speed for speed in fastest)),
        proprioception_high=(*spec.high.tolist(), *fastest),
        horizon=HORIZON,
        tasks=("nothing in particular",),
        dataset_view="none",
        code_version="0",
        train_config={"steps": 0},
        parity=ParityProbe(
            seed=3,
            expected=((0.0,) * spec.action_dim,) * HORIZON,
            tolerance=(1e-5,) * spec.action_dim,
        ),
    )


def tiny_graph(spec: RobotSpec) -> onnx.ModelProto:
    """actions[k] = clip(positions + (k + 1) * slope + 1e-4 * mean of all pixels).

    The slope is SLOPE, repeated for robots of more joints.
    """
    num_values = len(spec.proprioception_names)
    inputs = [helper.make_tensor_value_info("proprioception", TensorProto.FLOAT, [1, num_values])]
    ramp = np.arange(1, HORIZON + 1, dtype=np.float32)[:, None] * np.resize(SLOPE, spec.action_dim)
    constants = {
        "start": np.array([0]),
        "end": np.array([spec.action_dim]),
        "axis": np.array([1]),
        "ramp": ramp[None],
        "low": spec.low,
        "high": spec.high,
        "gain": np.array(1e-4 / len(spec.cameras), np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["proprioception", "start", "end", "axis"], ["positions"]),
        helper.make_node("Unsqueeze", ["positions", "axis"], ["now"]),
        helper.make_node("Add", ["now", "ramp"], ["sum_0"]),
    ]
    for index, camera in enumerate(spec.cameras):
        name, size = f"image.{camera.name}", [1, camera.height, camera.width, 3]
        inputs.append(helper.make_tensor_value_info(name, TensorProto.UINT8, size))
        nodes += [
            helper.make_node("Cast", [name], [f"float_{index}"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", [f"float_{index}"], [f"mean_{index}"], keepdims=0),
            helper.make_node("Mul", [f"mean_{index}", "gain"], [f"seen_{index}"]),
            helper.make_node("Add", [f"sum_{index}", f"seen_{index}"], [f"sum_{index + 1}"]),
        ]
    nodes += [
        helper.make_node("Max", [f"sum_{len(spec.cameras)}", "low"], ["above"]),
        helper.make_node("Min", ["above", "high"], ["actions"]),
    ]
    shape = [1, HORIZON, spec.action_dim]
    graph = helper.make_graph(
        nodes,
        "ramp",
        inputs,
        [helper.make_tensor_value_info("actions", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def write_policy(
    path: Path,
    spec: RobotSpec,
    change_card: Callable[[PolicyCard], PolicyCard] = lambda card: card,
    **of_card: object,
) -> Path:
    """Writes a sealed policy file with a card of other values than the usual ones.

    `change_card` may spoil the card after the probe was run.
    """
    model, card = tiny_graph(spec), msgspec.structs.replace(tiny_card(spec), **of_card)
    images, proprioception = probe_input(card)
    feeds = {f"image.{name}": image[None] for name, image in images.items()}
    session = ort.InferenceSession(model.SerializeToString())
    answers: Sequence[Any] = session.run(None, feeds | {"proprioception": proprioception[None]})
    expected = tuple(map(tuple, answers[0][0].tolist()))
    probe = ParityProbe(seed=3, expected=expected, tolerance=card.parity.tolerance)
    card = change_card(msgspec.structs.replace(card, parity=probe))
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    path.write_bytes(model.SerializeToString())
    seal(path)
    return path


@pytest.fixture
def policy_file(tmp_path: Path, spec: RobotSpec) -> Path:
    return write_policy(tmp_path / "policy.onnx", spec)


@pytest.fixture
def other_spec(spec: RobotSpec) -> RobotSpec:
    """The same robot, but its second joint turns 0.1 rad less."""
    pan, lift, gripper = spec.joints
    return replace(spec, joints=(pan, replace(lift, high=1.4), gripper))


@pytest.fixture
def make_policy() -> Callable[..., Path]:
    return write_policy


@pytest.fixture
def make_graph() -> Callable[[RobotSpec], onnx.ModelProto]:
    return tiny_graph


class StillPolicy:
    """Asks for the joints to stay where they are plus `offset`, and counts its questions."""

    def __init__(self, spec: RobotSpec, offset: float = 0.01) -> None:
        self.spec = spec
        self.offset = offset
        self.seen: list[Observation] = []

    def predict(self, observation: Observation) -> ActionChunk:
        self.seen.append(observation)
        positions = observation.proprioception[: self.spec.action_dim] + np.float32(self.offset)
        return ActionChunk(np.tile(positions, (HORIZON, 1)), observation.time)


@pytest.fixture
def still(spec: RobotSpec) -> StillPolicy:
    return StillPolicy(spec)


@pytest.fixture
def serving() -> Callable[..., AbstractContextManager[PolicyServer]]:
    """Serves a predictor from a thread of this process within a `with` block."""

    @contextmanager
    def serve(
        policy: Predictor,
        endpoint: str = "tcp://127.0.0.1:*",
        name: str = "policy",
        keys: KeyFolder | None = None,
        on_event: OnEvent = ignore,
    ) -> Iterator[PolicyServer]:
        stop = threading.Event()
        with PolicyServer(policy, endpoint, name, keys, on_event) as server:
            thread = threading.Thread(target=server.serve, args=(stop,))
            thread.start()
            try:
                yield server
            finally:
                stop.set()
                thread.join()

    return serve


class ServerProcess:
    """`demoloop serve` as a process of its own."""

    def __init__(self, policy: Path, bind: str) -> None:
        command = [sys.executable, "-m", "demoloop", "serve", str(policy), "--bind", bind]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        said = self.process.stdout.readline().split()
        assert said[:1] == ["ready"], said
        self.endpoint = said[1]

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


@pytest.fixture
def start_server() -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers, and ends at the latest with the test."""
    started: list[ServerProcess] = []

    def start(policy: Path, bind: str = "tcp://127.0.0.1:*") -> ServerProcess:
        started.append(ServerProcess(policy, bind))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


class TinyRobot:
    """Joints that are at once where they are sent to; looks at grey pictures."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.sent: list[Action] = []
        self._positions = np.array([0.1, 0.2, 0.3], np.float32)

    def reset(self) -> None:
        self._positions = np.array([0.1, 0.2, 0.3], np.float32)

    def observe(self) -> Observation:
        now = time.monotonic()
        return Observation(
            now,
            np.concatenate([self._positions, np.zeros(3, np.float32)]),
            {c.name: np.full((c.height, c.width, 3), 7, np.uint8) for c in self.spec.cameras},
            {c.name: now for c in self.spec.cameras},
        )

    def act(self, action: Action) -> Action:
        self.sent.append(action)
        self._positions = action
        return action

    def close(self) -> None:
        pass


@pytest.fixture
def robot(spec: RobotSpec) -> TinyRobot:
    return TinyRobot(spec)


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until a condition holds, and fails when it does not within ten seconds."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10.0
        while not condition():
            assert time.monotonic() < deadline, "waited 10 s in vain"
            time.sleep(0.005)

    return wait


class Steps:
    """Takes a robot's steps one by one and keeps the targets."""

    def __init__(self, agent: RemoteAgent, observe: Callable[..., Observation]) -> None:
        self.agent = agent
        self.positions = (0.1, 0.2, 0.3)
        self.targets: list[Action] = []
        self._observe = observe

    def step(self) -> Action:
        seen = self._observe(time=time.monotonic(), positions=self.positions)
        self.targets.append(self.agent.decide(seen).copy())
        time.sleep(0.005)
        return self.targets[-1]

    def until(self, state: str, reason: str = "") -> Action:
        """Steps until the agent is in a state; returns the target of that step."""
        deadline = time.monotonic() + 10.0
        while True:
            target = self.step()
            if self.agent.state == state and reason in self.agent.reason:
                return target
            assert time.monotonic() < deadline, f"{self.agent.state}: {self.agent.reason}"

    def until_still(self) -> Action:
        """Steps until three targets are the same; returns them."""
        return self._until(
            lambda: (
                len(self.targets) > 2
                and all(np.array_equal(it, self.targets[-1]) for it in self.targets[-3:])
            )
        )

    def until_near(self, where: Sequence[float], distance: float) -> Action:
        """Steps until no joint is sent further from `where` than `distance`."""
        return self._until(lambda: bool(np.abs(self.targets[-1] - where).max() < distance))

    def _until(self, condition: Callable[[], bool]) -> Action:
        deadline = time.monotonic() + 10.0
        while True:
            target = self.step()
            if condition():
                return target
            assert time.monotonic() < deadline, f"{self.agent.state}: {self.agent.reason}"


@pytest.fixture
def make_steps(observe: Callable[..., Observation]) -> Callable[[RemoteAgent], Steps]:
    return lambda agent: Steps(agent, observe)
