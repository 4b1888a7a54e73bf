"""Dynamixels that speak protocol 2.0: CRC, stuffing, sync, bulk and fast reads."""

from __future__ import annotations

from collections.abc import Callable

from demoloop.robot.emulator.chain import Answer, Chain
from demoloop.robot.emulator.dynamixel_servo import DynamixelServo

_BROADCAST = 0xFE
_PING, _READ, _WRITE, _REG_WRITE, _ACTION, _FACTORY_RESET, _REBOOT = 1, 2, 3, 4, 5, 6, 8
_SYNC_READ, _SYNC_WRITE, _FAST_SYNC_READ = 0x82, 0x83, 0x8A
_BULK_READ, _BULK_WRITE, _FAST_BULK_READ = 0x92, 0x93, 0x9A
_STATUS = 0x55
_INSTRUCTION_ERROR, _CRC_ERROR, _LENGTH_ERROR = 2, 3, 5
_HEADER = b"\xff\xff\xfd\x00"
_MAX_SIZE = 1024


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x8005 if crc & 0x8000 else 0)) & 0xFFFF
        table.append(crc)
    return table


_CRC_TABLE = _crc_table()


def crc16(data: bytes) -> int:
    """CRC-16 of protocol 2.0: polynomial 0x8005, from 0, highest bit first."""
    crc = 0
    for byte in data:
        crc = crc << 8 & 0xFFFF ^ _CRC_TABLE[crc >> 8 ^ byte]
    return crc


def frame(servo_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """Returns a packet of protocol 2.0, stuffed and with its CRC."""
    body = (bytes([instruction]) + parameters).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
    head = _HEADER + bytes([servo_id]) + (len(body) + 2).to_bytes(2, "little")
    return head + body + crc16(head + body).to_bytes(2, "little")


def _words(parameters: bytes) -> tuple[int, int]:
    """Two 16-bit numbers from four bytes: an address and a length."""
    return int.from_bytes(parameters[:2], "little"), int.from_bytes(parameters[2:4], "little")


class DynamixelChain(Chain[DynamixelServo]):
    """X-series servos on one line."""

    def _next_packet(self) -> bytes | None:
        buffer = self._buffer
        while True:
            start = buffer.find(_HEADER)
            if start < 0:
                del buffer[: max(0, len(buffer) - len(_HEADER) + 1)]
                return None
            del buffer[:start]
            if len(buffer) < 7:
                return None
            size = int.from_bytes(buffer[5:7], "little") + 7
            if not 10 <= size <= _MAX_SIZE:
                del buffer[: len(_HEADER)]
                continue
            if len(buffer) < size:
                return None
            packet = bytes(buffer[:size])
            del buffer[:size]
            return packet

    def _execute(self, packet: bytes) -> list[Answer]:
        servo_id = packet[4]
        if int.from_bytes(packet[-2:], "little") != crc16(packet[:-2]):
            return self._everyone(servo_id, lambda servo: (_CRC_ERROR, b""), is_answered=True)
        body = packet[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
        instruction, parameters = body[0], body[1:]
        is_broadcast = servo_id == _BROADCAST
        for servo in self._listening(None if is_broadcast else servo_id):
            servo.hear()
        if instruction in (_SYNC_READ, _FAST_SYNC_READ):
            address, size = _words(parameters)
            asked = [(i, address, size) for i in parameters[4:]]
            return self._read_many(asked, instruction == _FAST_SYNC_READ)
        if instruction in (_BULK_READ, _FAST_BULK_READ):
            asked = [
                (parameters[i], *_words(parameters[i + 1 : i + 5]))
                for i in range(0, len(parameters) - 4, 5)
            ]
            return self._read_many(asked, instruction == _FAST_BULK_READ)
        if instruction in (_SYNC_WRITE, _BULK_WRITE):
            self._write_many(parameters, is_bulk=instruction == _BULK_WRITE)
            return []
        level = 0 if instruction == _PING else 1 if instruction == _READ else 2
        return self._everyone(
            servo_id,
            lambda servo: self._obey(servo, instruction, parameters),
            is_answered=not is_broadcast or instruction == _PING,
            level=level,
        )

    def _everyone(
        self,
        servo_id: int,
        does: Callable[[DynamixelServo], tuple[int, bytes]],
        *,
        is_answered: bool,
        level: int = 0,
    ) -> list[Answer]:
        """Lets the addressed servos do something, and collects what they say to it."""
        answers = []
        is_broadcast = servo_id == _BROADCAST
        for servo in self._listening(None if is_broadcast else servo_id):
            speaker = servo.id if is_broadcast else servo_id
            is_quiet = servo.memory["status_level"] < level
            error, data = does(servo)
            if is_answered and not is_quiet and self._may_speak(servo, speaker):
                answers.append(self._answer(servo, speaker, error, data))
        return answers

    def _obey(
        self, servo: DynamixelServo, instruction: int, parameters: bytes
    ) -> tuple[int, bytes]:
        """Does one instruction; returns its error and the data of the answer."""
        if instruction == _PING:
            return 0, servo.read(0, 2) + servo.read(6, 1)
        if instruction == _ACTION:
            return servo.act(), b""
        if instruction == _REBOOT:
            servo.restart()
            return 0, b""
        if instruction == _FACTORY_RESET and parameters:
            servo.forget({1: 1, 2: 2}.get(parameters[0], 0))
            return 0, b""
        if instruction not in (_READ, _WRITE, _REG_WRITE):
            return _INSTRUCTION_ERROR, b""
        address = int.from_bytes(parameters[:2], "little")
        if instruction == _READ:
            if len(parameters) != 4:
                return _LENGTH_ERROR, b""
            return 0, servo.read(*_words(parameters))
        if len(parameters) < 3:
            return _LENGTH_ERROR, b""
        if instruction == _WRITE:
            return servo.write(address, parameters[2:]), b""
        servo.put_off(address, parameters[2:])
        return 0, b""

    def _read_many(self, asked: list[tuple[int, int, int]], is_fast: bool) -> list[Answer]:
        """Reads (id, address, size) each, in one packet per servo or, fast, in one for all."""
        answers: list[Answer] = []
        length = 1 + sum(4 + size for _, _, size in asked)
        fast = _HEADER + bytes([_BROADCAST]) + length.to_bytes(2, "little") + bytes([_STATUS])
        delay, speakers = 0.0, []
        for servo_id, address, size in asked:
            found = [s for s in self._listening(servo_id) if s.memory["status_level"] >= 1]
            found = [servo for servo in found if self._may_speak(servo, servo_id)]
            if is_fast and not found:
                break  # those after it wait for ever for their turn
            if is_fast:
                first = found[0]
                delay = delay or first.memory["return_delay"] * 2e-6
                fast += bytes([first.alert, servo_id]) + first.read(address, size)
                fast += crc16(fast).to_bytes(2, "little")
                speakers.append(servo_id)
                continue
            for servo in found:
                answers.append(self._answer(servo, servo_id, 0, servo.read(address, size)))
        return [Answer(fast, delay, tuple(speakers))] if speakers else answers

    def _write_many(self, parameters: bytes, *, is_bulk: bool) -> None:
        """Sync write: address, length, then (id, data); bulk write: (id, address, length, data)."""
        address, size = _words(parameters)
        rest = parameters if is_bulk else parameters[4:]
        while rest:
            servo_id, rest = rest[0], rest[1:]
            if is_bulk:
                address, size = _words(rest)
                rest = rest[4:]
            data, rest = rest[:size], rest[size:]
            if len(data) == size:
                for servo in self._listening(servo_id):
                    servo.write(address, data)

    def _answer(self, servo: DynamixelServo, servo_id: int, error: int, data: bytes) -> Answer:
        packet = frame(servo_id, _STATUS, bytes([error | servo.alert]) + data)
        return Answer(packet, servo.memory["return_delay"] * 2e-6, (servo_id,))
