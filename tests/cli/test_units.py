"""Laws of the systemd units and of what docs/onboard.md tells people to type."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import tyro

from demoloop.cli import run, serve
from demoloop.robot.realtime import PRIORITY

DOCS = Path(__file__).parents[2] / "docs"
UNITS = sorted((DOCS / "systemd").glob("*.service"))
VERBS = {"serve": serve, "run": run}


def words_of(unit: Path) -> list[str]:
    """What a unit starts, word for word."""
    text = unit.read_text().replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


def settings_of(unit: Path) -> dict[str, str]:
    lines = unit.read_text().replace("\\\n", " ").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w+=", line))


@pytest.mark.parametrize("unit", UNITS, ids=lambda it: it.stem)
def test_unit_starts_a_verb_with_options_it_has(unit: Path) -> None:
    program, verb, *words = words_of(unit)
    assert Path(program).name == "demoloop"
    options = tyro.cli(VERBS[verb].Options, args=words)
    assert options.log.name == f"{verb}.jsonl"


@pytest.mark.parametrize("verb", VERBS)
def test_page_names_only_options_that_a_verb_has(verb: str) -> None:
    text = (DOCS / "onboard.md").read_text()
    module: ModuleType = VERBS[verb]
    known = {f"--{name.replace('_', '-')}" for name in module.Options.__dataclass_fields__}
    said = re.findall(rf"demoloop {verb} ([^`#\n]*)|`{verb} (--[^`]*)`", text)
    # On a line of two columns the words of the other column's command follow after a wide gap.
    named = {option for pair in said for words in pair
             for option in re.findall(r"--[a-z-]+", re.split(r"  +", words)[0])}  # fmt: skip
    assert named
    assert named <= known


def test_both_units_meet_at_one_socket_of_one_user() -> None:
    bound = words_of(DOCS / "systemd" / "demoloop-serve.service")
    asked = words_of(DOCS / "systemd" / "demoloop-run.service")
    assert bound[bound.index("--bind") + 1] == asked[asked.index("--server") + 1]
    assert len({settings_of(unit)["User"] for unit in UNITS}) == 1


def test_loop_may_have_the_real_time_it_asks_for_and_the_server_none() -> None:
    server, loop = (settings_of(DOCS / "systemd" / f"demoloop-{it}.service") for it in VERBS)
    assert (loop["LimitRTPRIO"], loop["RestrictRealtime"]) == (str(PRIORITY), "no")
    assert loop["LimitMEMLOCK"] == "infinity"
    assert (server["RestrictRealtime"], "LimitRTPRIO" in server) == ("yes", False)


def test_arm_does_not_move_because_a_computer_was_switched_on() -> None:
    assert "[Install]" not in (DOCS / "systemd" / "demoloop-run.service").read_text().splitlines()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    copies = []
    for unit in UNITS:
        copies.append(tmp_path / unit.name)
        # It asks whether the program is there, which on this machine it is not.
        copies[-1].write_text(
            unit.read_text().replace("/opt/demoloop/bin/demoloop", sys.executable)
        )
    command = ["systemd-analyze", "verify", "--man=no", *map(str, copies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
