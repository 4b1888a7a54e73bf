"""Reads HDF5 in a process of its own, as a script: the HDF5 library may crash on damaged files.

Asked by one JSON line, it answers by one: {"do": "tree"} for what is in a file, {"do": "copy"} to
lay one array out as raw bytes in another file. An empty line says that a long copy is alive.
Imports nothing of demoloop, so that it starts from anywhere.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress
from typing import Any

import h5py
import numpy as np

MEMORY = 4 << 30  # bytes of address space: a damaged size must not take the machine's memory
MAX_OBJECTS = 1_000_000
MAX_ATTRIBUTE = 4 << 20  # bytes
BLOCK = 16 << 20  # bytes read at a time


def tree(path: str) -> dict[str, Any]:
    """Returns the arrays {name: [shape, dtype]} and the attributes {name: {key: value}}.

    Links to other files are not followed, and arrays that lie in other files are not listed.
    """
    arrays: dict[str, Any] = {}
    attributes: dict[str, Any] = {}

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if len(attributes) > MAX_OBJECTS:
            raise ValueError(f"more than {MAX_OBJECTS} objects")
        attributes[name] = _attributes(node)
        if isinstance(node, h5py.Dataset) and node.external is None and not node.is_virtual:
            is_bytes = h5py.check_vlen_dtype(node.dtype) == np.uint8
            is_bytes = is_bytes or h5py.check_string_dtype(node.dtype) is not None
            arrays[name] = [list(node.shape or ()), "bytes" if is_bytes else node.dtype.str]

    with h5py.File(path, "r") as file:
        attributes["/"] = _attributes(file)
        file.visititems(visit)
    return {"arrays": arrays, "attributes": attributes}


def _attributes(node: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Returns the attributes that are text, a number or a truth."""
    values = {}
    for key in node.attrs:
        space = node.attrs.get_id(key)
        if space.shape not in ((), (1,)) or space.get_storage_size() > MAX_ATTRIBUTE:
            continue
        value = node.attrs[key]
        if isinstance(value, np.ndarray):
            value = value.reshape(-1)[0] if value.size == 1 else None
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str | int | float):
            values[key] = value
    return values


def copy(path: str, name: str, out: str, limit: int) -> dict[str, Any]:
    """Writes an array's bytes to `out`, of at most `limit` bytes.

    An array of byte strings is written end to end, and `sizes` says the length of each.
    """
    sizes: list[int] = []
    with h5py.File(path, "r") as file, open(out, "wb") as target:
        array: Any = file[name]
        if array.external is not None or array.is_virtual:
            raise ValueError("its bytes lie in another file")
        rows = array.shape[0]
        is_bytes = array.dtype.kind in "OS"
        row_bytes = 1 << 20 if is_bytes else max(1, array.nbytes // max(rows, 1))
        if not is_bytes and array.nbytes > limit:
            raise ValueError(f"{array.nbytes} bytes, expected at most {limit}")
        step = max(1, BLOCK // row_bytes)
        for start in range(0, rows, step):
            block = array[start : start + step]
            if is_bytes:
                for value in block:
                    data = value.tobytes() if isinstance(value, np.ndarray) else _raw(value)
                    sizes.append(target.write(data))
            else:
                target.write(np.ascontiguousarray(block).tobytes())
            if target.tell() > limit:
                raise ValueError(f"more than {limit} bytes")
            print(flush=True)
    return {"sizes": sizes}


def _raw(value: object) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]


def main() -> None:
    """Answers until the input ends."""
    with suppress(ValueError, OSError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            if ask["do"] == "tree":
                answer = tree(ask["path"])
            else:
                answer = copy(ask["path"], ask["name"], ask["out"], ask["limit"])
        # Whatever the library raises over a damaged file, the next one may be whole.
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
