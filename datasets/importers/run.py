"""Turns the recordings of others into a dataset of ours; what is broken costs only itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from demoloop.datasets.episode import Episode, check_episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.exporters.whole import whole
from demoloop.datasets.importers import act, lerobot, mcap, robomimic
from demoloop.datasets.importers.found import Found, ImportOptions, Item, Skipped
from demoloop.datasets.lerobot_write import DatasetWriter
from demoloop.robot import RobotSpec

REPORT = Path("demoloop/import.json")
"""Where a dataset says what it was made from."""


class Importer(NamedTuple):
    """How one format is recognised, and read."""

    is_there: Callable[[Path], bool]  # looks at names and first bytes only
    find: Callable[[Path, ImportOptions], Found]  # raises DatasetError when nothing can be used


IMPORTERS: Mapping[str, Importer] = {
    "lerobot": Importer(lerobot.is_lerobot, lerobot.find),
    "act": Importer(act.is_act, act.find),
    "robomimic": Importer(robomimic.is_robomimic, robomimic.find),
    "mcap": Importer(mcap.is_mcap, mcap.find),
}


@dataclass(frozen=True)
class ImportReport:
    """What became of a source."""

    source: str
    format: str
    time: str  # ISO 8601, UTC
    kept: tuple[str, ...]  # name in the source of episode 0, 1, ...
    skipped: tuple[Skipped, ...]
    names: Mapping[str, str]  # name in the source -> name in the dataset
    notes: tuple[str, ...]  # what was guessed or cannot be represented

    def to_json(self) -> str:
        """Returns what stands in demoloop/import.json."""
        value = asdict(self)
        value["kept"] = [{"episode": number, "name": name} for number, name in enumerate(self.kept)]
        value["skipped"] = [skipped._asdict() for skipped in self.skipped]
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def import_dataset(
    source: Path,
    out: Path,
    format_name: str | None = None,
    options: ImportOptions | None = None,
    *,
    progress: bool = False,
) -> ImportReport:
    """Writes the episodes of `source` into a new dataset at `out` and returns what became of them.

    Episodes are read one at a time. `out` appears when all is written, or not at all.

    Raises:
        DatasetError: The format is unknown, `out` is there already, the disk is full, or not one
            episode can be used; the sentence names the first reason.
    """
    source, options = Path(source), options or ImportOptions()
    with whole(out) as work:
        name = format_name or detect_format(source)
        if name not in IMPORTERS:
            raise DatasetError(f"no format {name!r}; demoloop imports {', '.join(IMPORTERS)}")
        found = IMPORTERS[name].find(source, options)
        kept: list[str] = []
        skipped = list(found.skipped)
        with DatasetWriter(work, found.spec) as writer:
            items = tqdm(found.items, desc=f"import {name}", unit="episode", disable=not progress)
            for item in items:
                episode = _read(item, found.spec, skipped)
                if episode is not None:
                    writer.add(episode)
                    kept.append(item.name)
        if not kept:
            raise DatasetError(f"{source}: no episode can be used; {_first(skipped)}")
        report = ImportReport(
            source=source.name,
            format=name,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            kept=tuple(kept),
            skipped=tuple(skipped),
            names=found.names,
            notes=tuple(found.notes),
        )
        path = work / REPORT
        path.parent.mkdir(exist_ok=True)
        path.write_text(report.to_json(), encoding="utf-8")
    return report


def detect_format(source: Path) -> str:
    """Returns the format of a file or folder.

    Raises:
        DatasetError: There is nothing, or nothing that is known.
    """
    if not source.exists():
        raise DatasetError(f"{source} does not exist; check the path")
    for name, importer in IMPORTERS.items():
        if importer.is_there(source):
            return name
    raise DatasetError(
        f"{source} is in no format that is known; demoloop imports {', '.join(IMPORTERS)}, "
        "--format names one"
    )


def _read(item: Item, spec: RobotSpec, skipped: list[Skipped]) -> Episode | None:
    """Returns the episode, or None when it cannot be used; then `skipped` says why."""
    try:
        episode = item.read()
        check_episode(spec, episode)
    except DatasetError as error:
        skipped.append(Skipped(item.name, str(error)))
        return None
    return episode


def _first(skipped: list[Skipped]) -> str:
    return f"{skipped[0].name}: {skipped[0].why}" if skipped else "there is none in it"
