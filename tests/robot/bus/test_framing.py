"""Laws of packets, in both protocols."""

from __future__ import annotations

import numpy as np
import pytest

from demoloop.robot.bus import dynamixel, feetech
from demoloop.robot.bus.framing import Framing

BOTH = [feetech.FeetechFraming(), dynamixel.DynamixelFraming()]
NAMES = ["feetech", "dynamixel"]


def test_feetech_packets_are_those_of_the_data_sheet() -> None:
    framing = feetech.FeetechFraming()
    # The maker's manual: read 8 bytes from 0x38 of id 1; write 2048 to the goal of id 1.
    assert framing.read((1,), 0x38, 8).hex(" ") == "ff ff 01 04 02 38 08 b8"
    assert framing.write(1, 0x2A, b"\x00\x08").hex(" ") == "ff ff 01 05 03 2a 00 08 c4"
    assert framing.read((1, 2), 0x38, 8).hex(" ") == "ff ff fe 06 82 38 08 01 02 36"


def test_dynamixel_packets_are_those_of_the_e_manual() -> None:
    framing = dynamixel.DynamixelFraming()
    assert framing.read((1,), 132, 4).hex(" ") == "ff ff fd 00 01 07 00 02 84 00 04 00 1d 15"
    written = framing.write(1, 116, (512).to_bytes(4, "little"))
    assert written.hex(" ") == "ff ff fd 00 01 09 00 03 74 00 00 02 00 00 ca 89"


def test_a_header_within_dynamixel_data_is_stuffed_and_comes_back() -> None:
    data = b"\x00\xff\xff\xfd\x01\xff\xff\xfd"
    sent = dynamixel.packet(7, 0x55, data)
    assert sent.count(b"\xff\xff\xfd\xfd") == 2
    found = dynamixel.DynamixelFraming().find(sent, 0).packet
    assert found is not None and bytes((found.error,)) + found.data == data


@pytest.mark.parametrize("framing", BOTH, ids=NAMES)
def test_any_bytes_end_the_search_and_never_go_back(framing: Framing) -> None:
    rng = np.random.default_rng(3)
    for _ in range(3000):
        # Mostly bytes of which headers are made.
        data = rng.choice([0xFF, 0xFF, 0xFD, 0x00, 1, 3, 9], int(rng.integers(0, 40)))
        raw = data.astype(np.uint8).tobytes()
        start = 0
        while start < len(raw):
            search = framing.find(raw, start)
            assert start <= search.rest <= len(raw)
            start = max(start + 1, search.rest)
