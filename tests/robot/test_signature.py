"""A signature stands behind a sealed file, changes none of its bytes, and covers all of them."""

import contextlib
from pathlib import Path

import msgspec
import onnx
import pytest
from onnx import helper

from demoloop.robot import RobotError, RobotSpec, signature
from demoloop.robot.card import CARD_KEY, CardError, ParityProbe, PolicyCard, seal, verify_seal
from demoloop.robot.signature import Signature, is_true, make_pair, sign, split, trailer
from demoloop.robot.spec import JointSpec

pytest.importorskip("cryptography", reason="the package cryptography is not installed")

SPEC = RobotSpec("one joint", (JointSpec("pan", -1.0, 1.0, 2.0, 10.0),), (), 30.0)


@pytest.fixture
def sealed(tmp_path: Path) -> bytes:
    card = PolicyCard(
        policy="none", spec=SPEC, spec_fingerprint=SPEC.fingerprint(),
        proprioception_names=SPEC.proprioception_names, proprioception_low=(-1.0, -1.0),
        proprioception_high=(1.0, 1.0), horizon=1, tasks=(), dataset_view="", code_version="",
        train_config={}, parity=ParityProbe(seed=0, expected=((0.0,),), tolerance=(1e-5,)),
    )  # fmt: skip
    model = helper.make_model(helper.make_graph([], "empty", [], []))
    helper.set_model_props(model, {CARD_KEY: card.to_json(), "author": "someone"})
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    seal(path)
    return path.read_bytes()


@pytest.fixture
def signed(sealed: bytes) -> bytes:
    _, secret = make_pair()
    return sealed + trailer(sign(verify_seal(sealed).sha256, secret))


def is_sound(data: bytes) -> bool:
    """Whether seal and signature both hold."""
    _, found = split(memoryview(data))
    return found is not None and is_true(found, verify_seal(data).sha256)


def test_signed_file_is_the_sealed_one_and_a_signature(sealed: bytes, signed: bytes) -> None:
    body, found = split(memoryview(signed))
    assert bytes(body) == sealed
    assert found is not None
    assert trailer(found) == signed[len(sealed) :]
    assert verify_seal(signed) == verify_seal(sealed)
    assert is_sound(signed)


def test_sealed_file_has_no_signature(sealed: bytes) -> None:
    assert split(memoryview(sealed)) == (sealed, None)
    assert split(memoryview(b""))[1] is None


def test_signature_is_an_entry_that_every_reader_of_onnx_sees(signed: bytes) -> None:
    model = onnx.load_model_from_string(signed)
    onnx.checker.check_model(model)
    found = {entry.key: entry.value for entry in model.metadata_props}
    value = msgspec.json.decode(found["demoloop.signature"], type=dict[str, str])
    assert Signature(value["signer"], value["ed25519"]) == split(memoryview(signed))[1]


def test_no_bit_of_a_signed_file_can_be_changed(signed: bytes) -> None:
    for at in range(len(signed)):
        edited = bytearray(signed)
        edited[at] ^= 1
        with contextlib.suppress(CardError):  # the seal found it
            assert not is_sound(bytes(edited)), f"byte {at} of {len(signed)}"


def test_signed_file_cannot_be_cut_or_added_to(signed: bytes) -> None:
    for length in range(len(signed) - 300, len(signed)):
        # Cut off as a whole it leaves an unsigned file, which is for the loader to refuse.
        with contextlib.suppress(CardError):
            assert not is_sound(signed[:length])
    for more in (b"\0", signed[-245:], b"\x72\x00"):
        with pytest.raises(CardError):
            verify_seal(signed + more)


def test_key_pairs_differ_and_a_signature_is_of_one_of_them() -> None:
    (mine, secret), (other, _) = make_pair(), make_pair()
    assert mine != other
    made = sign("ab" * 32, secret)
    assert made.signer == mine
    assert is_true(made, "ab" * 32)
    assert not is_true(made, "ab" * 31 + "ac")
    assert not is_true(Signature(other, made.value), "ab" * 32)


def test_signature_for_another_purpose_is_not_taken_for_one() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = key.public_key().public_bytes_raw().hex()
    seal_alone = Signature(public, key.sign(b"ab" * 32).hex())
    assert not is_true(seal_alone, "ab" * 32)


def test_signature_is_the_one_of_rfc_8032() -> None:
    # RFC 8032, 7.1, test 1: the secret key and the public key that belongs to it.
    secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert sign("", secret).signer == public


def test_want_of_the_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RobotError, match="pip install cryptography"):
        make_pair()
