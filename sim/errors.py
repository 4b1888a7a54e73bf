"""The error of the simulation."""

from demoloop.robot import DemoloopError


class SimError(DemoloopError):
    """A task, a seed or the renderer is not as it should be."""
