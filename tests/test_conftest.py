"""The law of skips: in CI only absent recorded data excuses one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "in workers"])
@pytest.mark.parametrize(
    ("ci", "reason", "code"),
    [
        ("", "no libegl1", 0),
        ("1", "no libegl1", 1),
        ("1", "recorded data is absent", 0),
    ],
)
def test_skip_fails_only_in_ci_and_not_for_absent_data(
    ci: str, reason: str, code: int, workers: tuple[str, ...], tmp_path: Path
) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_it.py").write_text(
        f"import pytest\ndef test_it(): pytest.skip({reason!r})\ndef test_fine(): pass\n"
    )
    environment = {**os.environ, "CI": ci}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", str(tmp_path), "--rootdir", str(tmp_path)),
            *workers,
        ],
        capture_output=True,
        text=True,
        env={name: value for name, value in environment.items() if "XDIST" not in name},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == code, done.stdout
