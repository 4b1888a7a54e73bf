"""A policy in one ONNX file, checked against its card and the robot before it may move anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.errors import PolicyError
from demoloop.deploy.fit import check_fit
from demoloop.deploy.graph import check_graph_asks
from demoloop.robot import Observation, RobotSpec
from demoloop.robot.card import CardError, PolicyCard, probe_input, verify_seal

MAX_FILE_BYTES = 512 << 20  # an ACT of 15 M parameters has 60 MB


class OnnxPolicy:
    """Predicts action chunks with ONNX Runtime on the CPU. Made by `OnnxPolicy.load`.

    The graph is whole: `proprioception` float32 (1, P) and, per camera, `image.<camera>` uint8
    (1, H, W, 3) go in, `actions` float32 (1, horizon, action_dim) come out, absolute targets
    clamped to the joint limits. Normalising and resizing happen inside.
    """

    def __init__(self, card: PolicyCard, session: ort.InferenceSession) -> None:
        self.card = card
        self._session = session
        names = card.spec.proprioception_names
        self._columns = [names.index(name) for name in card.proprioception_names]

    @classmethod
    def load(cls, path: Path, spec: RobotSpec | None = None, threads: int = 1) -> OnnxPolicy:
        """Reads, checks and probes a policy file.

        Args:
            path: The file `demoloop export` wrote.
            spec: Of the robot it is to move; None asks only whether the file is sound.
            threads: CPU threads of one inference.

        Raises:
            PolicyError: It is missing, edited, made for another robot, does not match its own
                card, or answers the parity probe differently on this machine.
        """
        try:
            size = Path(path).stat().st_size
            if size > MAX_FILE_BYTES:
                raise PolicyError(
                    f"{path} has {size} bytes, a policy has at most {MAX_FILE_BYTES}; "
                    "name the file that `demoloop export` wrote"
                )
            data = Path(path).read_bytes()
        except OSError as error:
            raise PolicyError(
                f"cannot read the policy {path}: {error.strerror}; `demoloop export` writes one"
            ) from error
        try:
            card = verify_seal(data)
            check_graph_asks(data, f"the policy {path}")
        except CardError as error:
            raise PolicyError(f"{path}: {error}") from error
        if spec is not None:
            check_fit(card.spec, spec, f"the policy {path}")
        session = _open(path, data, threads)
        _check_graph(path, card, session)
        policy = cls(card, session)
        policy.check_parity(path)
        return policy

    @property
    def spec(self) -> RobotSpec:
        """The robot it was trained for."""
        return self.card.spec

    def predict(self, observation: Observation) -> ActionChunk:
        """Returns the chunk that starts at `observation.time`.

        Raises:
            PolicyError: The observation has not the cameras, sizes or joints on the card.
        """
        spec = self.card.spec
        num_values = len(spec.proprioception_names)
        if observation.proprioception.shape != (num_values,):
            raise PolicyError(
                f"{spec.name} has proprioception of shape ({num_values},), "
                f"got {observation.proprioception.shape}"
            )
        for camera in spec.cameras:
            image = observation.images.get(camera.name)
            expected = (camera.height, camera.width, 3)
            if image is None or image.shape != expected or image.dtype != np.uint8:
                got = "none" if image is None else f"{image.dtype} {image.shape}"
                raise PolicyError(
                    f"camera {camera.name} must give a uint8 image {expected}, got {got}"
                )
        proprioception = observation.proprioception[self._columns]
        return ActionChunk(self._run(observation.images, proprioception), observation.time)

    def _run(
        self, images: Mapping[str, NDArray[np.uint8]], proprioception: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Returns actions (horizon, action_dim) for one look."""
        feeds: dict[str, NDArray[np.uint8] | NDArray[np.float32]] = {
            f"image.{name}": images[name][None] for name in self.card.spec.camera_names
        }
        feeds["proprioception"] = proprioception[None].astype(np.float32)
        answers: Sequence[Any] = self._session.run(["actions"], feeds)
        chunk: NDArray[np.float32] = answers[0][0]  # answers[0] is (1, horizon, action_dim)
        return chunk

    def check_parity(self, path: Path) -> None:
        """Raises PolicyError when the probe's answer is not the one the exporter saw.

        It also warms the session up: the first inference is several times slower than the rest.
        """
        images, proprioception = probe_input(self.card)
        actual = self._run(images, proprioception)
        expected = np.array(self.card.parity.expected)  # (horizon, action_dim)
        tolerance = np.array(self.card.parity.tolerance)  # (action_dim,)
        # Written so that a NaN fails it too.
        wrong = ~(np.abs(actual - expected) <= tolerance)
        if wrong.any():
            step, joint = np.argwhere(wrong)[0]
            name = self.spec.joints[joint].name
            raise PolicyError(
                f"{path} answers differently here than where it was exported: step {step}, "
                f"{name}: {actual[step, joint]:.6f}, expected {expected[step, joint]:.6f} "
                f"+- {tolerance[joint]:.2g}; update onnxruntime ({ort.__version__} here), or "
                "export again"
            )


def _open(path: Path, data: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A waiting thread must not spin: the control loop needs that core more.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Weights outside the file are outside its seal: look for them where nothing can be.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", "/nonexistent"
    )
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class below this
        reason = str(error).splitlines()[0][:300]
        raise PolicyError(f"{path}: onnxruntime {ort.__version__} refuses it: {reason}") from error


def _check_graph(path: Path, card: PolicyCard, session: ort.InferenceSession) -> None:
    """Raises PolicyError when the graph's inputs and output are not those the card promises."""
    inputs = {"proprioception": ("tensor(float)", [1, len(card.proprioception_names)])}
    for camera in card.spec.cameras:
        inputs[f"image.{camera.name}"] = ("tensor(uint8)", [1, camera.height, camera.width, 3])
    outputs = {"actions": ("tensor(float)", [1, card.horizon, card.spec.action_dim])}
    for what, promised, nodes in (
        ("input", inputs, session.get_inputs()),
        ("output", outputs, session.get_outputs()),
    ):
        found = {node.name: (node.type, node.shape) for node in nodes}
        if found != promised:
            name = next(n for n in (promised | found) if promised.get(n) != found.get(n))
            raise PolicyError(
                f"{path}: {what} {name!r} of the graph is {found.get(name, 'absent')}, its card "
                f"promises {promised.get(name, 'none such')}; export the policy again"
            )
