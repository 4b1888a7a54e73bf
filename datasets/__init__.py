"""Episodes: recorded, kept on disk as LeRobot datasets, and read back for training."""

from typing import TYPE_CHECKING

from demoloop.datasets.cache import TrainingCache, open_cache, open_numbers
from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_files import EpisodeInfo
from demoloop.datasets.lerobot_read import Dataset, open_dataset
from demoloop.datasets.lerobot_rows import Lowdim
from demoloop.datasets.lerobot_write import DatasetWriter
from demoloop.datasets.recorder import EpisodeRecorder, stage_episode
from demoloop.datasets.staging import StagedEpisode

if TYPE_CHECKING:
    from demoloop.datasets.streaming import StreamingView
    from demoloop.datasets.windows import Batch, WindowSampler

__all__ = [
    "Batch",
    "Dataset",
    "DatasetError",
    "DatasetWriter",
    "Episode",
    "EpisodeInfo",
    "EpisodeRecorder",
    "Lowdim",
    "StagedEpisode",
    "StreamingView",
    "TrainingCache",
    "WindowSampler",
    "open_cache",
    "open_dataset",
    "open_numbers",
    "stage_episode",
]


def __getattr__(name: str) -> object:
    """Imports the samplers when they are asked for: who records has no torch."""
    if name in ("Batch", "WindowSampler"):
        from demoloop.datasets import windows

        return getattr(windows, name)
    if name == "StreamingView":
        from demoloop.datasets.streaming import StreamingView

        return StreamingView
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
