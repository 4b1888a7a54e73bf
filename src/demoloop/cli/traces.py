"""What `serve` and `run` leave behind for whoever operates them: a log, and metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demoloop.deploy.errors import DeployError
from demoloop.deploy.events import EventHandler, EventLog
from demoloop.deploy.metrics import Metric
from demoloop.deploy.metrics_server import MetricsServer
from demoloop.robot import DemoloopError


class _Warnings(logging.Handler):
    """Says warnings to a person the way the verb says everything else."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Says one."""
        self._say(self.format(record))


@contextmanager
def logged(path: Path | None, side: str) -> Iterator[EventLog | None]:
    """Yields the log at `path`, if there is one; an error that ends the verb is in it.

    Raises:
        DeployError: The file cannot be written.
    """
    if path is None:
        yield None
        return
    if path.is_dir():
        raise DeployError(f"{path} is a folder; name the file to write")
    logger = logging.getLogger("demoloop")
    level = logger.level
    with EventLog(path, side) as log:
        handler = EventHandler(log.note)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        log.note("started")
        try:
            yield log
        except DemoloopError as error:
            log.note("fault", reason=str(error))
            raise
        except BaseException as error:
            log.note("fault", reason=type(error).__name__)
            raise
        finally:
            log.note("ended")
            logger.setLevel(level)
            logger.removeHandler(handler)


@contextmanager
def warned(say: Callable[[str], None]) -> Iterator[None]:
    """Has warnings of the program said by `say` within the block."""
    handler = _Warnings(say)
    logger = logging.getLogger("demoloop")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def measured(address: str | None, collect: Callable[[], Iterable[Metric]]) -> Iterator[str]:
    """Serves metrics at `address`, if there is one; yields where to find them, else nothing."""
    with ExitStack() as stack:
        yield stack.enter_context(MetricsServer(address, collect)).url if address else ""
