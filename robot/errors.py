"""The errors of a demoloop robot, and the one every error of demoloop descends from."""


class DemoloopError(Exception):
    """A mistake a person can mend: the command line prints it in one line and exits with 2."""


class RobotError(DemoloopError):
    """A robot, its spec or its connection is not as it should be."""


class ActionError(RobotError):
    """An agent decided on something the robot must not do."""


class Disconnected(RobotError):
    """The robot is no longer there: its cable was pulled, its port or its power is gone."""
