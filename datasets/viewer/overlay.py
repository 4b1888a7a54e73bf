"""What the page says about episodes, written as edits of the overlay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_read import Dataset


def apply_edit(dataset: Dataset, said: dict[str, Any]) -> str:
    """Writes the edit that the page asks for and returns it as a sentence."""
    raise DatasetError("edits cannot be written yet")


def undo_edit(dataset: Dataset, said: dict[str, Any]) -> str:
    """Takes back the edit that the page names and returns a sentence."""
    raise DatasetError("edits cannot be written yet")


def describe_history(root: Path, dataset: Dataset) -> list[dict[str, Any]]:
    """Returns all edits, the oldest first."""
    return []
