"""What a robot is, and the one loop that moves it."""

from demoloop.robot.errors import ActionError, DemoloopError, RobotError
from demoloop.robot.interface import Action, Agent, Observation, Robot, check_action
from demoloop.robot.loop import LoopReport, OnStep, WallClock, run_episode
from demoloop.robot.marked import Marked, Marks
from demoloop.robot.spec import CameraSpec, JointSpec, RobotSpec

__all__ = [
    "Action",
    "ActionError",
    "Agent",
    "CameraSpec",
    "DemoloopError",
    "JointSpec",
    "LoopReport",
    "Marked",
    "Marks",
    "Observation",
    "OnStep",
    "Robot",
    "RobotError",
    "RobotSpec",
    "WallClock",
    "check_action",
    "run_episode",
]
