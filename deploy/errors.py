"""The errors of deployment."""

from demoloop.robot import DemoloopError


class DeployError(DemoloopError):
    """A policy, a server or a connection is not as it should be."""


class PolicyError(DeployError):
    """A policy file does not load, does not fit the robot, or answers what it should not."""


class OutsideError(PolicyError):
    """The robot is where no demonstration was, too far for the policy to be asked."""


class WireError(DeployError):
    """A message from the other side that is not one of ours, or says what cannot be."""
