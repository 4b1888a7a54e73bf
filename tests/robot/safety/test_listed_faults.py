"""Each fault of the list is survived through real bytes, in the right state, in the right words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.robot.safety.listed_faults import CASES, Case, befall

from demoloop.robot.arms.so101 import ARM
from demoloop.robot.emulator.emulator import Emulator, emulated_arm
from demoloop.robot.safety import Limits

pytestmark = pytest.mark.realtime

# Of a busy machine, on which this loop and the servos' process wait for their turn.
PATIENT = Limits(arm_s=0.1, relax_s=0.1, silent_s=0.3, heartbeat_s=1.0)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with emulated_arm(ARM) as emulator:
        yield emulator


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_survived_in_the_right_state_with_the_right_sentence(
    case: Case, emulator: Emulator
) -> None:
    outcome = befall(case, emulator, PATIENT, stays_s=0.5)
    assert outcome.is_right, outcome
