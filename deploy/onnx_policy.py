"""A policy in one ONNX file, checked against its card and the robot before it may move anything."""

from __future__ import annotations

import logging
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
from demoloop.deploy.policy_file import opened
from demoloop.deploy.providers import Provider, candidates, open_session
from demoloop.deploy.signatures import Signers, describe
from demoloop.robot import Observation, RobotError, RobotSpec
from demoloop.robot.card import CardError, PolicyCard, probe_goal, probe_input, verify_seal
from demoloop.robot.marked import check_goal
from demoloop.robot.signature import split

_log = logging.getLogger(__name__)


class OnnxPolicy:
    """Predicts action chunks with ONNX Runtime. Made by `OnnxPolicy.load`.

    The graph is whole: `proprioception` float32 (1, P) and, per camera, `image.<camera>` uint8
    (1, H, W, 3) go in, where the card has marks also `goal` float32 (1, num_marks, 2); `actions`
    float32 (1, horizon, action_dim) come out, absolute targets clamped to the joint limits.
    Normalising and resizing happen inside.
    """

    def __init__(
        self, card: PolicyCard, session: ort.InferenceSession, provider: str, signed: str
    ) -> None:
        self.card = card
        self.provider = provider  # what computes it
        self.signed = signed  # by whom, in words
        self._session = session
        names = card.spec.proprioception_names
        self._columns = [names.index(name) for name in card.proprioception_names]

    @classmethod
    def load(
        cls,
        path: Path,
        spec: RobotSpec | None = None,
        threads: int = 1,
        *,
        signers: Signers | None = None,
        provider: Provider = "cpu",
    ) -> OnnxPolicy:
        """Reads, checks and probes a policy file.

        Args:
            path: The file `demoloop export` wrote.
            spec: Of the robot it is to move; None asks only whether the file is sound.
            threads: CPU threads of one inference.
            signers: Whose signature it must have; None does not look.
            provider: What computes it. One whose answer to the probe is not that of the exporter
                is passed over with a warning, and the CPU takes its place.

        Raises:
            PolicyError: It is missing, edited, not signed by whom it should be, made for another
                robot, does not match its own card, or answers the parity probe differently on
                this machine.
        """
        to_try = candidates(provider)
        with opened(path) as file:
            with file.looked_at() as data:
                card, signed = _checked(path, data, signers)
            if spec is not None:
                check_fit(card.spec, spec, f"the policy {path}")
            for name in to_try[:-1]:
                try:
                    return cls._probed(path, file.source, card, name, threads, signed)
                except PolicyError as error:
                    _log.warning("%s does not compute this policy: %s", name, error)
            return cls._probed(path, file.source, card, to_try[-1], threads, signed)

    @classmethod
    def _probed(
        cls, path: Path, source: str | bytes, card: PolicyCard, provider: str, threads: int,
        signed: str,
    ) -> OnnxPolicy:  # fmt: skip
        session = open_session(path, source, provider, threads)
        _check_graph(path, card, session)
        policy = cls(card, session, provider, signed)
        policy.check_parity(path)
        return policy

    @property
    def spec(self) -> RobotSpec:
        """The robot it was trained for."""
        return self.card.spec

    def predict(self, observation: Observation) -> ActionChunk:
        """Returns the chunk that starts at `observation.time`.

        Raises:
            PolicyError: The observation has not the cameras, sizes, joints or marks on the card.
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
        actions = self._run(observation.images, proprioception, self._goal(observation))
        return ActionChunk(actions, observation.time)

    def _goal(self, observation: Observation) -> NDArray[np.float32] | None:
        """Returns the marks the policy is told, None for one that listens to none."""
        if self.card.marks is None:
            return None
        try:
            return check_goal(observation.goal, self.card.marks)
        except RobotError as error:
            raise PolicyError(f"this policy does what is pointed at, and {error}") from error

    def _run(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        proprioception: NDArray[np.float32],
        goal: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Returns actions (horizon, action_dim) for one look."""
        feeds: dict[str, NDArray[np.uint8] | NDArray[np.float32]] = {
            f"image.{name}": images[name][None] for name in self.card.spec.camera_names
        }
        feeds["proprioception"] = proprioception[None].astype(np.float32)
        if goal is not None:
            feeds["goal"] = goal[None].astype(np.float32)
        answers: Sequence[Any] = self._session.run(["actions"], feeds)
        chunk: NDArray[np.float32] = answers[0][0]  # answers[0] is (1, horizon, action_dim)
        return chunk

    def check_parity(self, path: Path) -> None:
        """Raises PolicyError when the probe's answer is not the one the exporter saw.

        It also warms the session up: the first inference is several times slower than the rest.
        """
        images, proprioception = probe_input(self.card)
        actual = self._run(images, proprioception, probe_goal(self.card))
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


def _checked(path: Path, data: memoryview, signers: Signers | None) -> tuple[PolicyCard, str]:
    """Returns the card of a file and who signed it, before ONNX Runtime sees a byte of it."""
    try:
        card = verify_seal(data)
        _, signature = split(data)
        signer = ""
        if signers is not None:
            signer = signers.check(card.sha256, signature, f"the policy {path}")
        check_graph_asks(data, f"the policy {path}")
    except CardError as error:
        raise PolicyError(f"{path}: {error}") from error
    return card, describe(signature, signer)


def _check_graph(path: Path, card: PolicyCard, session: ort.InferenceSession) -> None:
    """Raises PolicyError when the graph's inputs and output are not those the card promises."""
    inputs = {"proprioception": ("tensor(float)", [1, len(card.proprioception_names)])}
    for camera in card.spec.cameras:
        inputs[f"image.{camera.name}"] = ("tensor(uint8)", [1, camera.height, camera.width, 3])
    if card.marks is not None:
        inputs["goal"] = ("tensor(float)", [1, len(card.marks.names), 2])
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
