"""What tests of teleoperation share."""

from __future__ import annotations

import pytest
from tests.teleop.hands import MIDDLE, HandheldLeader


@pytest.fixture
def leader_arm() -> HandheldLeader:
    return HandheldLeader(MIDDLE)
