"""One answer to one question: whatever happens in the policy, the server goes on."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from demoloop.deploy.chunks import ActionChunk, Predictor
from demoloop.deploy.errors import DeployError
from demoloop.deploy.wire import Message
from demoloop.robot import Observation

_log = logging.getLogger(__name__)


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


def answer(policy: Predictor, question: Question) -> Answer:
    """Asks the policy, for as long as it takes."""
    start = time.monotonic()
    try:
        chunk = policy.predict(question.observation)
    except DeployError as error:
        return Answer(question, None, 0.0, str(error))
    except Exception:
        # Whatever one robot's look does to the policy, the other robots are still served;
        # the traceback is for this side's eyes only.
        _log.exception("the policy failed on an observation")
        return Answer(question, None, 0.0, "the policy failed; see the server's log")
    return Answer(question, chunk, (time.monotonic() - start) * 1e3)
