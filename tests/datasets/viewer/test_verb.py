"""`demoloop view` as a process, and what it ships."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import demoloop.datasets.viewer
from demoloop.__main__ import main

VENDOR = Path(demoloop.datasets.viewer.__file__).parent / "static" / "vendor"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal on Windows")
def test_ctrl_c_ends_the_viewer_cleanly(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "demoloop", "view", str(root), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"ready (http://127\.0\.0\.1:\d+/) 3 episodes of two_joints; ", line)
        assert found, line
        with urllib.request.urlopen(found[1], timeout=20) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=30)
    assert (process.returncode, said, complaints) == (0, "stopped\n", "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "no dataset at nowhere"),
        (["."], "is no LeRobot dataset"),
        ([".", "--port", "70000"], "--port is 70000; expected 0 to 65535"),
    ],
)
def test_what_cannot_be_shown_is_a_sentence_and_exit_code_2(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["view", *words, "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_vendored_files_are_those_that_vendor_md_names() -> None:
    named = dict(
        re.findall(r"\| (?:dist/)?(\S+) \| ([0-9a-f]{64}) \|", (VENDOR / "VENDOR.md").read_text())
    )
    files = {p.name for p in VENDOR.iterdir() if p.is_file()} - {"VENDOR.md", "__init__.py"}
    assert files == {"uPlot.esm.js", "uPlot.min.css", "LICENSE"}
    for name in files:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == named[name]
