"""STS servos that speak Feetech's protocol 0, byte for byte, as the maker's SDKs expect it."""

from __future__ import annotations

from demoloop.robot.emulator.chain import Answer, Chain
from demoloop.robot.emulator.feetech_servo import FeetechServo

_BROADCAST = 0xFE
_PING, _READ, _WRITE, _REG_WRITE, _ACTION, _SYNC_READ, _SYNC_WRITE = 1, 2, 3, 4, 5, 0x82, 0x83


def frame(servo_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """Returns a packet of protocol 0; in an answer the instruction is the error byte."""
    body = bytes([servo_id, len(parameters) + 2, instruction]) + parameters
    return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])


class FeetechChain(Chain[FeetechServo]):
    """STS servos on one line."""

    def _next_packet(self) -> bytes | None:
        buffer = self._buffer
        while True:
            start = buffer.find(b"\xff\xff")
            if start < 0:
                del buffer[: max(0, len(buffer) - 1)]
                return None
            del buffer[:start]
            if len(buffer) < 4:
                return None
            if buffer[2] == 0xFF or buffer[3] < 2:  # a third 0xff may begin the real header
                del buffer[:1]
                continue
            size = buffer[3] + 4
            if len(buffer) < size:
                return None
            packet = bytes(buffer[:size])
            if packet[-1] == ~sum(packet[2:-1]) & 0xFF:
                del buffer[:size]
                return packet
            del buffer[:2]

    def _execute(self, packet: bytes) -> list[Answer]:
        servo_id, instruction, parameters = packet[2], packet[4], packet[5:-1]
        if instruction == _SYNC_READ:
            return self._sync_read(parameters)
        if instruction == _SYNC_WRITE:
            self._sync_write(parameters)
            return []
        is_broadcast = servo_id == _BROADCAST
        answers: list[Answer] = []
        for servo in self._listening(None if is_broadcast else servo_id):
            data = b""
            if instruction == _READ and len(parameters) == 2 and not is_broadcast:
                data = servo.read(*parameters)
            elif instruction == _WRITE and parameters:
                servo.write(parameters[0], parameters[1:])
            elif instruction == _REG_WRITE and parameters:
                servo.put_off(parameters[0], parameters[1:])
            elif instruction == _ACTION:
                servo.act()
            elif instruction != _PING:
                continue
            is_answered = instruction in (_PING, _READ) or servo.memory["response_level"] != 0
            if is_answered and (not is_broadcast or instruction == _PING):
                # The id that was asked: a servo that just got another answers as the old one.
                answers += self._answer(servo, servo.id if is_broadcast else servo_id, data)
        return answers

    def _sync_read(self, parameters: bytes) -> list[Answer]:
        if len(parameters) < 3:
            return []
        address, size, *ids = parameters
        return [
            answer
            for servo_id in ids
            for servo in self._listening(servo_id)
            for answer in self._answer(servo, servo_id, servo.read(address, size))
        ]

    def _sync_write(self, parameters: bytes) -> None:
        if len(parameters) < 2:
            return
        address, size = parameters[:2]
        for start in range(2, len(parameters) - size, size + 1):
            for servo in self._listening(parameters[start]):
                servo.write(address, parameters[start + 1 : start + 1 + size])

    def _answer(self, servo: FeetechServo, servo_id: int, data: bytes) -> list[Answer]:
        if not self._may_speak(servo, servo_id):
            return []
        delay = servo.memory["return_delay"] * 2e-6
        return [Answer(frame(servo_id, servo.error_byte(), data), delay, (servo_id,))]
