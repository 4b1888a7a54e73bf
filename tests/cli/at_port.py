"""`demoloop` with cameras of kind `fake`, as no computer of the tests has one: `at_port.py VERB`.

And with the patience of a busy machine, on which the servos' process waits for its turn. All else
is the product's own: the arm is at a port, and nothing knows that its servos are emulated.
"""

from __future__ import annotations

import sys
from functools import partial

from demoloop.__main__ import main
from demoloop.cli import robots
from demoloop.robot.cameras import capture
from demoloop.robot.cameras.fake import FakeUVC
from demoloop.robot.safety import Limits

if __name__ == "__main__":
    fake = {"fake": lambda setup, serial: FakeUVC().opens(setup)}
    capture.OPENERS = {**capture.OPENERS, **fake}
    patient = partial(Limits, silent_s=1.0, heartbeat_s=1.0, camera_age_s=1.0)
    robots.Limits = patient  # type: ignore[misc, assignment]
    sys.exit(main(sys.argv[1:]))
