"""An arm, a policy server and a bad network between them, on a clock of their own.

Client, agent, motion, server, encoding and network are the real ones; only the time is simulated,
so a world passes as quickly as its processor can think, and again the same for the same seed. The
server is begun anew now and then, and its policy hangs now and then.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from chaos_judge import Judge
from numpy.typing import NDArray

from demoloop.deploy.channel import Letter
from demoloop.deploy.chaos import Chaos, Network
from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.inference import Answer, Question
from demoloop.deploy.motion import Motion
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.server import PolicyServer
from demoloop.deploy.wire import Message, Part, encode
from demoloop.robot import Action, CameraSpec, JointSpec, Observation, RobotSpec

SPEC = RobotSpec(
    "tiny",
    (
        JointSpec("pan", -1.0, 1.0, 2.0, 10.0),
        JointSpec("lift", -0.5, 1.5, 1.0, 5.0),
        JointSpec("gripper", 0.0, 1.0, 3.0, 20.0, "opening"),
    ),
    (CameraSpec("front", 4, 6),),
    50.0,
)
GUARD_HZ = 100.0
HORIZON = 50
ENDPOINT = "unix:///simulated"
_TURN_S = 0.01  # the server's inference loop, when nothing comes
_LISTEN_S = 0.02  # the server's other thread, while it infers
ROBOT = b"robot"


@dataclass(frozen=True)
class Habits:
    """How the two sides behave, apart from the network."""

    inference_s: float = 0.03
    hang: float = 0.002  # share of the inferences that takes `hang_s`
    hang_s: float = 1.0
    restart_every_s: float = 20.0  # the server, on the average
    episode_s: float = 30.0


class Wave:
    """A policy whose every chunk can be told from all others by the numbers of its last joint.

    Most chunks go on with a wave; some leap to anywhere within the joints' range.
    """

    def __init__(self, spec: RobotSpec, luck: random.Random, judge: Judge) -> None:
        self.spec = spec
        self._luck = luck
        self._judge = judge

    def predict(self, observation: Observation) -> ActionChunk:
        """Answers, and has the judge note what was answered to what."""
        spec, serial = self.spec, self._judge.num_answers
        at = observation.time + np.arange(HORIZON)[:, None] / spec.control_hz
        middle, half = (spec.low + spec.high) / 2, (spec.high - spec.low) / 2
        actions = middle + 0.8 * half * np.sin(at + np.arange(spec.action_dim))
        if self._luck.random() < 0.2:
            actions = np.tile(
                [self._luck.uniform(j.low, j.high) for j in spec.joints], (HORIZON, 1)
            )
        actions[:, -1] = tag(serial)
        self._judge.answers(serial, observation.time)
        return ActionChunk(actions.astype(np.float32), observation.time)


def tag(serial: int) -> float:
    """A number for the gripper that says which chunk it is, exact in float32."""
    return 0.25 + serial % (1 << 20) / (1 << 21)


class WatchedMotion(Motion):
    """Tells the judge of each chunk that is going to be followed."""

    def __init__(self, spec: RobotSpec, judge: Judge) -> None:
        super().__init__(spec)
        self._judge = judge

    def offer(self, chunk: ActionChunk, now: float, seen_at: float | None = None) -> bool:
        """As `Motion`."""
        will_be_followed = super().offer(chunk, now, seen_at)
        if will_be_followed:
            self._judge.follows(chunk.actions)
        return will_be_followed


class World:
    """Everything there is. `run` lets it pass."""

    def __init__(self, chaos: Chaos, seed: int, habits: Habits | None = None) -> None:
        self.now = 1000.0
        self.spec = SPEC
        self.judge = Judge(SPEC, HORIZON, lambda: self.now)
        self.network = Network(chaos, seed)
        self.up, self.down = self.network(), self.network()
        self._habits = habits or Habits()
        self._luck = random.Random(seed)
        self._answered: Answer | None = None
        self._busy: tuple[float, Question] | None = None  # until when, with what
        self._turn_at = self.now
        self._server = self._begin_server()
        self._position = np.array([0.1, 0.2, 0.3])
        self.policy = RemotePolicy(
            ENDPOINT, SPEC, timeout_s=60.0, dial=lambda *_: _RobotEnd(self), clock=self.clock
        )
        self.agent = RemoteAgent(self.policy, motion=WatchedMotion(SPEC, self.judge))

    def clock(self) -> float:
        """What time it is for everybody."""
        return self.now

    def run(self, num_messages: int) -> None:
        """Lets time pass until so many messages have set out."""
        self.policy.connect()
        restart_at = self.now + self._habits.restart_every_s
        while self.network.tally.messages < num_messages:
            self.agent.reset()
            self.judge.begin_episode()
            end = self.now + self._habits.episode_s
            while self.now < end and self.network.tally.messages < num_messages:
                self.advance(self.now + self._luck.uniform(0.7, 1.3) / GUARD_HZ)
                self._tick()
                if self.now >= restart_at:
                    self._server = self._begin_server()
                    restart_at = self.now + self._luck.expovariate(1 / self._habits.restart_every_s)

    def advance(self, until: float) -> None:
        """Lets the server do what it does until then."""
        while True:
            at = min(self._turn_at, max(self.up.due_at, self.now))
            if self._busy is not None:
                at = min(self._turn_at, self._busy[0])
            if at > until:
                break
            self.now = max(self.now, at)
            self._serve()
        self.now = until

    def _serve(self) -> None:
        if self._busy is None:
            question = self._server.turn(self._answered)
            self._answered = None
            self._turn_at = self.now + _TURN_S
            if question is not None:
                is_hang = self._luck.random() < self._habits.hang
                takes = self._habits.hang_s if is_hang else self._habits.inference_s
                self._busy = self.now + takes * self._luck.uniform(0.5, 1.5), question
        elif self.now >= self._busy[0]:
            question, self._busy = self._busy[1], None
            chunk = self._wave.predict(question.observation)
            self._answered = Answer(question, chunk, self._habits.inference_s * 1e3)
            self._turn_at = self.now
        else:
            self._server.listen()
            self._turn_at = self.now + _LISTEN_S

    def _tick(self) -> None:
        proprioception = np.concatenate([self._position, np.zeros(3)]).astype(np.float32)
        pixels: NDArray[np.uint8] = np.full((4, 6, 3), 7, np.uint8)
        shown_at = math.floor(self.now * 50) / 50
        seen = Observation(self.now, proprioception, {"front": pixels}, {"front": shown_at})
        action: Action = self.agent.decide(seen)
        self.judge.commands(action)
        self._position = self._position + 0.3 * (action - self._position)

    def _begin_server(self) -> PolicyServer:
        """A server that knows nothing of the one before, which says no goodbye."""
        self._answered = self._busy = None
        self._wave = Wave(SPEC, self._luck, self.judge)
        server = PolicyServer(
            self._wave, ENDPOINT, listen=lambda *_: _ServerEnd(self), clock=self.clock
        )
        return server.__enter__()


class _RobotEnd:
    """The robot's end of the network; see `Connection`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def is_hopeless(self) -> bool:
        return False

    def why_not(self) -> str:
        return ""

    def settle(self) -> None:
        pass

    def send(self, message: Message) -> bool:
        return self.send_parts(encode(message))

    def send_parts(self, parts: Sequence[Part]) -> bool:
        copies = [bytes(part) for part in parts]
        self._world.judge.robot_sends(copies)
        self._world.up.put(copies, self._world.now)
        return True

    def receive(self) -> Sequence[Part] | None:
        parts = self._world.down.take(self._world.now)
        if parts is not None:
            self._world.judge.robot_hears()
        return parts

    def wait(self, seconds: float) -> None:
        self._world.advance(self._world.now + seconds)

    def descriptors(self) -> tuple[int, ...]:
        return ()

    def close(self) -> None:
        pass


class _ServerEnd:
    """The server's end of the network; see `Listener`."""

    endpoint = ENDPOINT

    def __init__(self, world: World) -> None:
        self._world = world

    def wait(self, seconds: float) -> None:
        pass  # the world decides when the server's turn comes

    def allows(self, user_id: str) -> bool:
        return True

    def receive(self) -> Letter | None:
        parts = self._world.up.take(self._world.now)
        return None if parts is None else Letter(ROBOT, "", parts)

    def send(self, message: Message, to: bytes) -> bool:
        return self.send_parts(encode(message), to)

    def send_parts(self, parts: Sequence[Part], to: bytes) -> bool:
        self._world.down.put([bytes(part) for part in parts], self._world.now)
        return True

    def dismiss(self, identity: bytes) -> None:
        pass

    def descriptors(self) -> tuple[int, ...]:
        return ()

    def close(self) -> None:
        pass
