"""Laws of RobotSpec: it survives JSON, and its fingerprint notices every change."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from demoloop.robot import CameraSpec, JointSpec, RobotError, RobotSpec

SPEC = RobotSpec(
    name="two-joint",
    joints=(
        JointSpec("shoulder", -1.5, 1.25, 3.0, 20.0),
        JointSpec("gripper", 0.0, 1.0, 2.0, 10.0, "opening"),
    ),
    cameras=(CameraSpec("front", 48, 64), CameraSpec("wrist", 96, 96)),
    control_hz=30.0,
)


def changed(value: object) -> object:
    """Another value of the same kind."""
    if isinstance(value, str):
        return "m" if value == "rad" else value + "-other"
    if isinstance(value, tuple):
        return value[:-1] or ("force",)
    assert isinstance(value, int | float)
    return value + 1


def with_change(part: str, field: str) -> RobotSpec:
    """SPEC with one field changed, of itself, its first joint or its first camera."""
    if part == "spec":
        return dataclasses.replace(SPEC, **{field: changed(getattr(SPEC, field))})
    first, *others = getattr(SPEC, part)
    first = dataclasses.replace(first, **{field: changed(getattr(first, field))})
    return dataclasses.replace(SPEC, **{part: (first, *others)})


FIELDS = [
    (part, field.name)
    for part, kind in (("spec", RobotSpec), ("joints", JointSpec), ("cameras", CameraSpec))
    for field in dataclasses.fields(kind)
]


def test_spec_survives_json() -> None:
    assert RobotSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


def test_fingerprint_survives_json() -> None:
    again = RobotSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    assert again.fingerprint() == SPEC.fingerprint()


@pytest.mark.parametrize(("part", "field"), FIELDS)
def test_fingerprint_changes_with_every_field(part: str, field: str) -> None:
    assert with_change(part, field).fingerprint() != SPEC.fingerprint()


def test_fingerprint_changes_with_the_order_of_joints() -> None:
    swapped = dataclasses.replace(SPEC, joints=SPEC.joints[::-1])
    assert swapped.fingerprint() != SPEC.fingerprint()


def test_fingerprint_is_16_hex_digits() -> None:
    assert len(SPEC.fingerprint()) == 16
    assert int(SPEC.fingerprint(), 16) >= 0


def test_fingerprint_does_not_tell_30_from_30_point_0() -> None:
    whole = dataclasses.replace(
        SPEC, control_hz=30, joints=(SPEC.joints[0], JointSpec("gripper", 0, 1, 2, 10, "opening"))
    )
    assert whole.fingerprint() == SPEC.fingerprint()


@pytest.mark.parametrize("key", list(SPEC.to_json()))
def test_json_without_a_key_is_refused_by_its_name(key: str) -> None:
    value = SPEC.to_json()
    del value[key]
    with pytest.raises(RobotError, match=key):
        RobotSpec.from_json(value)


@pytest.mark.parametrize("part", ["joints", "cameras"])
def test_json_with_an_unknown_field_is_refused_by_its_name(part: str) -> None:
    value = json.loads(json.dumps(SPEC.to_json()))
    value[part][0]["colour"] = "blue"
    with pytest.raises(RobotError, match="colour"):
        RobotSpec.from_json(value)


def test_control_rate_that_is_no_number_is_refused() -> None:
    with pytest.raises(RobotError, match="fast"):
        RobotSpec.from_json({**SPEC.to_json(), "control_hz": "fast"})


def test_spec_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.control_hz = 60.0  # type: ignore[misc]


def test_unknown_camera_is_answered_with_those_there_are() -> None:
    with pytest.raises(RobotError, match=r"'top'.*front, wrist"):
        SPEC.camera("top")


def test_camera_is_found_by_name() -> None:
    assert SPEC.camera("wrist") is SPEC.cameras[1]


def test_limits_stand_in_the_order_of_an_action() -> None:
    assert SPEC.action_dim == 2
    np.testing.assert_array_equal(SPEC.low, np.array([-1.5, 0.0], np.float32))
    np.testing.assert_array_equal(SPEC.high, np.array([1.25, 1.0], np.float32))


def test_proprioception_is_all_positions_then_all_velocities() -> None:
    assert SPEC.proprioception_names == (
        "shoulder.pos",
        "gripper.pos",
        "shoulder.vel",
        "gripper.vel",
    )


def test_a_spec_may_name_other_readings_and_survives_json() -> None:
    spec = dataclasses.replace(SPEC, readings=("shoulder.pos", "force"))
    assert spec.proprioception_names == ("shoulder.pos", "force")
    assert spec.position_names == ("shoulder.pos", "gripper.pos")
    assert RobotSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.fingerprint() != SPEC.fingerprint()


def test_a_spec_without_other_readings_keeps_the_fingerprint_it_always_had() -> None:
    assert "readings" not in SPEC.to_json()
