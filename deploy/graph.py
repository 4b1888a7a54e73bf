"""What an ONNX file asks of the machine that opens it, found before onnxruntime reads it.

The field numbers are those of onnx/onnx.proto3 in github.com/onnx/onnx (Apache-2.0). The onnx
package is not needed onboard, and a walk that knows a dozen fields cannot be led astray by the
rest: it keeps a list instead of recursing, and it stops at a fixed number of fields and depth.
"""

from __future__ import annotations

from demoloop.deploy.errors import PolicyError
from demoloop.robot.card import Buffer, fields

OPSETS = range(17, 24)  # of the standard operators; `demoloop export` writes 20
STANDARD_DOMAINS = ("", "ai.onnx")

_MAX_FIELDS = 1_000_000  # of all messages; bounds the time, which Python spends per field
_MAX_DEPTH = 32  # a graph inside a node's attribute is three deeper than the graph around it
_EXTERNAL = 1  # TensorProto.DataLocation.EXTERNAL
# Of each kind of message, the fields that are messages to look into.
_INSIDE = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "opset": {},
    "tensor": {},
}


def check_graph_asks(data: Buffer, what: str) -> None:
    """Raises PolicyError when a file wants what only the standard operators may not give.

    Args:
        data: The bytes of the ONNX file.
        what: Names the file in the message.

    Raises:
        PolicyError: A node of another domain, weights outside the file, operators of a version
            that is not in `OPSETS`, or more fields or nesting than any policy has.
        CardError: It is not protobuf.
    """
    view = memoryview(data)
    todo = [("model", 0, len(view), 0)]
    seen = 0
    versions: list[int] = []
    while todo:
        kind, start, end, depth = todo.pop()
        domain, version = "", 0
        for number, value, stop in fields(view, start, end):
            seen += 1
            if seen > _MAX_FIELDS or depth > _MAX_DEPTH:
                raise PolicyError(
                    f"{what} has more than {_MAX_FIELDS} fields or is nested deeper than "
                    f"{_MAX_DEPTH}, which no policy is; export the policy again"
                )
            if stop is None:  # a plain number
                if kind == "opset" and number == 2:
                    version = value
                if kind == "tensor" and number == 14 and value == _EXTERNAL:
                    raise _outside(what)
                continue
            if kind == "tensor" and number == 13:
                raise _outside(what)
            if (kind, number) in (("node", 7), ("opset", 1)):
                domain = bytes(view[value : min(stop, value + 100)]).decode(errors="replace")
            inside = _INSIDE[kind].get(number)
            if inside is not None:
                todo.append((inside, value, stop, depth + 1))
        if kind == "node" and domain not in STANDARD_DOMAINS:
            raise PolicyError(
                f"{what} has an operator of the domain {domain!r}, only standard ONNX operators "
                "are run; export the policy with `demoloop export`"
            )
        if kind == "opset" and domain in STANDARD_DOMAINS:
            versions.append(version)
    if not versions or any(version not in OPSETS for version in versions):
        found = ", ".join(map(str, versions)) or "none"
        raise PolicyError(
            f"{what} is written in ONNX opset {found}, this demoloop runs {OPSETS[0]} to "
            f"{OPSETS[-1]}; export the policy with this demoloop"
        )


def _outside(what: str) -> PolicyError:
    return PolicyError(
        f"{what} keeps weights in another file, where its seal does not reach; all must be in "
        "one file: export the policy with `demoloop export`"
    )
