"""Hours of a run: `python benchmarks/soak.py POLICY.onnx [--hours 4] [--kill-every 60]`.

The real verbs, in simulation: `demoloop serve` and `demoloop run` with its io process, episode
after episode, and a viewer who wants pictures. Now and then the server is killed, or frozen for a
second and then killed, and started again. Meanwhile /proc tells the resident memory and the open
descriptors of guard, io process and server, once a second; the server's are of all its lives.

Bars: in the second half, the line fitted to the memory rises by at most 2 MB an hour (1 MB in all
if that is shorter than half an hour); no more descriptors in the last quarter than in the second,
but for one; after each restart the arm runs again within 10 s; the run lasts to the end. Lateness
is told, without a bar: it is that of this machine, and of what else runs on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from demoloop.cli.stopping import stop_on_signals
from demoloop.deploy.notes import Status
from demoloop.deploy.telemetry import Viewer

DEMOLOOP = [sys.executable, "-m", "demoloop"]
FOR_EVER = 1_000_000  # episodes
GROWTH_BAR_MB_PER_H, GROWTH_BAR_MB, DESCRIPTORS_BAR = 2.0, 1.0, 1.0
RESUME_BAR_S = 10.0
_PATIENCE_S, _FROZEN_S, _PROGRESS_S = 60.0, 1.0, 60.0


@dataclass(frozen=True)
class Options:
    """Run for hours, kill the server now and then, and see whether anything grows."""

    policy: tyro.conf.Positional[Path]
    """ONNX file that `demoloop export` wrote."""
    hours: float = 4.0
    """How long; Ctrl-C ends it sooner, with its summary."""
    kill_every: float = 60.0
    """Seconds from one end of the server to the next, at random half as long to half as long
    again; 0 lets it live."""
    task: str = "pick_place"
    """What stands on the table."""
    seed: int = 0
    """Of the worlds and of the moments."""


@dataclass
class Use:
    """What a process uses, as time goes by."""

    seconds: list[float] = field(default_factory=list)
    mb: list[float] = field(default_factory=list)  # resident
    descriptors: list[int] = field(default_factory=list)

    def look(self, seconds: float, pid: int) -> None:
        """Asks the kernel; a process that has just ended has nothing to tell."""
        with contextlib.suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            count = len(os.listdir(f"/proc/{pid}/fd"))
            self.seconds.append(seconds)
            self.mb.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
            self.descriptors.append(count)

    def newest(self) -> str:
        """For the line of progress."""
        return f"{self.mb[-1]:.1f} MB {self.descriptors[-1]} open" if self.mb else "gone"

    def judge(self) -> tuple[str, bool]:
        """Returns a sentence, and whether the bars are kept."""
        if len(self.mb) < 8:
            return f"{len(self.mb)} looks are too few to judge", False
        seconds, mb, open_ = (np.array(it) for it in (self.seconds, self.mb, self.descriptors))
        half, quarter = len(mb) // 2, len(mb) // 4
        hours = (seconds[-1] - seconds[half]) / 3600
        slope = float(np.polyfit(seconds[half:] / 3600, mb[half:], 1)[0])  # MB per hour
        bar_mb = max(GROWTH_BAR_MB, GROWTH_BAR_MB_PER_H * hours)
        more = float(np.median(open_[-quarter:]) - np.median(open_[quarter:half]))
        return (
            f"{mb[0]:.1f} MB at first, {mb[-1]:.1f} at last, {mb.max():.1f} at most; "
            f"{slope:+.2f} MB/h over the second half, so {slope * hours:+.2f} MB (bar: "
            f"{bar_mb:.2f}); {open_[-1]} descriptors, {open_.max()} at most, {more:+.0f} from the "
            f"second quarter to the last (bar: {DESCRIPTORS_BAR:.0f})"
        ), slope * hours <= bar_mb and more <= DESCRIPTORS_BAR


class Process:
    """A verb in a process of its own; what it prints goes into a file, which never blocks."""

    def __init__(self, words: list[object], said: Path) -> None:
        self._said = said
        with said.open("wb") as file:
            self.popen = subprocess.Popen(
                [*DEMOLOOP, *map(str, words)], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
                start_new_session=True,  # Ctrl-C is this script's, which then ends it
            )  # fmt: skip

    def line(self, begin: str) -> str:
        """Waits for a line that contains `begin`."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            has_ended = self.popen.poll() is not None
            text = self._said.read_text(errors="replace")
            for line in text.splitlines():
                if begin in line:
                    return line
            if has_ended or time.monotonic() > deadline:
                raise SystemExit(f"no {begin!r} came; it said:\n{text}")
            time.sleep(0.02)

    def last_words(self) -> str:
        """The end of what it printed."""
        return "\n".join(self._said.read_text(errors="replace").splitlines()[-3:])


class Soak:
    """Server and run, and what was seen of them."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.uses = {name: Use() for name in ("guard", "io", "server")}
        self.ends: Counter[str] = Counter()
        self.resumed_s: list[float] = []  # from a server's `ready` to an arm that runs
        self.faults: list[str] = []
        self.report = folder / "report.json"
        self._options = options
        self._random = random.Random(options.seed)
        self._bind = f"unix://{folder}/policy.sock"
        self._folder = folder
        self.server = self._serve()
        self.run = Process(
            ["run", "--server", self._bind, "--task", options.task, "--seed", options.seed,
             "--episodes", FOR_EVER, "--report", self.report, "--log", folder / "run.jsonl",
             "--control", "tcp://127.0.0.1:*", "--telemetry", "tcp://127.0.0.1:*"],
            folder / "run.txt",
        )  # fmt: skip

    def go_on(self, stop: threading.Event) -> None:
        """Until the time is over, `stop` is set, or the run has ended."""
        pid = self.run.popen.pid
        endpoint = self.run.line("viewers: ").split()[-1]
        io = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        start = time.monotonic()
        end, kill_at, told_at = start + self._options.hours * 3600, self._next_kill(start), start
        ready_at: float | None = None  # while a server is new
        with Viewer(endpoint, wants_pictures=True) as viewer:
            status: Status | None = None
            while (now := time.monotonic()) < end and not stop.is_set():
                if self.run.popen.poll() is not None:
                    self.faults.append("the run ended before its time")
                    return
                if self.server.popen.poll() is not None:
                    self.faults.append(f"the server ended by itself: {self.server.last_words()}")
                    self.server = self._serve()
                for name, number in (("guard", pid), ("io", io), ("server", self.server.popen.pid)):
                    self.uses[name].look(now - start, number)
                ready_at = self._look_whether_it_runs(ready_at, viewer, now + 1.0)
                stop.wait(max(0.0, now + 1.0 - time.monotonic()))
                sight = viewer.look(0.5)
                status = status if sight is None else sight.status
                if ready_at is None and now >= kill_at:
                    self._end_server()
                    self.server, ready_at = self._serve(), time.monotonic()
                    kill_at = self._next_kill(ready_at)
                if now - told_at >= _PROGRESS_S:
                    told_at = now
                    self._tell(now - start, status)

    def end(self) -> dict[str, Any]:
        """Ends both, the run as a person would; returns its report."""
        self.run.popen.send_signal(signal.SIGINT)
        try:
            code = self.run.popen.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            code = None
        if code != 130:
            self.faults.append(f"exit code of the run {code}: {self.run.last_words()}")
        found: dict[str, Any] = json.loads(self.report.read_text()) if self.report.exists() else {}
        return found

    def close(self) -> None:
        """Leaves no process behind."""
        for process in (self.run, self.server):
            process.popen.kill()
            process.popen.wait()

    def _serve(self) -> Process:
        words = ["serve", self._options.policy, "--bind", self._bind]
        process = Process(words, self._folder / "serve.txt")
        process.line("ready ")
        return process

    def _next_kill(self, now: float) -> float:
        every = self._options.kill_every
        return now + every * self._random.uniform(0.5, 1.5) if every else float("inf")

    def _end_server(self) -> None:
        kind = self._random.choice(["SIGKILL", "SIGSTOP"])
        self.ends[kind] += 1
        if kind == "SIGSTOP":
            self.server.popen.send_signal(signal.SIGSTOP)
            time.sleep(_FROZEN_S)
        self.server.popen.kill()
        self.server.popen.wait()

    def _look_whether_it_runs(
        self, ready_at: float | None, viewer: Viewer, until: float
    ) -> float | None:
        """Looks until the next look at memory is due; returns None once the arm runs."""
        while ready_at is not None and (now := time.monotonic()) < until:
            sight = viewer.look(0.1)
            if (
                sight is not None
                and sight.status.time > ready_at
                and (sight.status.state == "running")
            ):
                self.resumed_s.append(max(0.0, sight.status.since - ready_at))
                ready_at = None
            elif now - ready_at > RESUME_BAR_S:
                self.faults.append(f"{RESUME_BAR_S:.0f} s after a restart the arm does not run")
                ready_at = None
        return ready_at

    def _tell(self, seconds: float, status: Status | None) -> None:
        did = "no news from the run"
        if status is not None:
            did = (
                f"{status.state}, {status.num_over} episodes, {status.num_late} of "
                f"{status.num_ticks} ticks late"
            )
        used = ", ".join(f"{name} {use.newest()}" for name, use in self.uses.items())
        clock = time.strftime("%H:%M:%S", time.gmtime(seconds))
        print(f"{clock} {did}, {self.ends.total()} servers ended; {used}", flush=True)


def tell_report(report: dict[str, Any]) -> None:
    """Prints what the run says of itself."""
    episodes = report.get("episodes", [])
    seconds: Counter[str] = Counter()
    for episode in episodes:
        for it in episode["timeline"]:
            seconds[it["state"]] += it["end_s"] - it["start_s"]
    ticks, late, skipped = (
        sum(episode[name] for episode in episodes)
        for name in ("num_steps", "num_late", "num_skipped")
    )
    worst = max((episode["worst_lateness_ms"] for episode in episodes), default=0.0)
    states = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.most_common())
    print(f"run: {len(episodes)} episodes, {report.get('num_successes', 0)} succeeded; {states}")
    print(
        f"lateness: {late} of {ticks} ticks late, {skipped} skipped, {worst:.1f} ms at worst; "
        f"chunks: {report.get('num_chunks', 0)}, {report.get('num_stale', 0)} stale"
    )


def main(options: Options) -> int:
    """Prints a line a minute and a summary; exit code 1 when a bar was missed."""
    with tempfile.TemporaryDirectory(prefix="demoloop-soak-") as name, stop_on_signals() as stop:
        soak = Soak(options, Path(name))
        try:
            soak.go_on(stop)
            report = soak.end()
        finally:
            soak.close()
    print(f"servers ended: {dict(soak.ends)}", end="")
    if soak.resumed_s:
        resumed = np.array(soak.resumed_s)
        print(f"; running again {np.median(resumed):.2f} s after `ready`, {resumed.max():.2f} s at "
              f"most (bar: {RESUME_BAR_S:.0f})", end="")  # fmt: skip
    print()
    tell_report(report)
    for name, use in soak.uses.items():
        sentence, is_kept = use.judge()
        print(f"{name}: {sentence}")
        if not is_kept:
            soak.faults.append(f"{name} grows")
    print("; ".join(soak.faults) or "all bars kept")
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
