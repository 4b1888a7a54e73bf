"""The errors of teleoperation."""

from demoloop.robot import DemoloopError


class TeleopError(DemoloopError):
    """A device a person shows with is missing, or does not fit the robot."""
