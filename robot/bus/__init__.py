"""Serial buses of servos: bytes, frames, deadlines. What an arm is, stands in `robot/arms`."""

from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.bus.dynamixel import DynamixelFraming
from demoloop.robot.bus.feetech import FeetechFraming
from demoloop.robot.bus.interface import Bus, Identity, Link, Replies
from demoloop.robot.bus.serial_port import SerialPort
from demoloop.robot.bus.servo_bus import ServoBus


def serial_bus(servos: ServoMap, port: str) -> ServoBus:
    """Returns the bus of these servos at a serial port, not yet open."""
    return bus_over(servos, SerialPort(port, servos.baud))


def bus_over(servos: ServoMap, link: Link) -> ServoBus:
    """Returns the bus of these servos over any link, not yet open."""
    framing = FeetechFraming() if servos.bus == "feetech" else DynamixelFraming()
    return ServoBus(link, framing, baud=servos.baud)


__all__ = ["Bus", "Identity", "Link", "Replies", "ServoBus", "bus_over", "serial_bus"]
