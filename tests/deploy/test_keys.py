"""What a folder of keys holds, who may read it, and what a damaged one is told."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from demoloop.__main__ import main
from demoloop.deploy import DeployError
from demoloop.deploy.auth import Pin
from demoloop.deploy.key_files import PublicKey, fingerprint, read_key
from demoloop.deploy.keys import KeyFolder

posix_only = pytest.mark.skipif(os.name != "posix", reason="no file modes on this system")


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    """With a key of its own, and one that it trusts as policy: `box`."""
    box, _ = KeyFolder(tmp_path / "box").generate("box")
    folder = KeyFolder(tmp_path / "keys")
    folder.generate("arm-1")
    folder.trust(box.public, "box", "policy")
    return folder


def keys(*words: object) -> int:
    return main(["keys", *map(str, words)])


@posix_only
def test_everything_in_a_folder_of_keys_is_for_its_owner_alone(folder: KeyFolder) -> None:
    paths = [folder.path, *folder.path.rglob("*")]
    assert {path.name for path in paths} == {
        *("keys", "own.json", "arm-1.public.json", "trusted", "box.json")
    }
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_two_verbs_on_each_side_make_two_computers_trust_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arm, box = tmp_path / "arm", tmp_path / "box"
    for path in (arm, box):
        assert keys("generate", path.name, "--folder", path) == 0
    assert keys("trust", arm / "arm.public.json", "--role", "policy", "--folder", box) == 0
    words = ("trust", box / "box.public.json", "--role", "policy", "--name", "gpu-box")
    assert keys(*words, "--folder", arm) == 0
    assert Pin(KeyFolder(arm)).server.name == "gpu-box"
    assert Pin(KeyFolder(arm)).server.public == KeyFolder(box).own().public

    capsys.readouterr()
    assert keys("list", "--folder", arm) == keys("list", "--folder", box) == 0
    own, server, box_own, robot = capsys.readouterr().out.splitlines()
    assert own.split()[-2:] == ["own", "arm"]
    assert (own[:39], server[:39]) == (robot[:39], box_own[:39])
    assert server.split()[-2:] == ["policy", "gpu-box"]


def test_secret_is_in_no_output_and_in_no_text_of_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys"
    keys("generate", "arm-1", "--folder", path)
    own = KeyFolder(path).own()
    for name in ("own.json", "arm-1.public.json"):  # the first of them is refused
        keys("trust", path / name, "--role", "viewer", "--folder", path)
    (path / "own.json").write_text((path / "own.json").read_text().replace("secret", "public"))
    keys("list", "--folder", path)
    keys("revoke", "arm-1", "--folder", path)
    said = capsys.readouterr()
    everything = f"{said.out}{said.err}{own}{own!r}"
    assert own.secret not in everything
    assert own.secret not in (path / "arm-1.public.json").read_text()


def swap(path: Path) -> None:
    found = json.loads(path.read_text())
    found["public"], found["secret"] = found["secret"], found["public"]
    path.write_text(json.dumps(found))


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


SPOILT: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "own key others can read": ("own.json", lambda p: p.chmod(0o640), "is open to others .*640"),
    "trusted key others can write": (
        "trusted/box.json", lambda p: p.chmod(0o622), "is open to others .*chmod 600"
    ),
    "folder others can read": (".", lambda p: p.chmod(0o755), "is open to others .*chmod 700"),
    "trusted folder open": ("trusted", lambda p: p.chmod(0o770), "is open to others .*chmod 700"),
    "public and secret swapped": ("own.json", swap, "do not belong together"),
    "own key cut off": ("own.json", half, "is not a demoloop secret key"),
    "own key empty": ("own.json", lambda p: p.write_bytes(b""), "is not a demoloop secret key"),
    "own key of noise": (
        "own.json", lambda p: p.write_bytes(bytes(range(256)) * 8), "is not a demoloop secret key"
    ),
    "own key deep": (
        "own.json", lambda p: p.write_bytes(b"[" * 4000), "is not a demoloop secret key"
    ),
    "own key absent": ("own.json", Path.unlink, "holds no key of this computer; make one"),
    "trusted key cut off": ("trusted/box.json", half, "is not a demoloop trusted key"),
    "trusted key under another name": (
        "trusted/box.json", lambda p: p.rename(p.with_name("cat.json")), "is the key of 'box'"
    ),
    "trusted key absent": ("trusted/box.json", Path.unlink, "trusts 0 keys as policy"),
}  # fmt: skip


@posix_only
@pytest.mark.parametrize("what", SPOILT)
def test_folder_that_is_not_sound_is_one_sentence_and_exit_code_2(
    folder: KeyFolder, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, spoil, sentence = SPOILT[what]
    secret = folder.own().secret
    spoil(folder.path / name)
    with pytest.raises(DeployError, match=sentence):
        Pin(folder)
    words = ["--server", "tcp://10.0.0.7:5555", "--keys", str(folder.path)]
    assert main(["run", *words]) == 2  # before anything moves
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert secret not in said


def test_folder_that_is_absent_is_told_how_to_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys("list", "--folder", tmp_path / "none") == 2
    assert "make one with `demoloop keys generate NAME --folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert keys("generate", "arm", "--folder", tmp_path / "file" / "keys") == 2
    assert keys("list", "--folder", tmp_path / "file") == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize("name", ["", "../arm", "Arm", "-arm", "a" * 33, "arm\n", "own.json"])
def test_name_that_is_no_short_name_is_refused(folder: KeyFolder, name: str) -> None:
    for act in (
        lambda: folder.generate(name),
        lambda: folder.trust("ab" * 32, name, "viewer"),
        lambda: folder.revoke(name),
    ):
        with pytest.raises(DeployError, match="is no name for a key"):
            act()


def test_key_of_this_computer_is_never_written_over(folder: KeyFolder) -> None:
    before = (folder.path / "own.json").read_bytes()
    with pytest.raises(DeployError, match="holds the key of this computer already"):
        folder.generate("arm-2")
    assert (folder.path / "own.json").read_bytes() == before
    assert not list(folder.path.glob(".*"))


def test_trust_never_replaces_another_key_or_another_role(folder: KeyFolder) -> None:
    with pytest.raises(DeployError, match="another key is trusted as box"):
        folder.trust("ab" * 32, "box", "operator")
    (box,) = folder.trusted()
    with pytest.raises(DeployError, match="trusted already, as box"):
        folder.trust(box.public, "box-2", "operator")
    assert folder.trusted() == (box,)


def test_revoking_works_on_a_damaged_key_and_names_those_there_are(folder: KeyFolder) -> None:
    half(folder.trusted_path / "box.json")
    with pytest.raises(DeployError, match="trusts no key 'cat'; it has box"):
        folder.revoke("cat")
    folder.revoke("box")
    assert folder.trusted() == ()


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_a_key_trusted_as_policy_may_move_the_arm(tmp_path: Path, role: str) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.generate("arm-1")
    folder.trust("ab" * 32, "phone", "viewer" if role == "viewer" else "operator")
    with pytest.raises(DeployError, match=f"phone is trusted as {role}, and only"):
        Pin(folder, "phone")
    with pytest.raises(DeployError, match="trusts 0 keys as policy"):
        Pin(folder)


def test_which_server_is_asked_when_there_are_two(folder: KeyFolder) -> None:
    folder.trust("ab" * 32, "other", "policy")
    with pytest.raises(DeployError, match=r"\(box, other\); say which"):
        Pin(folder)
    assert Pin(folder, "other").server.public == "ab" * 32


def test_secret_file_is_never_taken_for_one_to_give_away(folder: KeyFolder) -> None:
    with pytest.raises(DeployError, match="is a secret key, which never leaves its computer"):
        read_key(folder.path / "own.json", PublicKey)


def test_fingerprint_tells_keys_apart_that_differ_in_one_bit() -> None:
    one, other = "00" * 32, "00" * 31 + "01"
    assert len(fingerprint(one).split()) == 8
    assert not set(fingerprint(one).split()) & set(fingerprint(other).split())


def test_server_key_without_a_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--server-key", "box"]) == 2
    assert "say --keys FOLDER too" in capsys.readouterr().err
