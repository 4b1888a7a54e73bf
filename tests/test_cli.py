"""Laws of the command line: what it answers to good, bad and missing words."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from demoloop.__main__ import VERBS, main
from demoloop.cli.dataset import VERBS as DATASET_VERBS
from demoloop.cli.extras import EXTRAS_OF
from demoloop.cli.keys import VERBS as KEYS_VERBS
from demoloop.cli.verbs import Verb

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

TABLES = {"dataset": DATASET_VERBS, "keys": KEYS_VERBS}
"""Verbs that stand before others."""

LEAVES = {name: verb for name, verb in VERBS.items() if name not in TABLES} | {
    f"{name} {inner}": verb for name, table in TABLES.items() for inner, verb in table.items()
}

ECHO = """
import errno
from dataclasses import dataclass
from demoloop.robot import DemoloopError

@dataclass(frozen=True)
class Options:
    \"\"\"Does as it is told.\"\"\"

    code: int = 0
    \"\"\"What to exit with.\"\"\"

def main(options):
    if options.code == 99:
        raise DemoloopError("arm is\\nunplugged; plug it in")
    if options.code == 100:
        import torch.no_such_part
    if options.code == 101:
        raise ModuleNotFoundError("No module named 'demoloop.lost'", name="demoloop.lost")
    if options.code == 102:
        raise BrokenPipeError("some worker died")
    if options.code == 103:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/curves.png")
    if options.code == 105:
        raise ImportError("libGL.so.1: cannot open shared object file")
    if options.code == 106:
        raise ImportError("cannot import name 'lost' from 'demoloop.robot'")
    if options.code == 104:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
    print("done")
    return options.code
"""

# Sleeps until it is interrupted, after it said that it is ready for that.
SLEEPER = """
import time
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    \"\"\"Sleeps.\"\"\"

def main(options):
    print("ready", flush=True)
    time.sleep(60)
    return 0
"""

# More than any pipe holds, so that writing fails once nobody reads.
CHATTERER = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    \"\"\"Talks.\"\"\"

def main(options):
    for _ in range(200_000):
        print("row after row")
    return 0
"""


@pytest.fixture
def verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Verb]:
    """One verb, `echo`, whose module is written for the test."""
    (tmp_path / "echo_verb.py").write_text(ECHO)
    monkeypatch.syspath_prepend(tmp_path)
    return {"echo": Verb("echo_verb", "Answers."), "other": Verb("no_such_module", "Never.")}


def start(folder: Path, source: str) -> subprocess.Popen[str]:
    """Starts a process of its own in which `demoloop verb` is what `source` says."""
    (folder / "the_verb.py").write_text(source)
    code = (
        "import sys; from demoloop.__main__ import main; from demoloop.cli.verbs import Verb; "
        "sys.exit(main(['verb'], {'verb': Verb('the_verb', 'For a test.')}))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{folder}"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("name", LEAVES)
def test_every_verb_has_frozen_options_that_explain_themselves(name: str) -> None:
    module = importlib.import_module(LEAVES[name].module)
    assert dataclasses.is_dataclass(module.Options)
    assert module.Options.__dataclass_params__.frozen  # type: ignore[attr-defined]
    # A dataclass without a docstring is given its own signature for one.
    assert not str(module.Options.__doc__).startswith("Options("), "Options has no docstring"


@pytest.mark.parametrize("name", [*LEAVES, *TABLES])
def test_every_verb_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    assert f"usage: demoloop {name}" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_verb_with_its_sentence(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([flag]) == 0
    said = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert re.search(rf"^  {name} +{re.escape(verb.sentence)}$", said, re.MULTILINE)


@pytest.mark.parametrize("name", TABLES)
def test_help_of_a_table_names_every_verb_with_its_sentence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "-h"]) == 0
    said = capsys.readouterr().out
    for inner, verb in TABLES[name].items():
        assert re.search(rf"^  {inner} +{re.escape(verb.sentence)}$", said, re.MULTILINE)


def test_unknown_verb_of_a_table_is_answered_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["dataset", "lits"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("demoloop: `demoloop dataset` has no verb 'lits'; did you mean 'list'?")
    assert said.count("\n") == 1


def test_table_without_a_verb_is_answered_with_its_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["dataset"]) == 2
    assert "usage: demoloop dataset VERB" in capsys.readouterr().err


def test_help_loads_no_verb() -> None:
    code = (
        "import sys; from demoloop.__main__ import main; main(['--help']); "
        "print([m for m in sys.modules if m.startswith('demoloop.cli.')], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    assert done.stderr.strip() == "['demoloop.cli.extras', 'demoloop.cli.verbs']"


def test_no_verb_is_answered_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: demoloop VERB" in capsys.readouterr().err


def test_unknown_verb_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["juggle"]) == 2
    assert f"no verb 'juggle'; the verbs are: {', '.join(VERBS)}" in capsys.readouterr().err


def test_mistyped_verb_is_answered_with_the_close_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tarin"]) == 2
    assert "did you mean 'train'?" in capsys.readouterr().err


def test_only_the_chosen_verb_is_imported(verbs: dict[str, Verb]) -> None:
    assert main(["echo"], verbs) == 0  # `other` could not be imported


def test_exit_code_is_the_verbs_own(verbs: dict[str, Verb]) -> None:
    assert main(["echo", "--code", "1"], verbs) == 1


@pytest.mark.parametrize("words", [["--cod", "1"], ["--code", "one"], ["--code"], ["more"]])
def test_bad_options_exit_with_2(words: list[str], verbs: dict[str, Verb]) -> None:
    assert main(["echo", *words], verbs) == 2


def test_mistake_is_one_line_on_stderr_and_exit_code_2(
    verbs: dict[str, Verb], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["echo", "--code", "99"], verbs) == 2
    assert capsys.readouterr() == ("", "demoloop: arm is unplugged; plug it in\n")


def test_full_disk_is_one_line_on_stderr_and_exit_code_2_wherever_it_is_met(
    verbs: dict[str, Verb], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["echo", "--code", "103"], verbs) == 2
    said = capsys.readouterr().err
    assert said.startswith("demoloop: runs/curves.png: No space left on device; make room")
    assert said.count("\n") == 1


def test_fault_of_the_system_that_nobody_foresaw_is_not_hidden(verbs: dict[str, Verb]) -> None:
    with pytest.raises(OSError, match="not connected"):
        main(["echo", "--code", "104"], verbs)


def test_missing_package_is_answered_with_the_extra_to_install(
    verbs: dict[str, Verb], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["echo", "--code", "100"], verbs) == 2
    said = capsys.readouterr().err
    assert said == (
        "demoloop: torch is not installed; `demoloop echo` needs it: "
        "pip install 'demoloop[train]'\n"
    )


def test_missing_library_of_the_system_is_answered_with_the_doctor(
    verbs: dict[str, Verb], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["echo", "--code", "105"], verbs) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "demoloop: libGL.so.1: cannot open shared object file; `demoloop doctor`"
    )
    with pytest.raises(ImportError, match="lost"):
        main(["echo", "--code", "106"], verbs)


def test_module_that_no_extra_brings_is_a_fault_not_advice(verbs: dict[str, Verb]) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"demoloop\.lost"):
        main(["echo", "--code", "101"], verbs)


# Packages that are imported by another name than they are installed by.
INSTALLED_AS = {"mcap_ros2": "mcap-ros2-support", "rerun": "rerun-sdk", "lance": "pylance"}


@pytest.mark.parametrize(("package", "extras"), EXTRAS_OF.items())
def test_package_is_brought_by_just_the_extras_it_is_said_to(
    package: str, extras: tuple[str, ...]
) -> None:
    bring_it = {
        extra
        for extra, wanted in PROJECT["optional-dependencies"].items()
        if INSTALLED_AS.get(package, package)
        in {re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in wanted}
    }
    assert set(extras) == bring_it


def test_advice_names_every_extra_the_verb_needs(
    verbs: dict[str, Verb], capsys: pytest.CaptureFixture[str]
) -> None:
    verbs["echo"] = verbs["echo"]._replace(extras=("sim", "train"))
    main(["echo", "--code", "100"], verbs)
    assert capsys.readouterr().err.endswith("pip install 'demoloop[sim,train]'\n")


def test_advice_adds_the_extra_that_only_an_option_needs(
    verbs: dict[str, Verb], capsys: pytest.CaptureFixture[str]
) -> None:
    verbs["echo"] = verbs["echo"]._replace(extras=("sim",))  # which does not bring torch
    main(["echo", "--code", "100"], verbs)
    assert capsys.readouterr().err.endswith("pip install 'demoloop[sim,train]'\n")


@pytest.mark.parametrize("name", LEAVES)
def test_every_extra_a_verb_needs_exists(name: str) -> None:
    assert set(LEAVES[name].extras) <= set(PROJECT["optional-dependencies"])


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal on Windows")
def test_ctrl_c_stops_a_real_process_without_a_traceback(tmp_path: Path) -> None:
    with start(tmp_path, SLEEPER) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "stopped\n")


@pytest.mark.parametrize("buffering", ["", "1"], ids=["buffered", "unbuffered"])
def test_reader_that_leaves_early_hears_no_complaint(
    buffering: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", buffering)
    with start(tmp_path, CHATTERER) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        process.wait(timeout=30)
    assert said == ""


def test_pipe_broken_elsewhere_is_not_taken_for_our_reader(tmp_path: Path) -> None:
    source = ECHO.replace("code: int = 0", "code: int = 102")
    with start(tmp_path, source) as process:
        _, said = process.communicate(timeout=30)
    assert "some worker died" in said
