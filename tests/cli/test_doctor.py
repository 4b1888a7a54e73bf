"""Laws of the doctor: it survives what it examines, and each bad row says how to mend it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from demoloop.cli import doctor, probes
from demoloop.cli.doctor import Finding

CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
FINE = Finding("part", "ok", "works", is_needed=True)


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    """This machine, examined once."""
    return list(doctor.examine())


def script(folder: Path, source: str) -> str:
    """A probe for the doctor to start."""
    path = folder / "probe.py"
    path.write_text(source)
    return str(path)


def test_every_part_is_in_the_table(findings: list[Finding]) -> None:
    assert [finding.name for finding in findings] == [
        *("demoloop", "cores", "disk", "packages", "GL backend"),
        *("torch", "onnxruntime", "opencv", "h264", "cameras", "serial ports"),
        *("hand tracker", "real time"),
    ]


def test_every_row_that_is_not_ok_says_how_to_mend_it(findings: list[Finding]) -> None:
    assert all(finding.mend for finding in findings if finding.state != "ok")


def test_this_machine_can_run_the_simulated_loop(findings: list[Finding]) -> None:
    assert doctor.loop_blockers(findings) == []


@pytest.mark.parametrize("state", ["missing", "broken"])
def test_needed_part_that_does_not_work_blocks_the_loop(state: doctor.State) -> None:
    assert doctor.loop_blockers([FINE, replace(FINE, name="torch", state=state)]) == ["torch"]


def test_absent_camera_does_not_block_the_loop() -> None:
    assert doctor.loop_blockers([FINE, Finding("cameras", "missing", "none")]) == []


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("broken", 1)])
def test_exit_code_says_whether_the_loop_works(
    state: doctor.State, code: int, as_json: bool
) -> None:
    assert doctor.report([replace(FINE, state=state)], as_json=as_json) == code


def test_json_holds_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [FINE, Finding("cameras", "missing", "none", "plug one in")]
    doctor.report(rows, as_json=True)
    assert [Finding(**row) for row in json.loads(capsys.readouterr().out)] == rows


def test_line_shows_state_and_mend() -> None:
    line = doctor.to_line(Finding("torch", "broken", "no such symbol", "pip install torch"))
    assert line.split() == [
        *("torch", "broken", "no", "such", "symbol"),
        *("->", "pip", "install", "torch"),
    ]


def test_working_backend_renders_a_frame(findings: list[Finding]) -> None:
    row = next(finding for finding in findings if finding.name == "GL backend")
    assert "MuJoCo" in row.found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a choice of GL backends")
def test_unusable_gl_backend_is_answered_with_one_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "crayons")
    row = doctor.renderer()
    assert (row.state, row.mend) == ("broken", "export MUJOCO_GL=egl")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGSEGV to send")
def test_doctor_survives_a_probe_that_crashes(tmp_path: Path) -> None:
    answer = doctor.ask("render", script=script(tmp_path, CRASH))
    assert answer == ("broken", "crashed with SIGSEGV")


def test_doctor_does_not_wait_for_a_probe_that_hangs(tmp_path: Path) -> None:
    hanging = script(tmp_path, "import time; time.sleep(60)")
    answer = doctor.ask("render", timeout_s=0.2, script=hanging)
    assert answer == ("broken", "no answer within 0.2 s")


def test_probe_of_an_absent_package_is_missing_not_broken(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('gone', name='torch')")
    state, found = doctor.ask("torch", environment={"PYTHONPATH": str(tmp_path)})
    assert (state, found) == ("missing", "torch is not installed")


def test_probe_that_fails_is_broken_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch.so: no such symbol\\nmore')")
    state, found = doctor.ask("torch", environment={"PYTHONPATH": str(tmp_path)})
    assert (state, found) == ("broken", "OSError: libtorch.so: no such symbol")


def test_absent_packages_are_named() -> None:
    row = doctor.packages(["numpy", "no_such_package"])
    assert (row.state, row.found) == ("missing", "not installed: no_such_package")


def test_full_disk_is_broken(tmp_path: Path) -> None:
    assert doctor.disk(tmp_path, needed_gb=1e9).state == "broken"


def test_serial_port_is_found(tmp_path: Path) -> None:
    port = tmp_path / "ttyACM0"
    port.touch()
    assert doctor.serial_ports(tmp_path) == Finding("serial ports", "ok", str(port))


def test_serial_port_without_permission_names_the_group_to_join(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may open anything
    row = doctor.serial_ports(tmp_path)
    assert row.state == "broken"
    assert f"usermod -aG {port.group()} " in row.mend


def test_camera_that_gives_no_frame_is_broken_and_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "video3").touch()
    by_path = tmp_path / "v4l" / "by-path"
    by_path.mkdir(parents=True)
    link = by_path / "pci-0-usb-0:2:1.0-video-index0"
    link.symlink_to(tmp_path / "video3")
    row = doctor.cameras(tmp_path)
    assert row.state == "broken"
    assert row.found.startswith(f"{link}: ")


def test_no_camera_is_missing(tmp_path: Path) -> None:
    assert doctor.cameras(tmp_path).state == "missing"


def test_system_library_that_opencv_lacks_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = "libGL.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "cv2.py").write_text(f"raise ImportError({sentence!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    row = doctor.opencv()
    assert (row.state, row.found) == ("broken", f"ImportError: {sentence}")
    assert row.mend == "on Debian: sudo apt install libgl1 libglib2.0-0"


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        ("ModuleNotFoundError('gone', name='av')", "pip install 'demoloop[sim]'"),
        ("ImportError('libav.so: no such file')", "pip install --force-reinstall av"),
    ],
)
def test_missing_package_is_installed_and_a_broken_one_is_put_in_anew(
    error: str, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "av.py").write_text(f"raise {error}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert doctor.probed("h264", package="av").mend == mend


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has SCHED_FIFO and mlockall")
def test_doctor_says_of_real_time_what_the_control_loop_is_told(findings: list[Finding]) -> None:
    code = (
        "from demoloop.robot.realtime import realtime\nwith realtime() as it: print(it.is_granted)"
    )
    loop = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    row = next(finding for finding in findings if finding.name == "real time")
    assert str(row.state == "ok") == loop.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has SCHED_FIFO and mlockall")
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can become nobody")
def test_real_time_is_broken_for_one_who_may_not_have_it(tmp_path: Path) -> None:
    become_nobody = (
        "import os, resource  # while its file may be read\nos.setgid(65534)\nos.setuid(65534)\n"
    )
    main = 'if __name__ == "__main__":'
    source = Path(probes.__file__).read_text()
    source = source.replace(main, f"{become_nobody}{main}")
    state, found = doctor.ask("realtime", "50", script=script(tmp_path, source))
    assert state == "broken"
    assert "SCHED_FIFO 50 (Operation not permitted)" in found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has SCHED_FIFO and mlockall")
def test_refused_real_time_blocks_no_simulated_loop_and_says_how_to_allow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = ("broken", "PermissionError: refused: SCHED_FIFO 50 (Operation not permitted)")
    monkeypatch.setattr(doctor, "ask", lambda *_: answer)
    row = doctor.real_time()
    assert doctor.loop_blockers([row]) == []
    assert row.found.startswith("refused: SCHED_FIFO 50")
    assert "rtprio 50" in row.mend
    assert "LimitMEMLOCK=infinity" in row.mend
