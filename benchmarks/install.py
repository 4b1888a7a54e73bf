"""What the onboard install brings: `python benchmarks/install.py [--find-links FOLDER]`.

Makes a fresh virtual environment, installs this copy into it without an extra, and says how many
packages and megabytes came, how long the verbs that run onboard take to import, and that neither
torch nor a simulator is among them. Needs pip's registry, or a folder with the wheels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
NOT_ONBOARD = ("torch", "mujoco", "gymnasium", "av", "pyarrow")
NOT_OURS = {"pip", "setuptools"}  # which venv puts in
NUM_RUNS = 7
MODULES = ("demoloop", "demoloop.cli.serve", "demoloop.cli.run")


def copy_source(folder: Path) -> Path:
    """Copies what a wheel is made of, since building leaves folders behind."""
    linked = [link.resolve() for link in (ROOT / "src" / "demoloop").iterdir() if link.is_symlink()]
    files = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE")]
    for path in [*linked, ROOT / "src", *files]:
        if path.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
            shutil.copytree(path, folder / path.name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(path, folder)
    return folder


def size_mb(path: Path) -> float:
    """Bytes of all files below, in MB."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def import_seconds(python: Path, module: str) -> float:
    """Time of a process that imports `module` and ends, the median of some."""
    seconds = []
    for _ in range(NUM_RUNS + 1):
        start = time.monotonic()
        subprocess.run([python, "-c", f"import {module}"], check=True)
        seconds.append(time.monotonic() - start)
    return median(seconds[1:])  # the first one compiles


def main() -> int:
    """Installs, looks, prints; exit code 1 when something came that has no place onboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--find-links", help="folder with wheels, instead of the registry")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        (folder / "source").mkdir()
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if arguments.find_links:
            command += ["--no-index", "--find-links", arguments.find_links]
        start = time.monotonic()
        subprocess.run([*command, copy_source(folder / "source")], check=True)
        print(f"pip install: {time.monotonic() - start:.0f} s")

        listed = subprocess.run(
            [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        packages = {it["name"]: it["version"] for it in json.loads(listed.stdout)}
        ours = {name: version for name, version in packages.items() if name not in NOT_OURS}
        print(f"packages: {len(ours)}: {', '.join(f'{n} {v}' for n, v in sorted(ours.items()))}")
        where = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        site = Path(where.stdout.strip())
        sizes = {path.name: size_mb(path) for path in site.iterdir()}
        mine = {
            n: mb for n, mb in sizes.items() if n.split("-")[0] not in {*NOT_OURS, "pkg_resources"}
        }
        largest = sorted(mine.items(), key=lambda it: -it[1])[:6]
        print(
            f"size: {sum(mine.values()):.0f} MB: {', '.join(f'{n} {mb:.0f}' for n, mb in largest)}"
        )
        for module in MODULES:
            print(f"import {module}: {import_seconds(python, module) * 1e3:.0f} ms")
        came = sorted({name.lower() for name in ours} & set(NOT_ONBOARD))
        print(f"of {', '.join(NOT_ONBOARD)}: {', '.join(came) or 'none'}")
        return 1 if came else 0


if __name__ == "__main__":
    sys.exit(main())
