"""`demoloop` with cameras of kind `fake`, as no computer of the tests has one: `at_port.py VERB`.

All else is the product's own: the arm is at a port, and nothing knows that its servos are emulated.
"""

from __future__ import annotations

import sys

from demoloop.__main__ import main
from demoloop.robot.cameras import capture
from demoloop.robot.cameras.fake import FakeUVC

if __name__ == "__main__":
    fake = {"fake": lambda setup, serial: FakeUVC().opens(setup)}
    capture.OPENERS = {**capture.OPENERS, **fake}
    sys.exit(main(sys.argv[1:]))
