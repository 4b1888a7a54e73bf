"""The error of training and export."""

from demoloop.robot import DemoloopError


class PolicyError(DemoloopError):
    """A policy cannot be built, trained, restored or exported as asked."""
