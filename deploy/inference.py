"""The inference loop of a server: one thread, one policy, one question at a time."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass

import zmq

from demoloop.deploy.chunks import ActionChunk, Predictor
from demoloop.deploy.errors import DeployError
from demoloop.deploy.wire import Message
from demoloop.robot import Observation

_log = logging.getLogger(__name__)
_IDLE_TURN_S = 0.02  # well under a heartbeat, so that each one reports progress


@dataclass(frozen=True)
class Question:
    """One observation to answer, and who asked."""

    identity: bytes
    message: Message
    observation: Observation


@dataclass(frozen=True)
class Answer:
    """A chunk, or one sentence that says why there is none."""

    question: Question
    chunk: ActionChunk | None
    inference_ms: float
    reason: str = ""


class Inference:
    """Answers questions in their order and counts its turns: a count that stands still hangs.

    Heartbeats carry that count, not merely the news that some thread of the process still runs.
    """

    def __init__(self, policy: Predictor, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.progress = 0  # written by the thread alone
        self.answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._policy = policy
        self._context = context
        self._questions: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._doorbell = f"inproc://{id(self)}"
        # A daemon, since a policy that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> zmq.Socket[bytes]:
        """Starts the thread; returns the socket that becomes readable with each answer."""
        bell = self._context.socket(zmq.PAIR)
        bell.bind(self._doorbell)
        self._thread.start()
        return bell

    def ask(self, question: Question) -> None:
        """Queues a question; credits keep it to one per robot."""
        self._questions.put(question)

    def stop(self, timeout_s: float = 1.0) -> bool:
        """Lets the thread end; returns whether it did in time."""
        self._questions.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        bell = self._context.socket(zmq.PAIR)
        bell.setsockopt(zmq.LINGER, 0)
        bell.connect(self._doorbell)
        try:
            while True:
                try:
                    question = self._questions.get(timeout=_IDLE_TURN_S)
                except queue.Empty:
                    self.progress += 1
                    continue
                if question is None:
                    return
                self.answers.put(self._answer(question))
                self.progress += 1
                bell.send(b"")
        finally:
            bell.close()

    def _answer(self, question: Question) -> Answer:
        start = time.monotonic()
        try:
            chunk = self._policy.predict(question.observation)
        except DeployError as error:
            return Answer(question, None, 0.0, str(error))
        except Exception:
            # Whatever one robot's look does to the policy, the other robots are still served;
            # the traceback is for this side's eyes only.
            _log.exception("the policy failed on an observation")
            return Answer(question, None, 0.0, "the policy failed; see the server's log")
        return Answer(question, chunk, (time.monotonic() - start) * 1e3)
