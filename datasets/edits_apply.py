"""What edits mean: the values they may set, and the episodes as they stand after them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from demoloop.datasets.edits_log import Edit, Op, Value, active_edits
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_files import EpisodeFiles, EpisodeInfo

MAX_WORDS = 1000  # characters of a task


def apply_edits(
    episodes: Sequence[EpisodeFiles], edits: Sequence[Edit]
) -> tuple[list[EpisodeFiles], set[str]]:
    """Returns the episodes that are kept, as edited, and the uuids of edits that match none.

    Edits of different kinds, or of different episodes, may come in any order; of two that set
    the same thing of the same episode the later one holds.

    Raises:
        DatasetError: An edit sets what its episode cannot have.
    """
    by_uuid = {files.info.uuid: files for files in episodes}
    changes: dict[str, dict[str, Any]] = {}  # uuid -> field of EpisodeInfo -> value
    dropped, strangers = set(), set()
    for edit in active_edits(edits):
        for uuid, value in edit.episodes.items():
            if uuid not in by_uuid:
                strangers.add(uuid)
                continue
            episode = by_uuid[uuid].info
            try:
                check_value(edit.op, value, episode)
            except DatasetError as error:
                raise DatasetError(
                    f"edit {edit.id[:20]} does not fit its dataset: {error}; take it back by "
                    f"`demoloop dataset undo DATA {edit.id[:20]}`"
                ) from error
            if edit.op == "drop":
                dropped.add(uuid)
            else:
                change = changes.setdefault(uuid, {})
                change |= _change(edit.op, value, change.get("tags", episode.tags))
    kept = []
    for files in episodes:
        if files.info.uuid in dropped:
            continue
        changed = replace(files.info, **changes.get(files.info.uuid, {}))
        kept.append(replace(files, info=changed))
    return kept, strangers


def check_value(op: Op, value: Value, episode: EpisodeInfo) -> None:
    """Raises DatasetError that says what an edit of this kind sets, and what it was given."""
    if op == "trim":
        _check_range(value, episode)
    elif op == "relabel":
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise DatasetError(f"a task is a line of words, not {_short(value)}")
        if len(value) > MAX_WORDS:
            raise DatasetError(f"a task has at most {MAX_WORDS} characters, not {len(value)}")
    elif op == "success":
        if value is not None and not isinstance(value, bool):
            raise DatasetError(f"success is true, false or none, not {_short(value)}")
    elif op == "weigh":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= float(str(value)) < math.inf:
            raise DatasetError(f"a weight is a number of at least 0, not {_short(value)}")
    elif op in ("tag", "untag", "split"):
        is_word = isinstance(value, str) and value == "".join(value.split())
        if not is_word or (not value and op != "split"):
            raise DatasetError(
                f"{'a split' if op == 'split' else 'a tag'} is one word: {_short(value)}"
            )
    elif op == "undo":
        raise DatasetError("an undo names an edit, not episodes")
    elif value is not None:
        raise DatasetError(f"{op} takes no value, got {_short(value)}")


def _short(value: Value) -> str:
    """Returns a value for a sentence, which a long one must not fill."""
    return repr(value)[:100]


def _check_range(value: Value, episode: EpisodeInfo) -> None:
    match value:
        case (int(first), int(stop)):
            if first >= stop:
                raise DatasetError(
                    f"steps {first} to {stop} of episode {episode.index} leave nothing; drop it "
                    "if that is meant"
                )
            if first < 0 or stop > episode.recorded_length:
                raise DatasetError(
                    f"episode {episode.index} has steps 0 to {episode.recorded_length}, the last "
                    f"excluded; {first} to {stop} is outside"
                )
        case _:
            raise DatasetError(f"a trim is two whole numbers of steps, not {_short(value)}")


def _change(op: Op, value: Any, tags: tuple[str, ...]) -> dict[str, Any]:
    """Returns the fields of EpisodeInfo that a checked edit sets."""
    match op:
        case "trim":
            first, stop = value
            return {"first": first, "length": stop - first}
        case "relabel":
            return {"task": value}
        case "weigh":
            return {"weight": float(value)}
        case "tag":
            return {"tags": tuple(sorted({*tags, value}))}
        case "untag":
            return {"tags": tuple(tag for tag in tags if tag != value)}
        case _:
            return {op: value}  # success and split are called what they set
