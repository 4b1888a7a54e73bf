"""What is done to files by `fuzz.py`: damage of bytes, of structure and of meaning.

Every mutation takes the whole content and a random number generator, and returns other content.
"""

from __future__ import annotations

import copy
import io
import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Mutation = Callable[[bytes, random.Random], bytes]

HUGE = (0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
NAMES = (
    "../../../etc/passwd|/etc/passwd|a/../../b|\u0000|x\n"
    + "y" * 50
    + "|{|{0}|{chunk_index:9999999}"
)
HOSTILE: Sequence[Any] = (
    *(None, True, False, 0, -1, 1e308, -1e308, 10**30, -(10**30), 2**31, 2**63, 0.5),
    *(float("nan"), float("inf"), float("-inf"), "", "nan", "9" * 5000, "x" * 200_000),
    *([], {}, [[]], [None], [-1], [10**9, 10**9, 3], {"a": 1}, [[[[1]]]], ["1"], "\ud800"),
    *("../../escape", "../../../../etc/passwd", "/etc/passwd", "~", "a\x00b", "a\nb", "{", "}"),
    *("{0}", "{x}", "{chunk_index.__class__}", "{chunk_index:999999999d}", "{file_index!r:>99999}"),
    *("{episode_index:999999999d}", "{video_key:>999999999}", "v3.0", "v2.1", "v9", "video"),
)
BOXES = re.compile(
    b"moov|trak|mdia|minf|stbl|stsd|stsz|stco|stts|stsc|stss|ctts|elst|mvhd|tkhd|mdhd|avc1|avcC"
    b"|ftyp|mdat|free|edts|hdlr|dref"
)


def damage(data: bytes, rng: random.Random) -> bytes:
    """Cuts, flips bits, overwrites, doubles, removes, swaps, splices and sets lengths."""
    if not data:
        return rng.randbytes(16)
    changed, at = bytearray(data), rng.randrange(len(data))
    width, other = rng.choice([1, 2, 4, 8, 16, 64, 512]), rng.randrange(len(data))
    match rng.randrange(10):
        case 0:
            return data[:at]
        case 1 | 2:
            for _ in range(rng.choice([1, 1, 2, 8, 64])):
                changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 3:
            fill = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80", b""])
            changed[at : at + width] = fill * width or rng.randbytes(width)
        case 4:
            changed[at:at] = data[at : at + width] * rng.choice([1, 2, 50])
        case 5:
            del changed[at : at + width]
        case 6:
            one, two = data[at : at + width], data[other : other + width]
            changed[at : at + len(one)], changed[other : other + len(two)] = two, one
        case 7:
            changed[at : at + width] = data[other : other + width]
        case 8:
            changed += rng.choice([b"\0" * width, data[other:], rng.randbytes(width)])
        case _:
            _set_number(changed, at, rng)
    return bytes(changed)


def boxes(data: bytes, rng: random.Random) -> bytes:
    """Sets numbers in and before the boxes of an mp4, wherever they are nested."""
    changed = bytearray(data)
    found = [match.start() for match in BOXES.finditer(data)]
    for _ in range(rng.choice([1, 1, 2, 4])):
        near = rng.choice(found) + rng.choice([-4, -4, 4, 8, 12, 16, 20, 24, 28, 32])
        _set_number(changed, max(0, near), rng)
    return bytes(changed)


def _set_number(changed: bytearray, at: int, rng: random.Random) -> None:
    size = rng.choice([2, 4, 4, 4, 8])
    value = rng.choice([*HUGE, rng.getrandbits(64), len(changed), len(changed) + 1])
    number = (value % (1 << 8 * size)).to_bytes(size, rng.choice(["little", "big"]))
    changed[at : at + size] = number[: len(changed) - at] or number


def json_values(data: bytes, rng: random.Random) -> bytes:
    """Changes one or two values of a JSON document: of another type, huge, absent, nested."""
    document = json.loads(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        document = _changed(document, rng)
    if rng.random() < 0.02:
        depth = rng.choice([100, 5000, 200_000])
        text = json.dumps(document).replace("null", "[" * depth + "]" * depth, 1)
        return (text if rng.random() < 0.7 else "[" * depth).encode()
    return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _changed(document: Any, rng: random.Random) -> Any:
    """Returns the document with one place changed."""
    places: list[tuple[Any, Any]] = []
    waiting = [document] if isinstance(document, dict | list) else []
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        places += [(node, key) for key in keys]
        waiting += [node[key] for key in keys if isinstance(node[key], dict | list)]
    hostile = copy.deepcopy(rng.choice(HOSTILE))  # a list may be changed again
    if not places or rng.random() < 0.01:
        return hostile
    node, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del node[key]
        case 1 if isinstance(node, dict):
            node[str(rng.choice([*HOSTILE, *NAMES.split("|")]))[:300]] = node.pop(key)
        case 1:
            node.insert(rng.randrange(len(node) + 1), hostile)
        case 2:
            other, place = rng.choice(places)
            if not isinstance(other[place] if _has(other, place) else None, dict | list):
                node[key] = other[place] if _has(other, place) else None
        case _:
            node[key] = hostile
    return document


def _has(node: Any, key: Any) -> bool:
    return key in node if isinstance(node, dict) else key < len(node)


def json_lines(data: bytes, rng: random.Random) -> bytes:
    """Changes one line of several JSON documents, or their order."""
    lines = data.splitlines()
    which = rng.randrange(len(lines))
    match rng.randrange(8):
        case 0:
            lines[which:which] = [rng.choice(lines)]
        case 1:
            rng.shuffle(lines)
        case 2:
            lines[which] = damage(lines[which], rng).replace(b"\n", b"")
        case _:
            lines[which] = json_values(lines[which], rng)
    return b"\n".join(lines) + b"\n"


def checked_lines(data: bytes, rng: random.Random) -> bytes:
    """Mutates the lines of a checksummed file as JSON and makes the checksums fit."""
    bare = b"\n".join(line.partition(b" ")[2] for line in data.splitlines())
    lines = json_lines(bare, rng).splitlines()
    return b"".join(b"%08x %b\n" % (zlib.crc32(line), line) for line in lines)


def checked_records(data: bytes, rng: random.Random) -> bytes:
    """Mutates a record of a framed log, or their order, and makes the checksums fit."""
    records, at = [], 0
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        records.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    which = 0 if rng.random() < 0.3 else rng.randrange(len(records))
    match rng.randrange(6):
        case 0:
            records[which:which] = [rng.choice(records)]
        case 1:
            rng.shuffle(records)
        case 2 if records[which][1:2] in (b"{", b"["):
            records[which] = records[which][:1] + json_values(records[which][1:], rng)
        case _:
            records[which] = damage(records[which], rng)
    return b"".join(struct.pack("<II", len(r), zlib.crc32(r)) + r for r in records)


def columns(data: bytes, rng: random.Random) -> bytes:
    """Writes a parquet file anew, whole, with a column or two that mean something else."""
    table = pq.read_table(io.BytesIO(data))
    for _ in range(rng.choice([1, 1, 2, 3])):
        table = _other_column(table, rng)
    out = io.BytesIO()
    pq.write_table(table, out, compression=rng.choice(["snappy", "zstd", "none", "gzip"]))
    return out.getvalue()


def _other_column(table: pa.Table, rng: random.Random) -> pa.Table:
    number, rows = rng.randrange(table.num_columns), table.num_rows
    name, values = table.column_names[number], table.column(number).to_pylist()
    some = rng.randrange(rows) if rows else 0
    match rng.randrange(12):
        case 0:
            return table.remove_column(number) if table.num_columns > 1 else table
        case 1:
            return table.append_column(rng.choice(table.column_names), table.column(number))
        case 2:
            return table.slice(0, rng.choice([0, some]))
        case 3:
            return pa.concat_tables([table, table.slice(some)])
        case 4:
            return table.rename_columns([f"{n}x" if n == name else n for n in table.column_names])
        case 5 | 6 | 7 if rows:
            number_of = [None, -1, 2**31, 2**62, -(2**63), 0, float("nan"), float("inf"), 1e300]
            values[some] = rng.choice([*number_of, [], [1.0] * 7, [None], "x", True])
        case 8:
            values = [rng.choice([None, -1, 2**40])] * rows
        case 9:
            values = [rng.choice(["", "x" * 50_000, "{", '{"front": "x"}', "../../x"])] * rows
        case 10:
            values = [[value] * (n % 3) for n, value in enumerate(values)]
        case _:
            values = [{"a": value, "b": [value]} for value in values]
    try:
        column = pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        column = pa.array([str(value) for value in values])
    return table.set_column(number, name, column)
