"""Tables of verbs: finds the one a command line names, reads its options and does it."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, cast

import tyro

from demoloop.cli.extras import EXTRAS_OF, install_command

BAD_INPUT = 2


class Verb(NamedTuple):
    """One thing demoloop can be told to do, or a table of such things."""

    # Has a frozen dataclass `Options` and `main(options) -> int`, the exit code; or, where the
    # verb stands before others, their table `VERBS`.
    module: str
    sentence: str
    extras: tuple[str, ...] = ()  # of pyproject.toml, that it cannot do without


class _VerbModule(Protocol):
    Options: type[object]
    main: Callable[[object], int]


def dispatch(
    words: Sequence[str], verbs: Mapping[str, Verb], sentence: str, program: str = "demoloop"
) -> int:
    """Does what the words say and returns the exit code.

    Only the chosen verb's module is imported, so help comes at once.

    Args:
        words: A verb and its options.
        verbs: What can be asked for.
        sentence: What the verbs have in common, for the help.
        program: What stood before the words.
    """
    if not words:
        print(_usage(verbs, sentence, program), file=sys.stderr)
        return BAD_INPUT
    name, rest = words[0], list(words[1:])
    if name in ("-h", "--help"):
        print(_usage(verbs, sentence, program))
        return 0
    if name not in verbs:
        close = difflib.get_close_matches(name, verbs, n=1)
        question = f"did you mean {close[0]!r}? " if close else ""
        return complain(
            f"`{program}` has no verb {name!r}; {question}the verbs are: {', '.join(verbs)}"
        )
    verb, program = verbs[name], f"{program} {name}"
    try:
        module = importlib.import_module(verb.module)
        inner: Mapping[str, Verb] | None = getattr(module, "VERBS", None)
        if inner is not None:
            return dispatch(rest, inner, verb.sentence, program)
        return _run(cast(_VerbModule, module), rest, verb.sentence, program)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS_OF:
            raise
        return complain(
            f"{package} is not installed; `{program}` needs it: "
            f"{install_command(package, verb.extras)}"
        )


def _run(module: _VerbModule, words: list[str], sentence: str, program: str) -> int:
    try:
        options = tyro.cli(
            module.Options,
            prog=program,
            description=f"{sentence}\n\n{inspect.getdoc(module.Options)}",
            args=words,
        )
    except SystemExit as done:  # tyro has printed the help (0) or what it did not understand (2)
        return done.code if isinstance(done.code, int) else BAD_INPUT
    return module.main(options)


def _usage(verbs: Mapping[str, Verb], sentence: str, program: str) -> str:
    width = max(map(len, verbs))
    lines = [f"  {name:<{width}}  {verb.sentence}" for name, verb in verbs.items()]
    return "\n".join(
        [
            f"usage: {program} VERB [options]",
            "",
            sentence,
            "",
            *lines,
            "",
            f"`{program} VERB --help` explains the options of one verb.",
        ]
    )


def complain(message: str) -> int:
    """Says on stderr, in one line, what was wrong with the input; returns the exit code."""
    print("demoloop: " + " ".join(message.splitlines()), file=sys.stderr)
    return BAD_INPUT
