"""The tasks there are. A new one is a file and an MJCF beside it, and one line here."""

from demoloop.sim.task import Task
from demoloop.sim.tasks import pick_place, push, sort, stack

TASKS: dict[str, Task] = {
    task.name: task for task in (pick_place.TASK, stack.TASK, push.TASK, sort.TASK)
}

__all__ = ["TASKS", "Task"]
