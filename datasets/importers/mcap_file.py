"""The messages of an MCAP file, to its end or to where it is damaged."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from demoloop.datasets.errors import DatasetError, one_line

MAGIC = b"\x89MCAP0\r\n"
MAX_RECORD = 256 << 20  # bytes of one record or one chunk, packed and unpacked
MAX_MESSAGES = 20_000_000


class Message(NamedTuple):
    """One message, not decoded."""

    topic: str
    schema: str  # name of its type
    encoding: str  # cdr, json, ...
    time: int  # ns, when it was logged
    data: bytes


def read_messages(path: Path, damage: list[str]) -> Iterator[Message]:
    """Yields the messages in the order of the file; where it breaks, `damage` gets a sentence.

    Raises:
        DatasetError: The file is no MCAP, or absent.
    """
    from mcap.exceptions import McapError

    if not is_mcap_file(path):
        raise DatasetError(f"{path} is no MCAP file, or cut short at its start; copy it again")
    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, int, str]] = {}
    count = 0
    try:
        with path.open("rb") as file:
            for record in _records(file):
                kind = type(record).__name__
                if kind == "Schema":
                    schemas[record.id] = record.name
                elif kind == "Channel":
                    channels[record.id] = (record.topic, record.schema_id, record.message_encoding)
                elif kind == "Message":
                    if record.channel_id not in channels:
                        raise DatasetError("a message of an unknown channel")
                    topic, schema, encoding = channels[record.channel_id]
                    name = schemas.get(schema, "")
                    yield Message(topic, name, encoding, record.log_time, record.data)
                    count += 1
                    if count >= MAX_MESSAGES:
                        raise DatasetError(f"more than {MAX_MESSAGES} messages")
    # What the library lets through when a length or a text in a record is damaged.
    except (McapError, DatasetError, struct.error, ValueError, OSError, EOFError,
            RuntimeError, MemoryError, OverflowError) as error:  # fmt: skip
        what = one_line(error)[:200] or type(error).__name__
        damage.append(f"{path.name} is cut short or damaged after {count} messages ({what})")


def is_mcap_file(path: Path) -> bool:
    """Says whether a file begins as MCAP does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _records(file: IO[bytes]) -> Iterator[Any]:
    """Yields the records of a file, those in chunks included; a chunk is unpacked within limits."""
    from mcap.records import Chunk, DataEnd
    from mcap.stream_reader import StreamReader, breakup_chunk

    for record in StreamReader(file, emit_chunks=True, record_size_limit=MAX_RECORD).records:
        if isinstance(record, DataEnd):
            return  # what follows is an index, of no use here
        if not isinstance(record, Chunk):
            yield record
            continue
        data = _unpack(record.compression, record.data, record.uncompressed_size)
        if record.uncompressed_crc and zlib.crc32(data) != record.uncompressed_crc:
            raise DatasetError("the checksum of a chunk is wrong")
        yield from breakup_chunk(
            Chunk(
                compression="",
                data=data,
                message_end_time=record.message_end_time,
                message_start_time=record.message_start_time,
                uncompressed_crc=0,
                uncompressed_size=len(data),
            )
        )


def _unpack(compression: str, data: bytes, size: int) -> bytes:
    """Returns the bytes of a chunk, which must be `size` and no more."""
    if size > MAX_RECORD:
        raise DatasetError(f"a chunk of {size} bytes, expected at most {MAX_RECORD}")
    if compression == "":
        unpacked = data
    elif compression == "zstd":
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as stream:
                unpacked = stream.read(size + 1)
        except zstandard.ZstdError as error:
            raise DatasetError(f"a chunk cannot be unpacked: {error}") from error
    elif compression == "lz4":
        from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

        unpacked = LZ4FrameDecompressor().decompress(data, max_length=size + 1)
    else:
        raise DatasetError(f"compression {compression[:20]!r}; zstd and lz4 are known")
    if len(unpacked) != size:
        raise DatasetError(f"a chunk unpacks to {len(unpacked)} bytes, it declares {size}")
    return unpacked
