"""Laws of the emulated port."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from demoloop.robot.bus.serial_port import SerialPort
from demoloop.robot.emulator.port import Port


@pytest.mark.parametrize("baud", [1_000_000, 57_600, 250_000, 128_000])
def test_any_rate_that_a_client_sets_is_known(tmp_path: Path, baud: int) -> None:
    if sys.platform != "linux" and baud in (250_000, 128_000):
        return  # only Linux sets rates that have no name
    port = Port(tmp_path / "arm")
    port.plug()
    client = SerialPort(tmp_path / "arm", baud)
    client.open()
    assert port.baud() == baud
    client.close()
    port.unplug()
