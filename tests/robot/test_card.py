"""What a policy card promises, and how an edit of the file around it shows."""

import math
import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import ModelProto, helper

from demoloop.robot import CameraSpec, JointSpec, RobotSpec
from demoloop.robot.card import (
    CARD_KEY,
    CardError,
    ParityProbe,
    PolicyCard,
    probe_input,
    read_card,
    seal,
    verify_seal,
)

SPEC = RobotSpec(
    "two joints",
    (JointSpec("pan", -1.0, 1.0, 2.0, 10.0), JointSpec("grip", 0.0, 1.0, 3.0, 20.0, "opening")),
    (CameraSpec("front", 10, 21),),
    30.0,
)


def make_card(**changes: object) -> PolicyCard:
    fields: dict[str, object] = {
        "policy": "chunk",
        "spec": SPEC,
        "spec_fingerprint": SPEC.fingerprint(),
        "proprioception_names": SPEC.proprioception_names,
        "proprioception_low": (-1.0, 0.0, -2.0, -2.0),
        "proprioception_high": (1.0, 1.0, 2.0, 0.1 + 0.2),
        "horizon": 2,
        "tasks": ("pick_place",),
        "dataset_view": "abc",
        "code_version": "0.1.0",
        "train_config": {"steps": 10, "learning_rate": 3e-4, "ema": True, "sha256": "no"},
        "parity": ParityProbe(seed=5, expected=((0.1, 0.2), (0.3, 0.4)), tolerance=(1e-5, 1e-5)),
    }
    return PolicyCard(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The least ONNX file with a card: a model without nodes, and another metadata entry."""
    model = helper.make_model(helper.make_graph([], "empty", [], []))
    helper.set_model_props(model, {"author": "someone", CARD_KEY: make_card().to_json()})
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_card_survives_json() -> None:
    assert PolicyCard.from_json(make_card().to_json()) == make_card()


def test_fingerprint_that_is_not_the_specs_is_refused() -> None:
    with pytest.raises(CardError, match="'two joints'"):
        make_card(spec_fingerprint="0123456789abcdef")


def test_sealed_file_verifies_and_returns_its_card(file: Path) -> None:
    sealed = seal(file)
    assert verify_seal(file.read_bytes()) == sealed
    assert msgspec.structs.replace(sealed, sha256="0" * 64) == make_card()


def test_sealing_keeps_the_length_and_the_model(file: Path) -> None:
    before = file.read_bytes()
    seal(file)
    assert len(file.read_bytes()) == len(before)
    assert ModelProto.FromString(file.read_bytes()).graph.name == "empty"


def test_every_flipped_bit_breaks_the_seal(file: Path) -> None:
    seal(file)
    data = file.read_bytes()
    for at in range(len(data)):
        edited = bytearray(data)
        edited[at] ^= 1 << at % 8
        with pytest.raises(CardError):
            verify_seal(bytes(edited))


def test_every_truncation_is_found(file: Path) -> None:
    seal(file)
    data = file.read_bytes()
    for length in range(len(data)):
        with pytest.raises(CardError):
            verify_seal(data[:length])


def test_an_unsealed_file_does_not_verify(file: Path) -> None:
    with pytest.raises(CardError, match="never sealed"):
        verify_seal(file.read_bytes())


def test_sealing_twice_is_refused(file: Path) -> None:
    seal(file)
    with pytest.raises(CardError, match="sealed already"):
        seal(file)


def test_random_bytes_are_not_an_onnx_file() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        with pytest.raises(CardError):
            read_card(rng.bytes(int(rng.integers(0, 80))))


def test_a_model_without_card_is_told_so() -> None:
    model = helper.make_model(helper.make_graph([], "empty", [], []))
    with pytest.raises(CardError, match="carries no policy card; `demoloop export` writes one"):
        read_card(model.SerializeToString())


def test_a_model_with_two_cards_is_refused(file: Path) -> None:
    model = ModelProto.FromString(file.read_bytes())
    model.metadata_props.add(key=CARD_KEY, value=make_card(policy="act").to_json())
    with pytest.raises(CardError, match="2 policy cards"):
        read_card(model.SerializeToString())


def test_unknown_schema_is_named_before_anything_else_is_read() -> None:
    with pytest.raises(CardError, match="schema 2, this demoloop reads 1"):
        PolicyCard.from_json('{"schema": 2, "something": "new"}')


def test_unknown_field_is_refused() -> None:
    text = make_card().to_json().replace('"policy":', '"polcy": 1, "policy":')
    with pytest.raises(CardError, match="polcy"):
        PolicyCard.from_json(text)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "[" * 100_000, "\udcff", "null"])
def test_text_that_is_no_card_raises_card_error(text: str) -> None:
    with pytest.raises(CardError):
        PolicyCard.from_json(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec_fingerprint": "0"}, "fingerprint 0 is not that of its spec"),
        ({"proprioception_names": ("elbow.pos",)}, r"proprioception \['elbow.pos'\]"),
        ({"proprioception_low": (0.0,)}, "proprioception_low must be 4 finite numbers"),
        ({"proprioception_high": (0.0, math.nan, 0.0, 0.0)}, "proprioception_high must be 4"),
        ({"horizon": 3}, "has 2 steps and its horizon is 3"),
        ({"sha256": "abc"}, "not 64 hex digits"),
    ],
)
def test_card_that_contradicts_itself_cannot_be_made(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(CardError, match=message):
        make_card(**changes)


def test_probe_is_the_same_everywhere() -> None:
    images, proprioception = probe_input(make_card())
    # Written down once: another NumPy, processor or demoloop must make the very same input.
    assert images["front"][[0, 0, 9], [0, 20, 20]].tolist() == [
        [206, 206, 131],
        [104, 11, 12],
        [216, 100, 126],
    ]
    assert struct.pack("<4f", *proprioception).hex() == "0eeeb43e440c793dc1b8633eab15b0bf"


def test_probe_depends_on_the_seed() -> None:
    probe = msgspec.structs.replace(make_card().parity, seed=6)
    one, _ = probe_input(make_card())
    other, _ = probe_input(make_card(parity=probe))
    assert (one["front"] != other["front"]).any()


def test_probe_has_the_cameras_size_and_stays_in_the_range_seen() -> None:
    card = make_card()
    images, proprioception = probe_input(card)
    assert {n: (i.shape, i.dtype) for n, i in images.items()} == {"front": ((10, 21, 3), np.uint8)}
    assert (proprioception >= np.array(card.proprioception_low, np.float32)).all()
    assert (proprioception <= np.array(card.proprioception_high, np.float32)).all()
