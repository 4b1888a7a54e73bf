"""The error of a dataset."""

from demoloop.robot import DemoloopError


class DatasetError(DemoloopError):
    """A dataset, an episode or a training cache is not as it should be."""


_MAX_MESSAGE = 300  # characters; some libraries say all that is in a file


def one_line(error: Exception) -> str:
    """Returns the message of another library's error as one line, fit for a sentence of ours."""
    text = " ".join(str(error).split())
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + " ..."
