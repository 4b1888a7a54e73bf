"""Spoilt files for every reader: `python benchmarks/fuzz.py [--total 100000] [--reader NAME]`.

A reader must give a result, or refuse in one sentence that names the file. Whatever else comes of
a file is a failure: another exception, a dead or hanging process, more memory than `MAX_MB`, a
changed original, a file outside the folder. A failure is repeated by its name and seed:
`python benchmarks/fuzz.py --reader "info.json" --seed 1234`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

MAX_MB = 256  # that one file of some kB may take, above what there was before
ADDRESSES = 3 << 30  # bytes of address space above what the process has when it begins
MAX_S = 60.0  # generous, since the machine may be busy: a hang is for ever
MAX_SENTENCE = 2000  # characters
_AT_A_TIME = 500  # mutations between two turns of the progress bar


@dataclass
class Result:
    """What became of some mutations of one reader."""

    mutations: int = 0
    refused: int = 0
    worst_mb: float = 0.0
    worst_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Takes in what became of more."""
        self.mutations += other.mutations
        self.refused += other.refused
        self.worst_mb = max(self.worst_mb, other.worst_mb)
        self.worst_s = max(self.worst_s, other.worst_s)
        self.failures += other.failures


def run(jobs: Sequence[tuple[str, int, int]], work: Path) -> dict[str, Result]:
    """Runs (reader, first seed, count) in a process of its own, and a new one when it dies.

    `work` is removed and made again.
    """
    results: dict[str, Result] = {name: Result() for name, _, _ in jobs}
    waiting = list(jobs)
    while waiting:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        command = [sys.executable, __file__, "--child", json.dumps(waiting), "--work", str(work)]
        environment = {**os.environ, "TMPDIR": str(work), "OMP_NUM_THREADS": "1"}
        environment["XDG_CACHE_HOME"] = str(work / "home")
        child = subprocess.run(command, capture_output=True, text=True, env=environment)
        for line in child.stdout.splitlines():
            name, value = json.loads(line)
            results[name].add(Result(**value))
            waiting.pop(0)
        if child.returncode:
            state = work / "state"
            if child.returncode > 0 or not state.exists():
                raise RuntimeError(child.stderr[-2000:])  # a mistake of this script's
            name, first, count = waiting.pop(0)
            seed = int(state.read_text())
            died = f"{name}, seed {seed}: the process died ({_reason(child.returncode)})"
            results[name].add(Result(seed + 1 - first, failures=[died]))
            if left := first + count - seed - 1:
                waiting.insert(0, (name, seed + 1, left))
    return results


def _reason(returncode: int) -> str:
    if returncode == -signal.SIGALRM:
        return f"it hung for {MAX_S:.0f} s"
    return signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"


def child(jobs: Iterable[tuple[str, int, int]], work: Path) -> None:
    """Runs jobs in this process and prints the result of each as a line."""
    from fuzz_readers import READERS, fill

    sys.dont_write_bytecode = True
    outside = _watch(work)
    have = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (have + ADDRESSES, have + ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, first, count in jobs:
        reader, result = READERS[name], Result()
        whole, folder = work / "whole", work / "subject" / "folder"
        fill(name, whole)
        _copy(whole, folder)
        with (work / "state").open("w") as state:
            for seed in range(first, first + count):
                os.pwrite(state.fileno(), b"%-20d" % seed, 0)
                signal.setitimer(signal.ITIMER_REAL, MAX_S)
                one = Case(name, seed, whole, folder).run(reader)
                signal.setitimer(signal.ITIMER_REAL, 0)
                if outside:
                    one.failures.append(f"{name}, seed {seed}: wrote outside: {outside[:3]}")
                    outside.clear()
                result.add(one)
                if reader.writes or one.failures:
                    _copy(whole, folder)
        print(json.dumps([name, asdict(result)]), flush=True)


@dataclass(frozen=True)
class Case:
    """One spoilt file."""

    name: str
    seed: int
    whole: Path
    folder: Path

    def run(self, reader: Any, *, shows: bool = False) -> Result:
        """Spoils a file, lets the reader read it, and puts the file back."""
        from demoloop.robot import DemoloopError

        rng = random.Random(f"{self.name} {self.seed}")
        place, ways = rng.choice(list(reader.spoilt.items()))
        original = (self.whole / place).read_bytes()
        way = rng.choice(ways)
        content, path = way(original, rng), self.folder / place
        path.write_bytes(content)
        before = _listing(self.folder.parent)
        result = Result(1)
        memory, start = _peak_mb(reset=True), time.perf_counter()
        fault = ""
        try:
            reader.read(self.folder)
        except DemoloopError as error:
            result.refused = 1
            fault = self._bad_sentence(str(error), path)
            if shows:
                print(f"refused: {error}")
        except Exception as error:
            if shows:
                traceback.print_exc()
            where = traceback.extract_tb(error.__traceback__)[-1]
            fault = f"{type(error).__name__}: {str(error)[:150]} at {_last(error)}"
            fault += f" ({Path(where.filename).name}:{where.lineno})"
        result.worst_s = time.perf_counter() - start
        result.worst_mb = max(0.0, _peak_mb() - memory)
        if not fault and result.worst_mb > MAX_MB:
            fault = f"took {result.worst_mb:.0f} MB"
        if not fault and not reader.writes and _listing(self.folder.parent) != before:
            fault = "a file was written, removed or changed"
        if not fault and reader.writes and set(self.folder.parent.iterdir()) != {self.folder}:
            fault = "a file was written beside the folder"
        if fault:
            file = f"{place} by {way.__name__}"
            result.failures.append(f"{self.name}, seed {self.seed} ({file}): {fault}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(original)
        return result

    def _bad_sentence(self, sentence: str, path: Path) -> str:
        """Says what is wrong with a refusal, '' when nothing is."""
        if "\n" in sentence:
            return f"two lines: {sentence[:300]!r}"
        if len(sentence) > MAX_SENTENCE:
            return f"a sentence of {len(sentence)} characters: {sentence[:200]}"
        if path.name not in sentence and str(self.folder) not in sentence:
            return f"does not say which file: {sentence[:300]}"
        return ""


def _last(error: BaseException) -> str:
    """Returns the place in demoloop where an exception came from."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if "/demoloop/" in f.filename
            or "/datasets/" in f.filename or "/robot/" in f.filename]  # fmt: skip
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"


def _listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (status.st_size, status.st_mtime_ns)
        for path in folder.rglob("*")
        if not (status := path.lstat()).st_mode & 0o040000
    }


def _copy(whole: Path, folder: Path) -> None:
    shutil.rmtree(folder.parent, ignore_errors=True)
    shutil.copytree(whole, folder)


def _peak_mb(*, reset: bool = False) -> float:
    """Returns the highest resident memory of this process since it was last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _watch(work: Path) -> list[str]:
    """Returns a list to which every path is added that Python writes to outside of `work`."""
    outside: list[str] = []
    changing = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            is_change = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            # What is named from an open folder is below one that was named.
            is_change = event in changing and arguments[-1] in (-1, arguments[0])
        if is_change and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith((str(work.resolve()), "/proc/", "/dev/null")):
                outside.append(f"{event} {path}")

    sys.addaudithook(hear)
    return outside


def repeat(name: str, seed: int, work: Path) -> None:
    """Shows what one mutation comes to."""
    from fuzz_readers import READERS, fill

    fill(name, work / "whole")
    _copy(work / "whole", work / "subject" / "folder")
    case = Case(name, seed, work / "whole", work / "subject" / "folder")
    print(case.run(READERS[name], shows=True))


def memory() -> Path | None:
    """Returns a folder that is not on a disk, where there is one: much here is synced."""
    folder = Path("/dev/shm")
    return folder if os.access(folder, os.W_OK) else None


def shares(total: int) -> dict[str, int]:
    """Divides the mutations among the readers."""
    from fuzz_readers import READERS

    whole = sum(reader.weight for reader in READERS.values())
    return {name: -(-int(total * r.weight) // int(whole)) for name, r in READERS.items()}


def main() -> int:
    """Prints a table; returns 1 when there is a failure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--total", type=int, default=100_000, help="mutations of all readers")
    parser.add_argument("--reader", action="append", help="only these")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seed", type=int, help="show this one, of the reader that is named")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child), options.work)
        return 0
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        if options.seed is not None:
            repeat(options.reader[0], options.seed, Path(folder))
            return 0
        parts = shares(options.total)
        table = {name: Result() for name in options.reader or parts}
        with tqdm(total=sum(parts[name] for name in table), unit="mutation") as bar:
            for name, result in table.items():
                bar.set_description(name)
                last = options.first + parts[name]
                for first in range(options.first, last, _AT_A_TIME):
                    count = min(_AT_A_TIME, last - first)
                    result.add(run([(name, first, count)], Path(folder) / "work")[name])
                    bar.update(count)
    print(f"{'reader':18} {'mutations':>9} {'refused':>8} {'accepted':>8} {'worst MB':>8} worst s")
    for name, result in table.items():
        accepted = result.mutations - result.refused - len(result.failures)
        print(f"{name:18} {result.mutations:9} {result.refused:8} {accepted:8} "
              f"{result.worst_mb:8.0f} {result.worst_s:7.2f}")  # fmt: skip
    print(f"{sum(result.mutations for result in table.values())} mutations")
    failures = [failure for result in table.values() for failure in result.failures]
    print("\n".join(failures) or "no failure")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
