"""The command line: `demoloop VERB`. Only the chosen verb is imported, so help comes at once."""

from __future__ import annotations

import difflib
import errno
import importlib
import inspect
import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, cast

import tyro

from demoloop.cli.extras import EXTRAS_OF, install_command
from demoloop.robot import DemoloopError


class Verb(NamedTuple):
    """One thing demoloop can be told to do."""

    module: str  # has a frozen dataclass `Options` and `main(options) -> int`, the exit code
    sentence: str
    extras: tuple[str, ...] = ()  # of pyproject.toml, that it cannot do without


VERBS: Mapping[str, Verb] = {
    "demo": Verb(
        "demoloop.cli.demo",
        "The whole loop in simulation: show, learn, judge, deploy.",
        ("sim", "train"),
    ),
    "record": Verb(
        "demoloop.cli.record", "Record demonstrations into a dataset.", ("sim", "teleop")
    ),
    "train": Verb(
        "demoloop.cli.train", "Train a policy on a dataset by behaviour cloning.", ("train",)
    ),
    "export": Verb(
        "demoloop.cli.export", "Export a trained policy to one checked ONNX file.", ("train",)
    ),
    "evaluate": Verb(
        "demoloop.cli.evaluate", "Judge a policy by its success rate in simulation.", ("sim",)
    ),
    "open-loop": Verb(
        "demoloop.cli.open_loop", "Compare a policy's actions with recorded ones.", ("train",)
    ),
    "serve": Verb("demoloop.cli.serve", "Serve an exported policy to a robot over ZeroMQ."),
    "run": Verb("demoloop.cli.run", "Run a robot with a policy that is served elsewhere."),
    "doctor": Verb(
        "demoloop.cli.doctor", "Say what works on this machine and how to mend the rest."
    ),
}

BAD_INPUT = 2
# Any write may meet these; where more is known, a verb says it itself.
_NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS}
INTERRUPTED = 130  # 128 + SIGINT, what a shell reports for a process stopped by Ctrl-C


class _VerbModule(Protocol):
    Options: type[object]
    main: Callable[[object], int]


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
        code = _dispatch(words, verbs)
        sys.stdout.flush()  # here, so that a closed pipe shows up inside this try
        return code
    except DemoloopError as error:
        return _complain(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS_OF:
            raise
        return _complain(
            f"{package} is not installed; `demoloop {words[0]}` needs it: "
            f"{install_command(package, verbs[words[0]].extras)}"
        )
    except ImportError as error:
        if ".so" not in str(error):
            raise  # not a library of the system, but a fault
        return _complain(f"{error}; `demoloop doctor` says how to mend what is missing here")
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
        return _complain(
            f"{where}{error.strerror}; make room, or choose a place that you may read and write"
        )


def _dispatch(words: list[str], verbs: Mapping[str, Verb]) -> int:
    if not words:
        print(_usage(verbs), file=sys.stderr)
        return BAD_INPUT
    if words[0] in ("-h", "--help"):
        print(_usage(verbs))
        return 0
    if words[0] not in verbs:
        close = difflib.get_close_matches(words[0], verbs, n=1)
        question = f"did you mean {close[0]!r}? " if close else ""
        return _complain(f"no verb {words[0]!r}; {question}the verbs are: {', '.join(verbs)}")
    verb = verbs[words[0]]
    module = cast(_VerbModule, importlib.import_module(verb.module))
    try:
        options = tyro.cli(
            module.Options,
            prog=f"demoloop {words[0]}",
            description=f"{verb.sentence}\n\n{inspect.getdoc(module.Options)}",
            args=words[1:],
        )
    except SystemExit as done:  # tyro has printed the help (0) or what it did not understand (2)
        return done.code if isinstance(done.code, int) else BAD_INPUT
    return module.main(options)


def _usage(verbs: Mapping[str, Verb]) -> str:
    width = max(map(len, verbs))
    lines = [f"  {name:<{width}}  {verb.sentence}" for name, verb in verbs.items()]
    return "\n".join(
        [
            "usage: demoloop VERB [options]",
            "",
            "Show an arm what to do; it learns; correct it; it learns again.",
            "",
            *lines,
            "",
            "`demoloop VERB --help` explains the options of one verb.",
        ]
    )


def _complain(message: str) -> int:
    print("demoloop: " + " ".join(message.splitlines()), file=sys.stderr)
    return BAD_INPUT


def _is_stdout_closed() -> bool:
    """Says whether the reader of our output, such as `head`, has left."""
    if not hasattr(select, "poll"):  # Windows cannot tell; take it that it was our reader
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # 0: errors only, which are always reported
    return any(event & select.POLLERR for _, event in poll.poll(0))


if __name__ == "__main__":
    sys.exit(main())
