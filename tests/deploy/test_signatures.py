"""With keys, a policy runs only as somebody who is trusted signed it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx
import pytest
from onnx import helper, numpy_helper

from demoloop.deploy.auth import MAY_USE
from demoloop.deploy.errors import DeployError, PolicyError
from demoloop.deploy.key_files import OwnSigner, PublicKey, PublicSigner, read_key
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.signatures import Signers
from demoloop.robot import RobotSpec
from demoloop.robot.card import CARD_KEY, read_card, seal, verify_seal
from demoloop.robot.signature import sign, split, trailer

pytest.importorskip("cryptography", reason="the package cryptography is not installed")


@pytest.fixture
def ana(tmp_path: Path) -> OwnSigner:
    return KeyFolder(tmp_path / "ana").generate_signer("ana")[0]


@pytest.fixture
def robot(tmp_path: Path, ana: OwnSigner) -> KeyFolder:
    """The folder of a robot that trusts Ana's signature."""
    folder = KeyFolder(tmp_path / "robot")
    folder.trust(ana.public, "ana", "signer")
    return folder


def put_signature(path: Path, secret: str) -> None:
    data = path.read_bytes()
    body, _ = split(memoryview(data))
    path.write_bytes(bytes(body) + trailer(sign(verify_seal(data).sha256, secret)))


@pytest.fixture
def signed(policy_file: Path, ana: OwnSigner) -> Path:
    put_signature(policy_file, ana.secret)
    return policy_file


def change_a_weight(path: Path) -> None:
    """Edits and seals anew, as an attacker would who knows how, and keeps the signature."""
    _, signature = split(memoryview(path.read_bytes()))
    model = onnx.load(path)
    card = msgspec.structs.replace(read_card(path.read_bytes()), sha256="0" * 64)
    ramp = next(tensor for tensor in model.graph.initializer if tensor.name == "gain")
    value = numpy_helper.to_array(ramp) * 1.0001  # too little for the probe to find
    ramp.CopyFrom(numpy_helper.from_array(value.astype("float32"), "gain"))
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.save(model, path)
    seal(path)
    if signature is not None:
        path.write_bytes(path.read_bytes() + trailer(signature))


def test_signed_policy_runs_and_says_who_signed(signed: Path, robot: KeyFolder) -> None:
    assert OnnxPolicy.load(signed, signers=Signers(robot)).signed == "signed by ana"


def test_who_signs_on_a_computer_is_trusted_there(signed: Path, tmp_path: Path) -> None:
    signers = Signers(KeyFolder(tmp_path / "ana"))
    assert OnnxPolicy.load(signed, signers=signers).signed == "signed by ana"


def test_unsigned_policy_is_refused_unless_that_is_allowed(
    policy_file: Path, robot: KeyFolder
) -> None:
    with pytest.raises(PolicyError, match=r"is not signed.*export --sign FOLDER"):
        OnnxPolicy.load(policy_file, signers=Signers(robot))
    policy = OnnxPolicy.load(policy_file, signers=Signers(robot, allow_unsigned=True))
    assert policy.signed == "not signed"


@pytest.mark.parametrize("allow_unsigned", [False, True])
def test_edit_that_is_sealed_anew_is_refused(
    signed: Path, robot: KeyFolder, allow_unsigned: bool
) -> None:
    change_a_weight(signed)
    OnnxPolicy.load(signed)  # to everything but the signature it is a sound file
    with pytest.raises(PolicyError, match="was changed after ana signed it"):
        OnnxPolicy.load(signed, signers=Signers(robot, allow_unsigned))


def test_edit_whose_signature_was_taken_away_is_refused(signed: Path, robot: KeyFolder) -> None:
    body, _ = split(memoryview(signed.read_bytes()))
    signed.write_bytes(bytes(body))
    change_a_weight(signed)
    with pytest.raises(PolicyError, match="is not signed"):
        OnnxPolicy.load(signed, signers=Signers(robot))


@pytest.mark.parametrize("allow_unsigned", [False, True])
def test_edit_signed_with_a_key_nobody_trusts_is_refused(
    signed: Path, robot: KeyFolder, tmp_path: Path, allow_unsigned: bool
) -> None:
    change_a_weight(signed)
    put_signature(signed, KeyFolder(tmp_path / "eve").generate_signer("ana")[0].secret)
    with pytest.raises(PolicyError, match=r"signed with the key .* trusts ana as signer"):
        OnnxPolicy.load(signed, signers=Signers(robot, allow_unsigned))


def test_signature_of_another_policy_is_refused(
    signed: Path, robot: KeyFolder, tmp_path: Path, spec: RobotSpec,
    make_policy: Callable[..., Path],
) -> None:  # fmt: skip
    _, signature = split(memoryview(signed.read_bytes()))
    assert signature is not None
    other = make_policy(tmp_path / "other.onnx", spec, dataset_view="another")
    other.write_bytes(other.read_bytes() + trailer(signature))
    with pytest.raises(PolicyError, match="was changed after ana signed it"):
        OnnxPolicy.load(other, signers=Signers(robot))


def test_revoked_signer_is_refused(signed: Path, robot: KeyFolder) -> None:
    robot.revoke("ana")
    with pytest.raises(PolicyError, match="trusts nobody as signer"):
        OnnxPolicy.load(signed, signers=Signers(robot))


@pytest.mark.parametrize("role", ["policy", "operator", "viewer"])
def test_only_a_key_trusted_as_signer_signs(
    signed: Path, ana: OwnSigner, tmp_path: Path, role: str
) -> None:
    folder = KeyFolder(tmp_path / "other")
    folder.trust(ana.public, "ana", role)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="trusts nobody as signer"):
        OnnxPolicy.load(signed, signers=Signers(folder))


def test_signer_may_connect_to_nothing() -> None:
    assert not any("signer" in roles for roles in MAY_USE.values())


def test_without_keys_a_signature_is_not_claimed_to_be_checked(signed: Path) -> None:
    assert "not checked" in OnnxPolicy.load(signed).signed


def test_secret_of_a_signer_is_for_its_owner_alone_and_never_shown(
    tmp_path: Path, ana: OwnSigner
) -> None:
    folder = tmp_path / "ana"
    assert {p.name: p.stat().st_mode & 0o777 for p in folder.iterdir()} == {
        "signer.json": 0o600, "ana.signer.json": 0o600
    }  # fmt: skip
    assert ana.secret not in f"{ana}{ana!r}{(folder / 'ana.signer.json').read_text()}"
    with pytest.raises(DeployError, match="is a secret key, which never leaves"):
        read_key(folder / "signer.json", PublicSigner)
    with pytest.raises(DeployError, match="holds the key of this computer already"):
        KeyFolder(folder).generate_signer("ana-2")
    (folder / "signer.json").chmod(0o644)
    with pytest.raises(DeployError, match="is open to others"):
        KeyFolder(folder).signer()


def test_signer_whose_halves_do_not_belong_together_is_refused(
    tmp_path: Path, ana: OwnSigner
) -> None:
    path = tmp_path / "ana" / "signer.json"
    path.write_text(path.read_text().replace(ana.public, "ab" * 32))
    with pytest.raises(DeployError, match="do not belong together"):
        KeyFolder(tmp_path / "ana").signer()


def test_keys_of_connections_and_of_signers_are_not_confused(
    tmp_path: Path, ana: OwnSigner
) -> None:
    folder = KeyFolder(tmp_path / "ana")
    _, connects = folder.generate("desk")
    for path, kind in ((connects, PublicSigner), (folder.path / "ana.signer.json", PublicKey)):
        with pytest.raises(DeployError, match=r"NAME\.signer\.json is trusted as signer"):
            read_key(path, kind)  # type: ignore[type-var]
