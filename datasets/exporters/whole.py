"""A file or folder that appears under its name when it is whole, and otherwise not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demoloop.datasets.errors import DatasetError


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Lends a name beside `out`; what stands there at the end of the block becomes `out`.

    A failure or Ctrl-C in the block removes it.

    Raises:
        DatasetError: Something is at `out` already, or nothing can be written beside it.
    """
    out = Path(out)
    _check_free(out)
    work = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise DatasetError(f"{out.parent} is no folder; choose another place") from error
    try:
        yield work
        _check_free(out)  # somebody may have come in between
        work.rename(out)
    finally:
        if work.is_dir():
            shutil.rmtree(work, ignore_errors=True)
        else:
            work.unlink(missing_ok=True)


def _check_free(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise DatasetError(f"{out} is there already; name a new one, nothing is overwritten")
