"""From the key that signs to the server that refuses, as people type it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx
import pytest
from onnx import helper, numpy_helper

from demoloop.__main__ import main
from demoloop.robot.card import CARD_KEY, read_card, seal
from demoloop.robot.signature import split, trailer

pytest.importorskip("cryptography", reason="the package cryptography is not installed")

Complaint = Callable[..., str]


class Folders:
    """Of the computer where Ana exports, and of a robot's, which trusts her."""

    def __init__(self, parent: Path) -> None:
        self.desk, self.arm = parent / "desk", parent / "arm"
        keys("generate", "ana", "--signer", "--folder", self.desk)
        keys("generate", "arm", "--folder", self.arm)
        public = self.desk / "ana.signer.json"
        keys("trust", public, "--role", "signer", "--folder", self.arm)


def keys(*words: object) -> None:
    assert main(["keys", *map(str, words)]) == 0


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.fixture
def signed(so101_run: Path, tmp_path: Path, folders: Folders) -> Path:
    path = tmp_path / "policy.onnx"
    assert main(["export", str(so101_run), str(path), "--sign", str(folders.desk)]) == 0
    return path


def serve_words(path: Path, folders: Folders) -> list[str]:
    return ["serve", str(path), "--bind", "tcp://127.0.0.1:*", "--keys", str(folders.arm)]


def test_signed_policy_is_served_and_the_server_says_who_signed(
    signed: Path, folders: Folders
) -> None:
    command = [sys.executable, "-m", "demoloop", *serve_words(signed, folders)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert re.match(r"ready .* signed by ana, computed by \w+$", said), said
    assert server.returncode == 0


def test_unsigned_policy_is_not_served_with_keys(
    complaint: Complaint, so101_policy: Path, folders: Folders
) -> None:
    said = complaint(*serve_words(so101_policy, folders))
    assert "is not signed" in said
    assert "demoloop export --sign FOLDER" in said


def test_edited_and_newly_sealed_policy_is_not_served(
    complaint: Complaint, signed: Path, folders: Folders
) -> None:
    _, signature = split(memoryview(signed.read_bytes()))
    assert signature is not None
    model = onnx.load(signed)
    card = msgspec.structs.replace(read_card(signed.read_bytes()), sha256="0" * 64)
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    value = numpy_helper.to_array(weights).copy()
    value.flat[0] += 1e-7
    weights.CopyFrom(numpy_helper.from_array(value, weights.name))
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.save(model, signed)
    seal(signed)
    signed.write_bytes(signed.read_bytes() + trailer(signature))
    assert "was changed after ana signed it" in complaint(*serve_words(signed, folders))
    words = [*serve_words(signed, folders), "--allow-unsigned"]
    assert "was changed after ana signed it" in complaint(*words)


def test_policy_of_a_signer_that_was_revoked_is_not_served(
    complaint: Complaint, signed: Path, folders: Folders
) -> None:
    keys("revoke", "ana", "--folder", folders.arm)
    assert "trusts nobody as signer" in complaint(*serve_words(signed, folders))


def test_folder_without_a_signer_is_told_how_to_make_one(
    complaint: Complaint, so101_run: Path, tmp_path: Path, folders: Folders
) -> None:
    words = ("export", so101_run, tmp_path / "policy.onnx", "--sign", folders.arm)
    assert "demoloop keys generate NAME --signer" in complaint(*words)
    assert not (tmp_path / "policy.onnx").exists()


def test_key_of_a_computer_is_not_trusted_as_signer(complaint: Complaint, folders: Folders) -> None:
    keys("generate", "desk", "--folder", folders.desk)
    words = ("keys", "trust", folders.desk / "desk.public.json", "--folder", folders.arm)
    assert "NAME.signer.json is trusted as signer" in complaint(*words, "--role", "signer")


def test_list_shows_who_signs_and_whose_signature_counts(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    keys("list", "--folder", folders.desk)
    (mine,) = capsys.readouterr().out.splitlines()
    keys("list", "--folder", folders.arm)
    _, theirs = capsys.readouterr().out.splitlines()
    assert mine.split()[-2:] == ["signs", "ana"]
    assert theirs.split()[-2:] == ["signer", "ana"]
    assert mine[:39] == theirs[:39]


def test_allow_unsigned_without_keys_is_refused(complaint: Complaint, so101_policy: Path) -> None:
    said = complaint("serve", so101_policy, "--allow-unsigned")
    assert "--allow-unsigned is for --keys FOLDER" in said


def test_provider_that_is_not_installed_names_those_that_are(
    complaint: Complaint, so101_policy: Path
) -> None:
    said = complaint("serve", so101_policy, "--provider", "tensorrt")
    assert re.search(r"has no provider tensorrt, only .*cpu.*; install onnxruntime-gpu", said)
