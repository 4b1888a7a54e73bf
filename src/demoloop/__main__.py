"""The command line: `demoloop VERB`. Only the chosen verb is imported, so help comes at once."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Mapping, Sequence

from demoloop.cli.verbs import Verb, complain, dispatch
from demoloop.robot import DemoloopError

VERBS: Mapping[str, Verb] = {
    "demo": Verb(
        "demoloop.cli.demo",
        "The whole loop in simulation: show, learn, judge, deploy.",
        ("sim", "train"),
    ),
    "record": Verb(
        "demoloop.cli.record", "Record demonstrations into a dataset.", ("sim", "teleop")
    ),
    "view": Verb("demoloop.cli.view", "Look at a dataset in the browser, and edit it.", ("view",)),
    "train": Verb(
        "demoloop.cli.train", "Train a policy on a dataset by behaviour cloning.", ("train",)
    ),
    "export": Verb(
        "demoloop.cli.export", "Export a trained policy to one checked ONNX file.", ("train",)
    ),
    "evaluate": Verb(
        "demoloop.cli.evaluate",
        "Judge a policy by its success rate, simulated or emulated.",
        ("sim",),
    ),
    "open-loop": Verb(
        "demoloop.cli.open_loop", "Compare a policy's actions with recorded ones.", ("train",)
    ),
    "serve": Verb("demoloop.cli.serve", "Serve an exported policy to a robot over ZeroMQ."),
    "host": Verb("demoloop.cli.host", "Offer a robot here to be driven from another computer."),
    "run": Verb("demoloop.cli.run", "Run a robot with a policy that is served elsewhere."),
    "operate": Verb("demoloop.cli.operate", "Hold, let go, stop or reset a robot that runs."),
    "watch": Verb("demoloop.cli.watch", "Look on at a robot that runs."),
    "takeover": Verb(
        "demoloop.cli.takeover",
        "Correct a policy while it works, and record it.",
        ("sim", "teleop"),
    ),
    "keys": Verb(
        "demoloop.cli.keys", "Say which computers may connect, and make a key for this one."
    ),
    "dataset": Verb("demoloop.cli.dataset", "List, edit, check and exchange recorded episodes."),
    "ids": Verb("demoloop.cli.ids", "Give the servos of a new arm their ids, one at a time."),
    "calibrate": Verb(
        "demoloop.cli.calibrate", "Measure where the joints of an arm are zero, guided."
    ),
    "hand": Verb("demoloop.cli.hand", "Fetch the hand tracker, try it, practise.", ("sim",)),
    "doctor": Verb(
        "demoloop.cli.doctor", "Say what works on this machine and how to mend the rest."
    ),
}

_SENTENCE = "Show an arm what to do; it learns; correct it; it learns again."
# Any write may meet these; where more is known, a verb says it itself.
_NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS}
INTERRUPTED = 130  # 128 + SIGINT, what a shell reports for a process stopped by Ctrl-C


def main(argv: Sequence[str] | None = None, verbs: Mapping[str, Verb] = VERBS) -> int:
    """Does what the command line says and returns the exit code.

    0 is success, 1 a verb's own "no" (say, the doctor's), 2 bad input, 130 Ctrl-C.

    Args:
        argv: Words after the program's name; None for those of this process.
        verbs: What can be asked for.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.platform == "linux":
        # MuJoCo's own default on Linux wants a window; EGL renders without one.
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        code = dispatch(words, verbs, _SENTENCE)
        sys.stdout.flush()  # here, so that a closed pipe shows up inside this try
        return code
    except DemoloopError as error:
        return complain(str(error))
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) or ".so" not in str(error):
            raise  # not a library of the system, but a fault
        return complain(f"{error}; `demoloop doctor` says how to mend what is missing here")
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not _is_stdout_closed():
            raise  # a pipe to some other process: a fault, not a reader who had enough
        # Python flushes once more on its way out; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return complain(
            f"{where}{error.strerror}; make room, or choose a place that you may read and write"
        )


def _is_stdout_closed() -> bool:
    """Says whether the reader of our output, such as `head`, has left."""
    if not hasattr(select, "poll"):  # Windows cannot tell; take it that it was our reader
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # 0: errors only, which are always reported
    return any(event & select.POLLERR for _, event in poll.poll(0))


if __name__ == "__main__":
    sys.exit(main())
