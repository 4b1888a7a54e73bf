"""An arm of two joints and a policy file that lets it swing, for benchmarks of the runtime."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from demoloop.robot import Action, CameraSpec, JointSpec, Observation, RobotSpec
from demoloop.robot.card import CARD_KEY, ParityProbe, PolicyCard, probe_input, seal

SPEC = RobotSpec(
    "swing",
    (JointSpec("pan", -1.0, 1.0, 3.0, 15.0), JointSpec("lift", -1.0, 1.0, 3.0, 15.0)),
    (CameraSpec("front", 48, 64),),
    50.0,
)
_HORIZON = 25
_RAD_S = 2.0  # of the swing


class Swinger:
    """Joints that lag behind their commands and report their velocity."""

    def __init__(self) -> None:
        self.spec = SPEC
        self.reset()

    def reset(self) -> None:
        """Stands off the middle."""
        self._position = np.array([0.5, -0.5])
        self._velocity = np.zeros(2)
        self._target = self._position.copy()
        self._time = time.monotonic()

    def observe(self) -> Observation:
        """Looks, and moves on to the present."""
        now = time.monotonic()
        dt, self._time = now - self._time, now
        step = (self._target - self._position) * (1 - np.exp(-dt / 0.03))
        self._position = self._position + step
        if dt > 0:
            self._velocity = step / dt
        proprioception = np.concatenate([self._position, self._velocity]).astype(np.float32)
        shown_at = int(now * 50) / 50
        pixels: NDArray[np.uint8] = np.full((48, 64, 3), 7, np.uint8)
        return Observation(now, proprioception, {"front": pixels}, {"front": shown_at})

    def act(self, action: Action) -> Action:
        """Goes there, in its own time."""
        self._target = action.astype(np.float64)
        return action

    def close(self) -> None:
        """Has nothing to let go of."""


def write_policy(path: Path) -> Path:
    """Writes a sealed file: each joint goes on with the swing that it is in, a little wider."""
    at = np.arange(1, _HORIZON + 1) / SPEC.control_hz
    weights = np.zeros((4, _HORIZON, 2), np.float32)
    for joint in range(2):
        weights[joint, :, joint] = 1.1 * np.cos(_RAD_S * at)
        weights[2 + joint, :, joint] = 1.1 * np.sin(_RAD_S * at) / _RAD_S
    values = {
        "weights": weights.reshape(4, -1), "shape": np.array([1, _HORIZON, 2]),
        "low": SPEC.low, "high": SPEC.high, "little": np.array(1e-9, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("MatMul", ["proprioception", "weights"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["swing"]),
        helper.make_node("Cast", ["image.front"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "little"], ["seen"]),
        helper.make_node("Add", ["swing", "seen"], ["sum"]),
        helper.make_node("Max", ["sum", "low"], ["above"]),
        helper.make_node("Min", ["above", "high"], ["actions"]),
    ]
    inputs = [
        helper.make_tensor_value_info("proprioception", TensorProto.FLOAT, [1, 4]),
        helper.make_tensor_value_info("image.front", TensorProto.UINT8, [1, 48, 64, 3]),
    ]
    output = helper.make_tensor_value_info("actions", TensorProto.FLOAT, [1, _HORIZON, 2])
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "swing", inputs, [output], constants)
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    _seal(model, path)
    return path


def _seal(model: onnx.ModelProto, path: Path) -> None:
    def card(expected: tuple[tuple[float, ...], ...]) -> PolicyCard:
        return PolicyCard(
            policy="swing",
            spec=SPEC,
            spec_fingerprint=SPEC.fingerprint(),
            proprioception_names=SPEC.proprioception_names,
            proprioception_low=(-10.0,) * 4,
            proprioception_high=(10.0,) * 4,
            horizon=_HORIZON,
            tasks=("none",),
            dataset_view="none",
            code_version="0",
            train_config={"steps": 0},
            parity=ParityProbe(seed=3, expected=expected, tolerance=(1e-4, 1e-4)),
        )

    images, proprioception = probe_input(card(((0.0, 0.0),) * _HORIZON))
    feeds = {"proprioception": proprioception[None], "image.front": images["front"][None]}
    answer = np.asarray(ort.InferenceSession(model.SerializeToString()).run(None, feeds)[0])
    helper.set_model_props(model, {CARD_KEY: card(tuple(map(tuple, answer[0].tolist()))).to_json()})
    path.write_bytes(model.SerializeToString())
    seal(path)
