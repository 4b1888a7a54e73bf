"""What other people's servo libraries do with our emulator; run by `vendor_sdks.py`, one a process.

`python vendor_clients.py feetech-servo-sdk PORT CONTROL`. Knows nothing of demoloop: the port is
opened by the library, faults are asked for in JSON on the control socket. Prints one JSON object a
line: step, whether it went well, what was seen. Faults are told, not judged.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

IDS = (1, 2, 3, 4, 5, 6)
ROUNDS = 200
GOAL, NEAR, SAME = (
    2500,
    30,
    10,
)  # ticks; near: friction and gravity; same: an arm that still settles
TORQUE, FEETECH_GOAL, POSITION, VOLTS, TEMPERATURE = 40, 42, 56, 62, 63
X_TORQUE, X_GOAL, X_POSITION, X_HARDWARE_ERROR = 64, 116, 132, 70

Step = tuple[str, bool, object]  # name, whether it is as it must be, what was seen
Ask = Callable[..., None]


def quantiles(times: list[float]) -> str:
    """Returns "p50 / p99 ms"."""
    times.sort()
    return f"{1e3 * times[len(times) // 2]:.2f} / {1e3 * times[int(len(times) * 0.99)]:.2f} ms"


def timed(read: Callable[[], object]) -> str:
    """Returns how long a call takes."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        read()
        times.append(time.perf_counter() - start)
    return quantiles(times)


def feetech_servo_sdk(port: str, ask: Ask) -> Iterator[Step]:
    """feetech-servo-sdk 1.0.0, what LeRobot uses."""
    import scservo_sdk as sdk

    handler, packets = sdk.PortHandler(port), sdk.PacketHandler(0)
    yield "open", handler.openPort() and handler.setBaudRate(1_000_000), port
    models = [packets.ping(handler, i)[0] for i in IDS]
    yield "ping", models == [777] * 6, models
    positions = [packets.read2ByteTxRx(handler, i, POSITION)[0] for i in IDS]
    yield "read", all(0 <= p < 4096 for p in positions), positions
    group = sdk.GroupSyncRead(handler, packets, POSITION, 15)
    for i in IDS:
        group.addParam(i)
    result = group.txRxPacket()
    together = [group.getData(i, POSITION, 2) for i in IDS]
    is_same = all(abs(a - b) <= SAME for a, b in zip(together, positions, strict=True))
    yield "sync read", result == 0 and is_same, together
    yield "sync read, 6 x 15 bytes, p50 / p99", True, timed(group.txRxPacket)
    packets.write1ByteTxRx(handler, 1, TORQUE, 1)
    writer = sdk.GroupSyncWrite(handler, packets, FEETECH_GOAL, 2)
    writer.addParam(1, [GOAL & 0xFF, GOAL >> 8])
    writer.txPacket()
    time.sleep(1.5)
    there = packets.read2ByteTxRx(handler, 1, POSITION)[0]
    yield "move", abs(there - GOAL) < NEAR, there
    ask({"kind": "drop", "id": 3})
    yield "servo 3 silent: sync read says", True, packets.getTxRxResult(group.txRxPacket())
    ask()
    ask({"kind": "late", "id": 1, "least_s": 0.12, "most_s": 0.12})
    packets.read1ByteTxRx(handler, 1, VOLTS)
    ask()
    time.sleep(0.15)
    late, *_ = packets.read1ByteTxRx(handler, 1, TEMPERATURE)
    yield "volts 120 ms late: next read, of the temperature, says", True, late
    ask({"kind": "overload", "id": 6})
    result = group.txRxPacket()
    yield "overload on servo 6: sync read says", True, packets.getTxRxResult(result)
    yield "overload on servo 6: ping's error byte", True, packets.ping(handler, 6)[2]
    handler.closePort()


def ftservo_python_sdk(port: str, ask: Ask) -> Iterator[Step]:
    """ftservo-python-sdk 2, the maker's own; the same module name, another interface."""
    import scservo_sdk as sdk

    handler = sdk.PortHandler(port)
    servo = sdk.sms_sts(handler)
    yield "open", handler.openPort() and handler.setBaudRate(1_000_000), port
    models = [servo.ping(i)[0] for i in IDS]
    yield "ping", models == [777] * 6, models
    positions = [servo.ReadPos(i)[0] for i in IDS]
    yield "read", all(0 <= p < 4096 for p in positions), positions
    group = sdk.GroupSyncRead(servo, POSITION, 15)
    for i in IDS:
        group.addParam(i)
    result = group.txRxPacket()
    together = [group.getData(i, POSITION, 2) for i in IDS]
    is_same = all(abs(a - b) <= SAME for a, b in zip(together, positions, strict=True))
    yield "sync read", result == 0 and is_same, together
    yield "sync read, 6 x 15 bytes, p50 / p99", True, timed(group.txRxPacket)
    servo.write1ByteTxRx(1, TORQUE, 1)
    servo.WritePosEx(1, GOAL, 1500, 50)
    time.sleep(2.0)
    there = servo.ReadPos(1)[0]
    yield "move", abs(there - GOAL) < NEAR, there
    ask({"kind": "drop", "id": 3})
    result = group.txRxPacket()
    yield "servo 3 silent: sync read says", True, servo.getTxRxResult(result)
    yield "servo 3 silent: its data", True, group.data_dict[3]
    ask()
    ask({"kind": "late", "id": 1, "least_s": 0.12, "most_s": 0.12})
    servo.read1ByteTxRx(1, VOLTS)
    ask()
    time.sleep(0.15)
    late = servo.read1ByteTxRx(1, TEMPERATURE)[0]
    yield "volts 120 ms late: next read, of the temperature, says", True, late
    ask({"kind": "overload", "id": 6})
    group.txRxPacket()
    error = group.isAvailable(6, POSITION, 2)[1]
    yield "overload on servo 6: error byte of sync read", True, error
    handler.closePort()


def dynamixel_sdk(port: str, ask: Ask) -> Iterator[Step]:
    """dynamixel-sdk, the maker's own."""
    import dynamixel_sdk as sdk

    handler, packets = sdk.PortHandler(port), sdk.PacketHandler(2.0)
    yield "open", handler.openPort() and handler.setBaudRate(1_000_000), port
    models = [packets.ping(handler, i)[0] for i in IDS]
    yield "ping", models == [1060, 1060, 1200, 1200, 1200, 1200], models
    found, result = packets.broadcastPing(handler)
    yield "broadcast ping", result == 0 and sorted(found) == list(IDS), sorted(found)
    positions = [packets.read4ByteTxRx(handler, i, X_POSITION)[0] for i in IDS]
    yield "read", all(0 <= p < 4096 for p in positions), positions
    group = sdk.GroupSyncRead(handler, packets, X_POSITION, 4)
    for i in IDS:
        group.addParam(i)
    for name, read in (("sync read", group.txRxPacket), ("fast sync read", group.fastSyncRead)):
        result = read()
        together = [group.getData(i, X_POSITION, 4) for i in IDS]
        is_same = all(abs(a - b) <= SAME for a, b in zip(together, positions, strict=True))
        yield name, result == 0 and is_same, together
        yield f"{name}, 6 x 4 bytes, p50 / p99", True, timed(read)
    packets.write1ByteTxRx(handler, 1, X_TORQUE, 1)
    writer = sdk.GroupSyncWrite(handler, packets, X_GOAL, 4)
    writer.addParam(1, list(GOAL.to_bytes(4, "little")))
    writer.txPacket()
    time.sleep(1.5)
    there = packets.read4ByteTxRx(handler, 1, X_POSITION)[0]
    yield "move", abs(there - GOAL) < NEAR, there
    error = packets.write1ByteTxRx(handler, 1, 11, 4)[1]
    yield "mode with torque on is refused", error == 7, packets.getRxPacketError(error)
    ask({"kind": "drop", "id": 3})
    yield "servo 3 silent: sync read says", True, packets.getTxRxResult(group.txRxPacket())
    ask()
    ask({"kind": "late", "id": 1, "least_s": 0.12, "most_s": 0.12})
    packets.read1ByteTxRx(handler, 1, 144)
    ask()
    time.sleep(0.15)
    late = packets.read1ByteTxRx(handler, 1, 146)[0]
    yield "volts 120 ms late: next read, of the temperature, says", True, late
    ask({"kind": "overload", "id": 6})
    error = packets.read1ByteTxRx(handler, 6, X_HARDWARE_ERROR)
    yield "overload on servo 6: hardware error and alert", error[0] == 1 << 5, list(error)
    result, error = packets.reboot(handler, 6)
    hardware = packets.read1ByteTxRx(handler, 6, X_HARDWARE_ERROR)[0]
    yield "reboot", result == 0 and hardware == 0, hardware
    handler.closePort()


def lerobot(port: str, ask: Ask) -> Iterator[Step]:
    """LeRobot's own bus class on feetech-servo-sdk, as its SO-101 opens it."""
    from lerobot.motors import Motor, MotorNormMode
    from lerobot.motors.feetech import FeetechMotorsBus

    mode = MotorNormMode.DEGREES
    bus = FeetechMotorsBus(port, {f"joint_{i}": Motor(i, "sts3215", mode) for i in IDS})
    bus.connect()
    yield "connect, with its handshake", bus.is_connected, bus.broadcast_ping()
    bus.configure_motors()
    positions = bus.sync_read("Present_Position", normalize=False)
    yield "sync read", len(positions) == 6, list(positions.values())
    read = lambda: bus.sync_read("Present_Position", normalize=False)  # noqa: E731
    yield "sync read, 6 x 2 bytes, p50 / p99", True, timed(read)
    bus.enable_torque("joint_1")
    bus.sync_write("Goal_Position", {"joint_1": GOAL}, normalize=False)
    time.sleep(1.5)
    there = bus.read("Present_Position", "joint_1", normalize=False)
    yield "move", abs(there - GOAL) < NEAR, there
    ask({"kind": "late", "id": 1, "least_s": 0.12, "most_s": 0.12})
    with suppress(ConnectionError):
        bus.read("Present_Voltage", "joint_1", normalize=False)
    ask()
    time.sleep(0.15)
    late = bus.read("Present_Temperature", "joint_1", normalize=False)
    yield "volts 120 ms late: next read, of the temperature, says", True, late
    ask({"kind": "overload", "id": 6})
    seen = bus.sync_read("Present_Position", normalize=False)
    yield "overload on servo 6: sync read returns", True, f"{len(seen)} values and no error"
    with suppress(RuntimeError):  # the answer still says overload; what was tripped is over then
        bus.disable_torque("joint_6")
    bus.enable_torque()
    ask({"kind": "overload", "id": 2})
    try:
        bus.disconnect()
        yield "overload on servo 2: disconnect", True, "went through"
    except Exception as error:
        yield "overload on servo 2: disconnect", True, f"{type(error).__name__}: {error}"[:120]


CLIENTS = {
    "feetech-servo-sdk": feetech_servo_sdk,
    "ftservo-python-sdk": ftservo_python_sdk,
    "dynamixel-sdk": dynamixel_sdk,
    "lerobot": lerobot,
}


def main(name: str, port: str, control: str) -> int:
    """Goes through the steps of one client; 1 when one is not as it must be."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(control)

    def ask(fault: dict[str, Any] | None = None) -> None:
        question = {"do": "fault", "fault": fault} if fault else {"do": "clear"}
        connection.sendall(json.dumps(question).encode() + b"\n")
        answer = json.loads(connection.recv(65_536))
        assert answer["ok"], answer

    is_good = True
    for step, is_right, seen in CLIENTS[name](port, ask):
        print(json.dumps({"step": step, "ok": bool(is_right), "seen": seen}), flush=True)
        is_good &= bool(is_right)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
