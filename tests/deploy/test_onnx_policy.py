"""A policy file moves a robot only when everything about it is as its card says."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.external_data_helper import set_external_data

from demoloop.deploy import PolicyError
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.robot import Observation, RobotSpec
from demoloop.robot.card import CARD_KEY, PolicyCard, read_card, seal

SLOPE = np.array([0.01, -0.02, 0.05])


def reseal(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Edits a policy file as an exporter with a bug would: the seal is right, the rest is not."""
    model = onnx.load(path)
    card = msgspec.structs.replace(read_card(path.read_bytes()), sha256="0" * 64)
    change(model)
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.save(model, path)
    seal(path)


def test_chunk_is_what_the_graph_computes(
    policy_file: Path, spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    chunk = OnnxPolicy.load(policy_file, spec).predict(observe(positions=(0.1, 0.2, 0.3)))
    steps = np.arange(1, 7)[:, None]
    # All pixels are 7, seen with a gain of 1e-4.
    np.testing.assert_allclose(chunk.actions, [0.1, 0.2, 0.3] + steps * SLOPE + 7e-4, atol=1e-6)


def test_chunk_carries_the_time_of_its_observation(
    policy_file: Path, observe: Callable[..., Observation]
) -> None:
    assert OnnxPolicy.load(policy_file).predict(observe(time=12.5)).time == 12.5


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"absent\.onnx.*demoloop export"):
        OnnxPolicy.load(tmp_path / "absent.onnx")


def test_file_without_a_card_is_refused(
    tmp_path: Path, spec: RobotSpec, make_graph: Callable[[RobotSpec], onnx.ModelProto]
) -> None:
    path = tmp_path / "bare.onnx"
    onnx.save(make_graph(spec), path)
    with pytest.raises(PolicyError, match="carries no policy card"):
        OnnxPolicy.load(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(policy_file: Path, share: float) -> None:
    data = policy_file.read_bytes()
    policy_file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(PolicyError, match=r"cut short|carries no policy card"):
        OnnxPolicy.load(policy_file)


def test_any_edited_byte_is_found(policy_file: Path) -> None:
    data = policy_file.read_bytes()
    for at in np.random.default_rng(0).integers(len(data), size=60):
        edited = bytearray(data)
        edited[at] ^= 1
        policy_file.write_bytes(edited)
        with pytest.raises(PolicyError):
            OnnxPolicy.load(policy_file)


def test_another_robots_policy_is_refused_with_joint_and_both_values(
    policy_file: Path, other_spec: RobotSpec
) -> None:
    with pytest.raises(PolicyError, match=r"joint lift: high 1\.5, the robot has 1\.4"):
        OnnxPolicy.load(policy_file, other_spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control_hz": 30.0}, "control rate 50 Hz, the robot has 30 Hz"),
        ({"cameras": ()}, "cameras front, wrist, the robot has none"),
        ({"joints": ()}, "joints pan, lift, gripper, the robot has"),
        ({"name": "other"}, "trained on tiny, this is other"),
    ],
)
def test_every_part_of_the_spec_is_compared(
    policy_file: Path, spec: RobotSpec, change: dict[str, object], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        OnnxPolicy.load(policy_file, replace(spec, **change))  # type: ignore[arg-type]


def test_camera_of_another_size_is_refused_with_both_sizes(
    policy_file: Path, spec: RobotSpec
) -> None:
    front, wrist = spec.cameras
    robot = replace(spec, cameras=(replace(front, width=640), wrist))
    with pytest.raises(PolicyError, match="camera front: 20x9 px, the robot has 640x9 px"):
        OnnxPolicy.load(policy_file, robot)


def test_parity_probe_names_joint_and_both_numbers(
    tmp_path: Path, spec: RobotSpec, make_policy: Callable[..., Path]
) -> None:
    def shift_lift(card: PolicyCard) -> PolicyCard:
        wrong = tuple((a, b + 0.01, c) for a, b, c in card.parity.expected)
        return msgspec.structs.replace(
            card, parity=msgspec.structs.replace(card.parity, expected=wrong)
        )

    path = make_policy(tmp_path / "policy.onnx", spec, shift_lift)
    with pytest.raises(PolicyError, match=r"lift: -?\d\.\d+, expected -?\d\.\d+ \+- 1e-05"):
        OnnxPolicy.load(path)


def test_graph_that_contradicts_its_card_is_refused(policy_file: Path) -> None:
    def rename(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.input[:] = ["image.top" if i == "image.front" else i for i in node.input]
        next(i for i in model.graph.input if i.name == "image.front").name = "image.top"

    reseal(policy_file, rename)
    with pytest.raises(PolicyError, match=r"input 'image\.front' of the graph is absent"):
        OnnxPolicy.load(policy_file)


def test_operators_of_an_unknown_domain_are_refused(policy_file: Path) -> None:
    def use_custom_operator(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "evil.example"
        model.opset_import.append(helper.make_opsetid("evil.example", 1))

    reseal(policy_file, use_custom_operator)
    with pytest.raises(PolicyError, match=r"domain 'evil\.example'"):
        OnnxPolicy.load(policy_file)


def test_weights_outside_the_file_are_refused(
    policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move_ramp_out(model: onnx.ModelProto) -> None:
        ramp = next(i for i in model.graph.initializer if i.name == "ramp")
        (policy_file.parent / "ramp.bin").write_bytes(ramp.raw_data)
        set_external_data(ramp, "ramp.bin")
        ramp.ClearField("raw_data")
        ramp.data_location = onnx.TensorProto.EXTERNAL

    model = onnx.load(policy_file)
    card = msgspec.structs.replace(read_card(policy_file.read_bytes()), sha256="0" * 64)
    move_ramp_out(model)
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    policy_file.write_bytes(model.SerializeToString())
    seal(policy_file)
    # Where a loader that resolves names against the working directory would find them.
    monkeypatch.chdir(policy_file.parent)
    with pytest.raises(PolicyError):
        OnnxPolicy.load(policy_file)


def test_image_of_another_size_is_refused(
    policy_file: Path, observe: Callable[..., Observation]
) -> None:
    seen = observe()
    seen = replace(seen, images={**seen.images, "wrist": np.zeros((8, 16, 3), np.uint8)})
    with pytest.raises(PolicyError, match=r"camera wrist must give a uint8 image \(16, 16, 3\)"):
        OnnxPolicy.load(policy_file).predict(seen)


def test_onboard_process_imports_neither_torch_nor_mujoco_nor_onnx(policy_file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import demoloop.deploy.run\n"
        "from demoloop.deploy.onnx_policy import OnnxPolicy\n"
        "OnnxPolicy.load(Path(sys.argv[1]))\n"
        "print({'torch', 'mujoco', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(policy_file)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "set()", done.stderr
