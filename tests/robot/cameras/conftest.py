"""What tests of cameras share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.robot.cameras.virtual import SteppedClock


@pytest.fixture
def clock() -> Iterator[SteppedClock]:
    clock = SteppedClock()
    yield clock
    clock.free()
