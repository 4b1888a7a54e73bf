"""The error of the simulation."""

from demoloop.robot import DemoloopError

DEAD_WORKER = (
    "a worker process was ended from outside, most likely for want of memory; "
    "close other programs or ask for fewer --workers"
)
"""What to say when one of several processes that simulate is gone."""


class SimError(DemoloopError):
    """A task, a seed or the renderer is not as it should be."""
