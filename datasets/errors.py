"""The error of a dataset."""

from demoloop.robot import DemoloopError


class DatasetError(DemoloopError):
    """A dataset, an episode or a training cache is not as it should be."""


def one_line(error: Exception) -> str:
    """Returns the message of another library's error as one line, fit for a sentence of ours."""
    return " ".join(str(error).split())
