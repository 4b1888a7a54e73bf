"""The tracker's process: pictures in, `HandState`s out. Ends when its standard input does.

`python -m demoloop.teleop.tracking FOLDER [SOURCE]`, started by `Tracker`. The kernel refuses it
sockets: what it sees goes to whoever asked and nowhere else.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import cv2

from demoloop.robot import DemoloopError
from demoloop.teleop.tracking.landmarker import Landmarker
from demoloop.teleop.tracking.line import Trouble, write_answer
from demoloop.teleop.tracking.seal import refuse_sockets
from demoloop.teleop.tracking.sources import open_source


def main(folder: Path, source: str) -> None:
    """Answers each picture until whoever asked is gone."""
    # The library prints; nothing of that may get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    cv2.setNumThreads(1)
    pictures = sys.stdin.buffer
    if source:
        # Nothing comes down the pipe; that it is closed is how the parent's end is heard of.
        threading.Thread(target=_end_with, args=(pictures.fileno(),), daemon=True).start()

    def say(sentence: str) -> None:
        write_answer(answers, Trouble(sentence))

    try:
        refuse_sockets()
        with Landmarker(folder) as landmarker:
            if not source:
                say("")  # ready; otherwise the first picture says so
            for image, number, time in open_source(source, pictures, say):
                write_answer(answers, landmarker.look(image, time=time, number=number))
    except DemoloopError as error:
        write_answer(answers, Trouble(str(error), is_last=True))
    except BrokenPipeError:
        pass  # nobody listens any more


def _end_with(pipe: int) -> None:
    while os.read(pipe, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
