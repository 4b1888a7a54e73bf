"""Safety is a robot around a robot: `Supervised(arm)`.

    with Supervised(arm, body=Body(MJCF, SPEC), watchdog=..., on_event=print) as robot:
        robot.arm()                                  # torque on, where the arm is
        run_episode(robot, agent, num_steps, clock=WallClock(), hz=100)
        robot.hold()                                 # says that nobody commands any more

**This is not a certified safety function.** It is software on a general purpose computer; it can
have mistakes, the computer can hang, a USB plug can come loose. No stop category of IEC 60204-1 and
no performance level of ISO 13849-1 is claimed. An arm that can hurt somebody needs a switch that
takes its power away, within reach and without software, and a person who stays out of its reach
while it has torque. Torque off lets an arm fall: keep hands from below it.
"""

from demoloop.robot.safety.body import Body
from demoloop.robot.safety.faults import Event, Fault, SafetyError, State
from demoloop.robot.safety.limits import Limits
from demoloop.robot.safety.supervised import Supervised
from demoloop.robot.safety.watchdog import Watch, Watchdog

__all__ = [
    "Body",
    "Event",
    "Fault",
    "Limits",
    "SafetyError",
    "State",
    "Supervised",
    "Watch",
    "Watchdog",
]
