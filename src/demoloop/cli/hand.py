"""`demoloop hand`: fetch the hand tracker once, try it on a camera, practise."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from demoloop.cli.hand_options import HandOptions
from demoloop.cli.verbs import complain
from demoloop.robot import Action, Observation, WallClock, run_episode
from demoloop.teleop.cartesian import Cartesian
from demoloop.teleop.hand import HandDevice, View
from demoloop.teleop.person import person_file, save_person
from demoloop.teleop.practice import Practice
from demoloop.teleop.tracking import Tracker, check_tracker, fetch_tracker, tracker_folder

_LOOKS_HZ = 20.0
_LONGEST_PRACTICE_S = 600.0


@dataclass(frozen=True)
class Options:
    """Fetches 48 MB from PyPI when they are not here yet; each file is known by its hash."""

    source: str = ""
    """Try it on this camera (/dev/v4l/by-path/…, …@WIDTHxHEIGHT@FPS) or film."""
    practice: bool = False
    """Two minutes on a simulated arm; learns the size and the pinch of your hand."""
    view: View = "opposite"
    """opposite: you face the arm and the camera. behind: you stand behind the arm. above: the
    camera looks down on your hand."""
    seconds: float = 15.0
    """How long it is tried."""


def main(options: Options) -> int:
    """Fetches what is missing; then tries it, or lets practise.

    Raises:
        TeleopError: No network, an altered file, no such camera.
    """
    if options.practice and not options.source:
        return complain("--practice wants to see a hand; name a camera with --source")
    folder = tracker_folder()
    if folder.exists():
        check_tracker(folder)
    else:
        print(f"fetching the hand tracker (48 MB, once) into {folder}", flush=True)
        fetch_tracker(folder)
    if not options.source:
        print(f"hand tracker: {folder}")
        return 0
    with Tracker(options.source) as tracker:
        device = HandOptions(options.view).device(lambda: tracker.newest)
        return _practise(device) if options.practice else _try(tracker, device, options.seconds)


def _try(tracker: Tracker, device: HandDevice, seconds: float) -> int:
    """Says what is seen; exit code 1 when no hand ever was."""
    numbers, hits = set[int](), set[int]()
    begin = time.monotonic()
    while (now := time.monotonic()) < begin + seconds:
        if tracker.trouble:
            return complain(tracker.trouble)
        device.watch(now)
        if (state := device.state) is not None:
            numbers.add(state.number)
            if state.has_hand:
                hits.add(state.number)
        shown = f"{device.gesture.name} {device.gesture.progress:.0%}"
        _say(f"{'engaged' if device.is_engaged else 'off':<8}{shown:<18}{device.hint}")
        time.sleep(1 / _LOOKS_HZ)
    print(f"\na hand in {len(hits)} of {len(numbers)} pictures")
    return 0 if hits else 1


def _practise(device: HandDevice) -> int:
    from demoloop.robot.arms.so101 import ARM
    from demoloop.sim.make import make_robot

    agent = Cartesian(device, ARM)
    practice = Practice(device, lambda: agent.target)

    def listen(observation: Observation, action: Action) -> None:
        practice.watch(observation.time)
        _say(f"{practice.number}/{practice.num_steps} {practice.progress:4.0%} {practice.sentence}")

    robot = make_robot("pick_place")
    try:
        steps = round(_LONGEST_PRACTICE_S * robot.spec.control_hz)
        run_episode(
            robot, agent, steps, listen, is_over=lambda: practice.is_done, clock=WallClock()
        )
    finally:
        robot.close()
    if not practice.is_done:
        return complain("the practice was not finished; nothing was kept")
    save_person(person_file(), practice.person)
    print(f"\nyour hand is known now: {person_file()}")
    return 0


def _say(line: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{line[:110]:<110}", end="", flush=True)
