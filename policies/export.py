"""From a run folder to one ONNX file that is all an onboard computer needs.

Normalisation, the resize rule and the clamp to the joint limits are in the graph; the card is in
the metadata. A file whose answers differ from torch's is not written.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demoloop import __version__
from demoloop.policies.checkpoint import load_policy
from demoloop.policies.errors import PolicyError
from demoloop.policies.policy import Policy, PolicyShape
from demoloop.policies.quantize import quantize_convolutions
from demoloop.robot import RobotSpec
from demoloop.robot.card import CARD_KEY, ParityProbe, PolicyCard, probe_goal, probe_input, seal
from demoloop.robot.signature import sign, trailer

PARITY = 1e-5  # of a joint's range, between torch and ONNX Runtime
INT8_PARITY = 0.01  # of a joint's range, between torch and the int8 file on real frames
_OPSET = 20
_SEED = 20_260
_Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ExportReport:
    """What was measured while exporting."""

    path: Path
    megabytes: float
    worst_error: float  # largest |torch - file| on what was compared, as part of a joint's range


class Onboard(nn.Module):
    """What is exported: the policy with its answer clamped to the joint limits."""

    low: Tensor
    high: Tensor

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy
        spec = policy.shape.spec
        self.register_buffer("low", torch.from_numpy(spec.low))
        self.register_buffer("high", torch.from_numpy(spec.high))

    def forward(self, proprioception: Tensor, *looks: Tensor) -> Tensor:
        """(1, P), per camera (1, H, W, 3) uint8, and marks if any, to (1, horizon, action_dim)."""
        cameras = self.policy.shape.cameras
        images, goal = dict(zip(cameras, looks, strict=False)), looks[len(cameras) :]
        chunk = self.policy.predict(images, proprioception, *goal)
        return torch.minimum(torch.maximum(chunk, self.low), self.high)


def export(
    run: Path,
    path: Path,
    *,
    int8: bool = False,
    frames: list[_Arrays] | None = None,
    secret: str | None = None,
) -> ExportReport:
    """Writes the averaged policy of run folder `run` to `path`.

    Args:
        run: A folder that `demoloop train` wrote.
        path: The ONNX file to write; replaced only when all checks pass.
        int8: Quantise convolutions to 8 bits (static QDQ), calibrated on the first half of
            `frames`.
        frames: Real inputs to compare on: {"proprioception": (P,), "image.<camera>": (H, W, 3)}
            and, where people point, "goal": (num_marks, 2).
        secret: Key to sign the file with, 64 hexadecimal digits; None leaves it unsigned.

    Raises:
        PolicyError: The run folder is none, `path` cannot be written, or the file answers
            differently from torch, by more than is allowed.
    """
    policy, info = load_policy(run)
    onboard = Onboard(policy).eval()
    spec = policy.shape.spec
    card = _card(info, policy.shape, int8)
    _check_frames(frames or [], policy.shape)
    _make_room(path)
    plain = path.with_name(path.name + ".fp32.partial")
    temporary = path.with_name(path.name + ".partial")
    try:
        _write_graph(onboard, plain)
        if int8:
            if not frames:
                raise PolicyError("int8 needs recorded frames to calibrate on; give the dataset")
            # The other half is for judging alone: on what it was calibrated on, int8 flatters.
            calibration = frames[: (len(frames) + 1) // 2]
            quantize_convolutions(plain, temporary, [_batched(frame) for frame in calibration])
        else:
            plain.rename(temporary)
        session = ort.InferenceSession(temporary.read_bytes(), providers=["CPUExecutionProvider"])
        images, proprioception = probe_input(card)
        probe: _Arrays = {"proprioception": proprioception}
        probe |= {f"image.{name}": image for name, image in images.items()}
        goal = probe_goal(card)
        if goal is not None:
            probe["goal"] = goal
        span = spec.high - spec.low
        # Noise of the probe tells nothing about int8 on pictures: that is judged on real frames.
        compared = list(_inputs(policy, info)) if frames is None else frames
        compared = compared if int8 else [*compared, probe]
        worst = _worst_error(onboard, session, compared, spec, INT8_PARITY if int8 else PARITY)
        expected = (_run(session, probe) if int8 else _torch(onboard, probe)).astype(float)
        tolerance = (INT8_PARITY if int8 else PARITY) * span.astype(float)
        _write_card(temporary, card, expected, tolerance)
        sealed = seal(temporary)
        if secret is not None:
            with temporary.open("ab") as file:
                file.write(trailer(sign(sealed.sha256, secret)))
        temporary.rename(path)
    except OSError as error:
        raise PolicyError(
            f"{path} cannot be written: {error.strerror or error}; choose another file"
        ) from error
    finally:
        plain.unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)
    return ExportReport(path, path.stat().st_size / 1e6, worst)


def _make_room(path: Path) -> None:
    """Makes the folder of the file; raises PolicyError when there is no room for one."""
    if path.is_dir():
        raise PolicyError(
            f"{path} is a folder; name the ONNX file to write, such as {path / 'policy.onnx'}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PolicyError(
            f"{path} cannot be written: {error.strerror}; choose another file"
        ) from error


def _check_frames(frames: list[_Arrays], shape: PolicyShape) -> None:
    """Raises PolicyError when a frame is not what the policy's cameras and joints give."""
    expected: dict[str, tuple[int, ...]] = {"proprioception": (shape.proprioception_dim,)}
    expected |= {f"image.{c.name}": (c.height, c.width, 3) for c in shape.spec.cameras}
    if shape.marks is not None:
        expected["goal"] = (len(shape.marks.names), 2)
    for frame in frames:
        found = {name: value.shape for name, value in frame.items()}
        if found != expected:
            raise PolicyError(
                f"the frames to calibrate on have {found}, the policy takes {expected}; "
                "give a dataset of the robot it was trained on"
            )


def _write_graph(onboard: Onboard, path: Path) -> None:
    shape = onboard.policy.shape
    images = [torch.zeros(1, c.height, c.width, 3, dtype=torch.uint8) for c in shape.spec.cameras]
    inputs = (torch.zeros(1, shape.proprioception_dim), *images)
    names = ["proprioception", *(f"image.{name}" for name in shape.cameras)]
    if shape.marks is not None:
        inputs += (torch.full((1, len(shape.marks.names), 2), 0.5),)
        names.append("goal")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter about itself
        torch.onnx.export(
            onboard, inputs, path, dynamo=True, opset_version=_OPSET, external_data=False,
            input_names=names, output_names=["actions"], verbose=False,
        )  # fmt: skip


def _worst_error(
    onboard: Onboard,
    session: ort.InferenceSession,
    inputs: list[_Arrays],
    spec: RobotSpec,
    allowed: float,
) -> float:
    """Returns the largest error as part of a joint's range; raises PolicyError above `allowed`."""
    worst = 0.0
    for values in inputs:
        error = np.abs(_torch(onboard, values) - _run(session, values))  # (horizon, A)
        part = (error / (spec.high - spec.low)).max(0)  # (A,)
        joint = int(part.argmax())
        # Written so that a NaN fails it too.
        if not part[joint] <= allowed:
            raise PolicyError(
                f"the exported file differs from torch: {spec.joints[joint].name} by "
                f"{part[joint]:.2e} of its range, at most {allowed:.0e} is allowed; "
                "nothing was written" + ("; export without int8" if allowed == INT8_PARITY else "")
            )
        worst = max(worst, float(part[joint]))
    return worst


def _torch(onboard: Onboard, values: _Arrays) -> NDArray[np.float32]:
    batched = _batched(values)
    # Copies, since a recorded frame may be read-only memory, of which torch is wary.
    looks = [torch.tensor(batched[f"image.{n}"]) for n in onboard.policy.shape.cameras]
    if "goal" in batched:
        looks.append(torch.tensor(batched["goal"]))
    with torch.no_grad():
        chunk: Tensor = onboard(torch.tensor(batched["proprioception"]), *looks)
    answer: NDArray[np.float32] = chunk[0].numpy()  # (horizon, A)
    return answer


def _run(session: ort.InferenceSession, values: _Arrays) -> NDArray[np.float32]:
    (chunks,) = session.run(["actions"], _batched(values))
    answer: NDArray[np.float32] = np.asarray(chunks)[0]  # (horizon, A)
    return answer


def _batched(values: _Arrays) -> _Arrays:
    return {name: np.ascontiguousarray(value)[None] for name, value in values.items()}


def _inputs(policy: Policy, info: dict[str, Any], count: int = 16) -> Iterator[_Arrays]:
    """Yields inputs inside the range seen in training."""
    rng = np.random.default_rng(_SEED)
    low, high = np.array(info["proprioception_low"]), np.array(info["proprioception_high"])
    for _ in range(count):
        values: _Arrays = {"proprioception": rng.uniform(low, high).astype(np.float32)}
        for camera in policy.shape.spec.cameras:
            size = (camera.height, camera.width, 3)
            values[f"image.{camera.name}"] = rng.integers(0, 256, size, dtype=np.uint8)
        if policy.shape.marks is not None:
            values["goal"] = rng.random((len(policy.shape.marks.names), 2), np.float32)
        yield values


def _card(info: dict[str, Any], shape: PolicyShape, int8: bool) -> PolicyCard:
    """Returns the card with a probe whose answer is still to be filled in."""
    spec, horizon = shape.spec, shape.horizon
    nothing = tuple((0.0,) * spec.action_dim for _ in range(horizon))
    return PolicyCard(
        policy=info["policy"] + ("-int8" if int8 else ""),
        spec=spec,
        spec_fingerprint=spec.fingerprint(),
        proprioception_names=tuple(info["proprioception_names"]),
        proprioception_low=tuple(info["proprioception_low"]),
        proprioception_high=tuple(info["proprioception_high"]),
        horizon=horizon,
        tasks=tuple(info["tasks"]),
        marks=shape.marks,
        dataset_view=info["dataset_view"],
        code_version=__version__,
        train_config=info["train_config"],
        parity=ParityProbe(seed=_SEED, expected=nothing, tolerance=(0.0,) * spec.action_dim),
    )


def _write_card(
    path: Path, card: PolicyCard, expected: NDArray[np.float64], tolerance: NDArray[np.float64]
) -> None:
    probe = ParityProbe(
        seed=card.parity.seed,
        expected=tuple(tuple(row) for row in expected.tolist()),
        tolerance=tuple(tolerance.tolist()),
    )
    card = msgspec.structs.replace(card, parity=probe)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.save(model, path)
