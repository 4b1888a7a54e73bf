"""What every test runs under."""

from __future__ import annotations

import os
import signal
import sys

import pytest

# MuJoCo's own default on Linux wants a window; read when mujoco is imported, so set before.
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "egl")

# Workers of one machine share its cores already; read when torch and numpy are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background lets them ignore Ctrl-C, as nohup does a closed
# terminal, and the processes they start inherit that; a handler is not inherited, so those that are
# to be stopped can be.
for _number in (signal.SIGINT, signal.SIGHUP) if sys.platform != "win32" else (signal.SIGINT,):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler)


def is_excused(report: pytest.TestReport | pytest.CollectReport) -> bool:
    """Whether a skip is about recorded data that does not come with the repository."""
    return isinstance(report.longrepr, tuple) and "data" in report.longrepr[2]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With CI set, a skip for a missing package or system part fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    unexcused = [report for report in reporter.stats.get("skipped", ()) if not is_excused(report)]
    for report in unexcused:
        reporter.write_line(f"\nCI allows no skip but for absent data: {report.nodeid}", red=True)
    if unexcused and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
