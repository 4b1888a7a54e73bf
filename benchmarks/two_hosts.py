"""Two computers and a poor line between them: `python benchmarks/two_hosts.py [options]`.

As root, on Linux, with iproute2: two network namespaces and a line that delays and loses packets
(`poor_line.py`). `demoloop serve` with CURVE keys is in one. In the other a stand-in
arm runs, and after it everybody who must not get through: a robot with a key nobody trusts, one
that expects another server's key, a viewer's key, and a peer in plain text, each sending greetings
and observations for a while.

Bars: the robot runs most of the time, and nothing of the others acts: none of them hears a message,
and the server's log knows of no session but the robot's.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
import zmq
from poor_line import BOX, network, why_not
from swing import SPEC, Swinger, write_policy

from demoloop.deploy.auth import Pin
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.errors import DeployError
from demoloop.deploy.guard import GUARD_HZ, guard_episode
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.run import ListeningClock
from demoloop.deploy.sockets import make_socket
from demoloop.deploy.translate import observation_message
from demoloop.deploy.wire import Hello, Message, encode
from demoloop.robot import Action, Observation

_PORT = 5555
INTRUDERS = ("unknown", "wrong-server", "viewer", "plain")


@dataclass(frozen=True)
class Options:
    """Run a robot and its policy on two hosts, and knock at the door."""

    seconds: float = 20.0
    """How long the robot runs."""
    knocking_s: float = 3.0
    """How long each intruder knocks."""
    delay_ms: float = 20.0
    """Of each packet, each way; half as much again and less, by chance."""
    loss: float = 1.0
    """Per cent of the packets, each way."""


@dataclass(frozen=True)
class Result:
    """What came of it."""

    running: float  # share of the ticks after the first chunk
    oldest_ms: float  # age of the look behind a chunk while it was followed
    num_chunks: int  # that the robot got
    num_sessions: int  # of the robot, which greets again after a silence
    num_strangers: int  # sessions of anybody else, by the server's log
    answered: int  # chunks the server gave, by its own count
    num_holds: int


def make_keys(folder: Path) -> None:
    """Makes `box`, which trusts `arm` as policy and `viewer` as viewer, and others it does not."""
    keys = {name: KeyFolder(folder / name) for name in ("box", "arm", *INTRUDERS, "other")}
    for name, it in keys.items():
        it.generate(name)
    keys["box"].trust(keys["arm"].own().public, "arm", "policy")
    keys["box"].trust(keys["wrong-server"].own().public, "wrong-server", "policy")
    keys["box"].trust(keys["viewer"].own().public, "viewer", "viewer")
    for name in ("arm", "unknown", "viewer"):
        keys[name].trust(keys["box"].own().public, "box", "policy")
    keys["wrong-server"].trust(keys["other"].own().public, "box", "policy")


def run_robot(folder: Path, endpoint: str, seconds: float) -> None:
    """In the arm's namespace: runs, and prints what it saw."""
    states: list[str] = []
    ages: list[float] = []
    num_chunks = 0

    def count(_: object) -> None:
        nonlocal num_chunks
        num_chunks += 1

    with RemotePolicy(endpoint, SPEC, 20.0, Pin(KeyFolder(folder / "arm"))) as policy:
        agent = RemoteAgent(policy, on_arrival=count)

        def note(_: Observation, __: Action) -> None:
            states.append(agent.state)
            if agent.state == "running":
                ages.append(agent.age_s)

        clock = ListeningClock(agent, GUARD_HZ)
        guard_episode(Swinger(), agent, seconds, on_step=note, clock=clock)
    since = states[states.index("running") :] if "running" in states else states
    holds = sum(a == "running" != b for a, b in itertools.pairwise(since))
    print(json.dumps([since.count("running") / len(since), max(ages, default=0.0), num_chunks,
                      holds]))  # fmt: skip


def knock(folder: Path, endpoint: str, name: str, seconds: float) -> None:
    """In the arm's namespace: sends greetings and looks; prints how many messages came back."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = make_socket(context, zmq.DEALER)
    if name != "plain":
        Pin(KeyFolder(folder / name)).protect(socket)
    socket.connect(endpoint)
    heard, end = 0, time.monotonic() + seconds
    seen = Swinger().observe()
    while time.monotonic() < end:
        for session in (0, 1, 7):
            now_ns = time.monotonic_ns()
            for message in (
                Message(Hello(SPEC, SPEC.fingerprint()), time_ns=now_ns),
                observation_message(seen, session, 1),
            ):
                with contextlib.suppress(zmq.Again):
                    socket.send_multipart(encode(message), zmq.NOBLOCK)
        heard += bool(socket.poll(20) and socket.recv_multipart())
    print(heard)
    context.destroy(linger=0)


def measure(options: Options, folder: Path) -> tuple[Result, dict[str, int]]:
    """Runs robot and intruders; returns what came of it, and what each intruder heard."""
    make_keys(folder)
    policy = write_policy(folder / "swing.onnx")
    log = folder / "serve.jsonl"
    endpoint = f"tcp://{BOX}:{_PORT}"
    with network(options.delay_ms / 1e3, options.loss / 100, seed=0) as (box, arm):
        serve = [
            *("ip", "netns", "exec", box, sys.executable, "-m", "demoloop", "serve", str(policy)),
            *(
                "--bind",
                endpoint,
                "--keys",
                str(folder / "box"),
                "--log",
                str(log),
                "--allow-unsigned",
            ),
        ]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            if server.stdout.readline().split()[:1] != ["ready"]:
                raise DeployError("demoloop serve did not get ready")
            inside = ["ip", "netns", "exec", arm, sys.executable, __file__]
            common = [str(folder), endpoint]
            heard = {
                name: int(_ask([*inside, "--knock", *common, name, str(options.knocking_s)]))
                for name in INTRUDERS
            }
            said = _ask([*inside, "--robot", *common, str(options.seconds)])
            running, oldest, num_chunks, holds = json.loads(said)
        finally:
            server.terminate()
            left = server.communicate(timeout=20)[0]
    answered = int(left.split("stopped after ")[1].split()[0])
    events = [json.loads(line) for line in log.open()]
    keys = [event["key"] for event in events if event["event"] == "welcomed"]
    own = KeyFolder(folder / "arm").own().public
    num_own = sum(own.startswith(key) and bool(key) for key in keys)
    sessions = num_own, len(keys) - num_own
    return Result(running, oldest * 1e3, num_chunks, *sessions, answered, holds), heard


def _ask(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(options: Options) -> int:
    """Runs; exit code 1 on a missed bar, 2 without the means."""
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        result, heard = measure(options, Path(name))
    for intruder, count in heard.items():
        print(f"{intruder:12s} heard {count} messages")
    print(
        f"robot at {options.delay_ms:g} ms each way and {options.loss:g} % loss: ran "
        f"{result.running:.1%} of {options.seconds:g} s, {result.num_holds} holds, "
        f"{result.num_chunks} chunks of {result.answered} that were sent, oldest look followed "
        f"{result.oldest_ms:.0f} ms; {result.num_sessions} sessions, "
        f"{result.num_strangers} of others"
    )
    is_well = not any(heard.values()) and result.num_strangers == 0 and result.running > 0.5
    print("bar: nothing of the others acts: " + ("reached" if is_well else "MISSED"))
    return 0 if is_well else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--robot"]:
        run_robot(Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
    elif sys.argv[1:2] == ["--knock"]:
        knock(Path(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5]))
    else:
        raise SystemExit(main(tyro.cli(Options, description=__doc__)))
