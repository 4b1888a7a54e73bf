"""`demoloop dataset import`: recordings of others become a dataset of ours."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets.importers import ImportOptions, ImportReport, import_dataset
from demoloop.datasets.importers.run import REPORT

SHOWN = 20
"""Skipped episodes that are printed; all of them stand in the report."""


@dataclass(frozen=True)
class Options(ImportOptions):
    """LeRobot v2.0 to v3.x, robomimic, ACT and ALOHA, MCAP; the source is not touched."""

    source: tyro.conf.Positional[Path] = tyro.MISSING
    """Folder or file to read."""
    out: tyro.conf.Positional[Path] = tyro.MISSING
    """Folder of the new dataset."""
    format: str | None = None
    """lerobot, act, robomimic or mcap; None looks at the files."""


def main(options: Options) -> int:
    """Imports and prints what was skipped; exit code 0 when at least one episode is kept."""
    report = import_dataset(options.source, options.out, options.format, options, progress=True)
    for line in said(report):
        print(line)
    print(
        f"imported: {options.out} has {len(report.kept)} episodes from {report.format}, "
        f"{len(report.skipped)} skipped; {options.out / REPORT} says which and why"
    )
    print(f"next: demoloop dataset check {options.out}")
    return 0


def said(report: ImportReport) -> list[str]:
    """Returns a table of what was skipped, and the notes, a line each."""
    lines = []
    if report.skipped:
        width = max(len(skipped.name) for skipped in report.skipped[:SHOWN])
        lines = [f"{'skipped':<{width}}  why"]
        for skipped in report.skipped[:SHOWN]:
            why = textwrap.shorten(skipped.why, 200, placeholder=" ...")
            lines.append(f"{skipped.name:<{width}}  {why}")
        if len(report.skipped) > SHOWN:
            lines.append(f"... and {len(report.skipped) - SHOWN} more")
    notes = report.notes[:SHOWN]
    lines += [f"note: {textwrap.shorten(note, 300, placeholder=' ...')}" for note in notes]
    if len(report.notes) > SHOWN:
        lines.append(f"... and {len(report.notes) - SHOWN} more notes")
    return lines
