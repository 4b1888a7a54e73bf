"""The arm in MuJoCo: tasks to teach, and a fair judge of who has learnt them."""

from demoloop.sim.env import TaskEnv, register_envs
from demoloop.sim.errors import SimError
from demoloop.sim.make import make_robot
from demoloop.sim.robot import SimRobot
from demoloop.sim.tasks import TASKS, Task

__all__ = ["TASKS", "SimError", "SimRobot", "Task", "TaskEnv", "make_robot"]

register_envs()
