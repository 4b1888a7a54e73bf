"""The error of a dataset."""

from demoloop.robot import DemoloopError


class DatasetError(DemoloopError):
    """A dataset, an episode or a training cache is not as it should be."""
