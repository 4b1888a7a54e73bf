"""`demoloop dataset publish`: puts a dataset on the Hugging Face Hub."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets import DatasetError
from demoloop.datasets.publish import TAG, Hub, publishable


@dataclass(frozen=True)
class Options:
    """Uploads the LeRobot files, the journal and a card; never what lies beside them.

    Edits are applied to what is published. An interrupted upload goes on when started again.
    """

    data: tyro.conf.Positional[Path]
    """Folder of the dataset."""
    repo_id: tyro.conf.Positional[str]
    """Where to: person/name or organisation/name."""
    private: bool = False
    """Create the repository so that only its owners see it; one that is there stays as it is."""
    branch: str = "main"
    """Branch that gets the files."""
    endpoint: str | None = None
    """URL of another Hub than the usual one."""
    yes: bool = False
    """Move the tag v3.0, by which lerobot finds a dataset, without asking."""
    dry_run: bool = False
    """Say which files would be uploaded, and upload nothing."""


def main(options: Options) -> int:
    """Uploads and tags; exit code 0, or 1 when the person does not want to move the tag."""
    with publishable(options.data, options.repo_id) as uploads:
        size = sum(upload.size for upload in uploads)
        if options.dry_run:
            for upload in uploads:
                print(f"{upload.size:>12}  {upload.name}")
            print(f"{size:>12}  bytes in {len(uploads)} files, for {options.repo_id}")
            return 0
        hub = Hub(options.repo_id, branch=options.branch, endpoint=options.endpoint)
        hub.connect()
        if hub.tagged() is not None and not options.yes and not _agrees(options.repo_id):
            print("nothing was uploaded")
            return 1
        commit = hub.upload(uploads, is_private=options.private)
        hub.tag(commit)
    print(f"published: {options.repo_id} at {TAG}, {len(uploads)} files, {size / 1e6:.1f} MB")
    return 0


def _agrees(repo_id: str) -> bool:
    """Asks the person; raises DatasetError where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise DatasetError(
            f"{repo_id} has a tag {TAG} already, and readers find the dataset by it; pass --yes to "
            "move it to what is uploaded now"
        )
    said = input(f"{repo_id} has a tag {TAG} already; replace what readers find by it? [y/N] ")
    return said.strip().lower() in ("y", "yes")
