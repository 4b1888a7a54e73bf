"""Laws of exported files: they answer as torch does, or they are not written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.policies import POLICIES, PolicyError
from demoloop.policies.checkpoint import NAME, Checkpoint, load_policy
from demoloop.policies.chunk import ChunkConfig, ChunkPolicy
from demoloop.policies.export import Onboard, export
from demoloop.policies.quantize import quantize_convolutions
from demoloop.policies.registry import PolicyKind
from demoloop.robot import Observation, RobotSpec
from demoloop.robot.card import read_card

Frame = dict[str, NDArray[Any]]


def observations(spec: RobotSpec, count: int, spread: float = 1.0) -> list[Observation]:
    """Joints within `spread` of the middle of their range, images of noise and of one colour."""
    rng = np.random.default_rng(3)
    made = []
    for number in range(count):
        middle, half = (spec.low + spec.high) / 2, (spec.high - spec.low) / 2
        positions = middle + spread * half * rng.uniform(-1, 1, 3)
        images = {
            c.name: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8)
            if number % 2
            else np.full((c.height, c.width, 3), rng.integers(256), np.uint8)
            for c in spec.cameras
        }
        proprioception = np.concatenate([positions, rng.normal(size=3)]).astype(np.float32)
        made.append(Observation(0.0, proprioception, images, dict.fromkeys(images, 0.0)))
    return made


def frames(spec: RobotSpec, count: int = 8) -> list[Frame]:
    return [
        {"proprioception": o.proprioception, **{f"image.{n}": i for n, i in o.images.items()}}
        for o in observations(spec, count, 0.3)
    ]


def torch_answer(onboard: Onboard, observation: Observation) -> NDArray[np.float32]:
    images = [torch.from_numpy(observation.images[n])[None] for n in onboard.policy.shape.cameras]
    with torch.no_grad():
        chunk = onboard(torch.from_numpy(observation.proprioception)[None], *images)
    answer: NDArray[np.float32] = chunk[0].numpy()
    return answer


@pytest.fixture(scope="module", params=list(POLICIES))
def exported(
    request: pytest.FixtureRequest,
    run_of: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """(run folder, its exported file) of each policy."""
    run = run_of(request.param)
    path = tmp_path_factory.mktemp("exported") / f"{request.param}.onnx"
    export(run, path)
    return run, path


@pytest.fixture
def chunk_run(run_of: Callable[[str], Path]) -> Path:
    return run_of("chunk")


def test_exported_policy_agrees_with_torch_to_1e_5(
    exported: tuple[Path, Path], spec: RobotSpec
) -> None:
    run, path = exported
    onboard = Onboard(load_policy(run)[0]).eval()
    policy = OnnxPolicy.load(path, spec)
    assert onboard.policy.shape.image_size not in {(c.height, c.width) for c in spec.cameras}
    for observation in observations(spec, 10):
        error = np.abs(policy.predict(observation).actions - torch_answer(onboard, observation))
        # The bar of design.md: float32 adds up in another order.
        assert (error <= 1e-5 * (spec.high - spec.low)).all()


def test_exported_policy_never_leaves_the_joint_limits(
    exported: tuple[Path, Path], spec: RobotSpec
) -> None:
    policy = OnnxPolicy.load(exported[1], spec)
    at_limit = False
    for observation in observations(spec, 10, spread=2.0):  # beyond what any joint can do
        actions = policy.predict(observation).actions
        assert (actions >= spec.low).all()
        assert (actions <= spec.high).all()
        at_limit |= bool(((actions == spec.low) | (actions == spec.high)).any())
    assert at_limit


def test_all_weights_are_in_the_one_file(exported: tuple[Path, Path]) -> None:
    run, path = exported
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    model = onnx.load(path, load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    weights = load_policy(run)[0].named_parameters()
    # The encoder of styles is for training alone.
    num_weights = sum(value.numel() for name, value in weights if "style" not in name)
    assert path.stat().st_size > 4 * num_weights


def test_card_says_what_the_policy_was_trained_on(
    exported: tuple[Path, Path], spec: RobotSpec
) -> None:
    run, path = exported
    card, info = read_card(path.read_bytes()), Checkpoint.load(run).info
    assert card.spec == spec
    assert (card.policy, card.horizon, card.tasks) == (info["policy"], 4, ("wave",))
    assert card.dataset_view == info["dataset_view"]
    assert card.train_config["learning_rate"] == 1e-2


class DiffersInOnePlace(ChunkPolicy):
    """Answers otherwise when it is exported: stands for an operator that ONNX has otherwise."""

    by = 1e-3

    def infer(
        self,
        pixels: dict[str, torch.Tensor],
        proprioception: torch.Tensor,
        goal: torch.Tensor | None = None,
    ) -> torch.Tensor:
        chunk = super().infer(pixels, proprioception, goal)
        return chunk + self.by if torch.compiler.is_exporting() else chunk


class SaysNan(ChunkPolicy):
    """Divides by a zero."""

    def infer(
        self,
        pixels: dict[str, torch.Tensor],
        proprioception: torch.Tensor,
        goal: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return super().infer(pixels, proprioception, goal) * torch.nan


@pytest.mark.parametrize("kind", [DiffersInOnePlace, SaysNan])
def test_file_that_differs_from_torch_is_not_written_and_the_old_one_stays(
    chunk_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[ChunkPolicy]
) -> None:
    monkeypatch.setitem(POLICIES, "chunk", PolicyKind(kind, ChunkConfig))
    path = tmp_path / "policy.onnx"
    path.write_text("the old one")
    with pytest.raises(PolicyError, match=r"differs from torch: \w+ by .* at most 1e-05"):
        export(chunk_run, path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("policy.onnx", "the old one")]


def test_int8_file_quantises_convolutions_and_stays_within_a_hundredth(
    chunk_run: Path, tmp_path: Path, spec: RobotSpec
) -> None:
    path = tmp_path / "int8.onnx"
    report = export(chunk_run, path, int8=True, frames=frames(spec))
    assert 0 < report.worst_error <= 0.01
    nodes = onnx.load(path).graph.node
    makers = {output: node.op_type for node in nodes for output in node.output}
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    assert convolutions
    assert all(makers[node.input[0]] == "DequantizeLinear" for node in convolutions)
    assert read_card(path.read_bytes()).policy == "chunk-int8"
    OnnxPolicy.load(path, spec)  # its own probe included


def test_int8_file_that_is_worse_than_a_hundredth_is_not_written(
    chunk_run: Path, tmp_path: Path, spec: RobotSpec
) -> None:
    checkpoint = Checkpoint.load(chunk_run)
    for name, value in checkpoint.tensors.items():
        if name.startswith("ema.encoders") and name.endswith("where.heat.weight"):
            value *= 1000  # a spatial softmax so sharp turns rounding into jumps
        if name == "ema.mlp.0.weight":
            value[:, :-6] *= 1000  # and all that is seen weighs more
    checkpoint.save(tmp_path)
    path = tmp_path / "policy.onnx"
    with pytest.raises(PolicyError, match=r"at most 1e-02 is allowed; .*export without int8"):
        export(tmp_path, path, int8=True, frames=frames(spec))
    assert [p.name for p in tmp_path.iterdir()] == [NAME]
    export(tmp_path, path)  # the same network in float is fine


def test_int8_file_is_judged_on_frames_it_was_not_calibrated_on(
    chunk_run: Path, tmp_path: Path, spec: RobotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated: list[Frame] = []

    def note(source: Path, target: Path, feeds: list[Frame]) -> None:
        calibrated.extend(feeds)
        quantize_convolutions(source, target, feeds)

    monkeypatch.setattr("demoloop.policies.export.quantize_convolutions", note)
    given = frames(spec)
    for frame in given[len(given) // 2 :]:
        frame["proprioception"] = np.full_like(frame["proprioception"], np.nan)
    with pytest.raises(PolicyError, match="differs from torch"):
        export(chunk_run, tmp_path / "int8.onnx", int8=True, frames=given)
    assert len(calibrated) == len(given) // 2
    assert all(np.isfinite(frame["proprioception"]).all() for frame in calibrated)


def test_int8_without_frames_is_refused(chunk_run: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="int8 needs recorded frames"):
        export(chunk_run, tmp_path / "policy.onnx", int8=True)
    assert not list(tmp_path.iterdir())


def test_frames_of_another_robot_are_refused(
    chunk_run: Path, tmp_path: Path, spec: RobotSpec
) -> None:
    foreign = [frame | {"image.wrist": np.zeros((8, 8, 3), np.uint8)} for frame in frames(spec)]
    with pytest.raises(PolicyError, match="give a dataset of the robot it was trained on"):
        export(chunk_run, tmp_path / "policy.onnx", int8=True, frames=foreign)


def test_quantising_leaves_logging_as_it_was(
    chunk_run: Path, tmp_path: Path, spec: RobotSpec
) -> None:
    before = logging.getLogger().level
    export(chunk_run, tmp_path / "int8.onnx", int8=True, frames=frames(spec))
    assert logging.getLogger().level == before


@pytest.mark.parametrize("place", ["folder", "file/policy.onnx"])
def test_place_that_cannot_be_written_is_refused(
    chunk_run: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(PolicyError, match=r"is a folder; name the ONNX file|cannot be written"):
        export(chunk_run, tmp_path / place)
