"""What tests of cameras share."""

from __future__ import annotations

import pytest
from tests.robot.cameras.virtual import SteppedClock


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()
