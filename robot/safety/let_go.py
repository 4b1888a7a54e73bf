"""The watchdog of an arm, made of the packets its servos understand."""

from __future__ import annotations

from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.bus.feetech import FeetechFraming
from demoloop.robot.bus.registers import MODELS
from demoloop.robot.safety.limits import Limits
from demoloop.robot.safety.watchdog import SILENCE_S, Watchdog
from demoloop.robot.servo_checks import servo_ids


def watchdog_of(
    servos: ServoMap, port: str, limits: Limits | None = None, *, silence_s: float = SILENCE_S
) -> Watchdog | None:
    """Returns a watchdog for the arm at a serial port.

    None for Dynamixel: those watch over the line themselves, and the driver tells them to.

    Args:
        servos: Of the arm.
        port: Path of its port.
        limits: How much torque is left to an arm that holds softly.
        silence_s: How long it waits for a heartbeat.
    """
    if servos.bus != "feetech":
        return None
    share = (limits or Limits()).hold_share
    table = MODELS[servos.joints[0].model].table
    torque_limit, torque_enable = table["torque_limit"], table["torque_enable"]
    soft, off = {}, {}
    for joint in servos.joints:
        for servo_id in servo_ids(joint):
            counts = round(share * joint.torque_share / torque_limit.per_count)
            soft[servo_id] = torque_limit.encode(counts)
            off[servo_id] = torque_enable.encode(0)
    framing = FeetechFraming()
    return Watchdog(
        port,
        framing.sync_write(torque_limit.address, soft),
        framing.sync_write(torque_enable.address, off),
        silence_s=silence_s,
    )
