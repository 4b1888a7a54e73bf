"""Control tables: the bytes of a servo, by the names of its data sheet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["eeprom", "sram", "sensor"]  # sensor: only the servo writes it


@dataclass(frozen=True)
class Register:
    """One value: `size` bytes from `address` on, little-endian."""

    name: str
    address: int
    size: int
    kind: Kind
    default: int = 0  # as it leaves the factory


class Table:
    """The registers of one kind of servo, and which of its bytes may be written."""

    def __init__(self, registers: Iterable[Register]) -> None:
        """Takes the registers in any order."""
        self.registers = {register.name: register for register in registers}
        self.spans = {
            register.name: slice(register.address, register.address + register.size)
            for register in self.registers.values()
        }
        self.names = {
            register.address + i: register.name
            for register in self.registers.values()
            for i in range(register.size)
        }
        self.kinds: dict[int, Kind] = {
            register.address + i: register.kind
            for register in self.registers.values()
            for i in range(register.size)
        }

    def addresses(self, *kinds: Kind) -> list[int]:
        """Returns the bytes of these kinds."""
        return [address for address, kind in self.kinds.items() if kind in kinds]


class Memory:
    """What the registers of one servo hold."""

    def __init__(self, table: Table, size: int) -> None:
        """Starts as it leaves the factory."""
        self.table = table
        self.bytes = bytearray(size)
        for register in table.registers.values():
            self[register.name] = register.default

    def __getitem__(self, name: str) -> int:
        """Returns the unsigned value of a register."""
        return int.from_bytes(self.bytes[self.table.spans[name]], "little")

    def __setitem__(self, name: str, value: int) -> None:
        """Sets a register; what does not fit is cut off as in the servo (two's complement)."""
        size = self.table.registers[name].size
        masked = value & ((1 << 8 * size) - 1)
        self.bytes[self.table.spans[name]] = masked.to_bytes(size, "little")

    def signed(self, name: str) -> int:
        """Returns a register as two's complement (Dynamixel)."""
        value, bits = self[name], 8 * self.table.registers[name].size
        return value - (1 << bits) if value >> (bits - 1) else value

    def reload(self, name: str) -> None:
        """Sets a register back to how it leaves the factory."""
        self[name] = self.table.registers[name].default


def from_sign_magnitude(value: int, sign_bit: int) -> int:
    """Feetech counts below zero with a sign bit: 0x8005 is -5."""
    magnitude = value & ((1 << sign_bit) - 1)
    return -magnitude if value >> sign_bit & 1 else magnitude


def to_sign_magnitude(value: int, sign_bit: int) -> int:
    """Returns `value` with a sign bit; what does not fit sticks at the largest magnitude."""
    magnitude = min(abs(value), (1 << sign_bit) - 1)
    return magnitude | (1 << sign_bit if value < 0 else 0)
