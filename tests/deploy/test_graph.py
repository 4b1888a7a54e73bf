"""Laws of what a policy file may ask of the machine that opens it."""

import contextlib
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper

from demoloop.deploy.errors import PolicyError
from demoloop.deploy.graph import OPSETS, check_graph_asks
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.policy_file import MAX_FILE_BYTES
from demoloop.robot import DemoloopError


def a_model(domain: str = "", opset: int = 20) -> ModelProto:
    """A branch whose inside is one operator of `domain`."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    inner = helper.make_graph([helper.make_node("Relu", ["x"], ["z"], domain=domain)], "in", [], [])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph([branch], "g", [x], [y], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def external(model: ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def external_in_a_branch(model: ModelProto) -> None:
    tensor = model.graph.node[0].attribute[0].g.initializer.add()
    tensor.external_data.add(key="location", value="/etc/passwd")


def nested(model: ModelProto) -> None:
    graph = GraphProto()
    for _ in range(30):
        outer = GraphProto()
        outer.node.add().attribute.add(name="g").g.CopyFrom(graph)
        graph = outer
    model.graph.CopyFrom(graph)


def custom_in_a_function(model: ModelProto) -> None:
    model.functions.add(name="f", domain="").node.add(op_type="Run", domain="evil")


@pytest.mark.parametrize("opset", OPSETS)
def test_standard_operators_in_one_file_pass(opset: int) -> None:
    check_graph_asks(a_model(opset=opset).SerializeToString(), "p.onnx")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (external, "weights in another file"),
        (external_in_a_branch, "weights in another file"),
        (nested, "nested deeper"),
        (custom_in_a_function, "domain 'evil'"),
    ],
)
def test_what_leaves_the_file_or_the_standard_is_refused(
    spoil: Callable[[ModelProto], None], words: str
) -> None:
    model = a_model()
    spoil(model)
    with pytest.raises(PolicyError, match=words):
        check_graph_asks(model.SerializeToString(), "p.onnx")


def test_an_operator_of_another_domain_is_found_inside_a_branch() -> None:
    with pytest.raises(PolicyError, match=r"domain 'com\.microsoft'"):
        check_graph_asks(a_model("com.microsoft").SerializeToString(), "p.onnx")


@pytest.mark.parametrize("opset", [1, OPSETS[0] - 1, OPSETS[-1] + 1])
def test_an_opset_of_another_time_is_refused_with_the_range(opset: int) -> None:
    with pytest.raises(PolicyError, match=rf"opset {opset}, .* {OPSETS[0]} to {OPSETS[-1]}"):
        check_graph_asks(a_model(opset=opset).SerializeToString(), "p.onnx")


def test_spoilt_bytes_are_refused_in_one_way_or_pass() -> None:
    rng, whole = random.Random(4), a_model().SerializeToString()
    for _ in range(3000):
        data = bytearray(whole[: rng.randrange(1, len(whole) + 1)])
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(DemoloopError):
            check_graph_asks(bytes(data), "p.onnx")


def test_a_file_above_the_cap_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # a hole: takes no room on the disk
    tracemalloc.start()
    with pytest.raises(PolicyError, match=f"at most {MAX_FILE_BYTES}"):
        OnnxPolicy.load(path)
    _, peak = tracemalloc.get_traced_memory()  # bytes
    tracemalloc.stop()
    assert peak < 1 << 20


def test_millions_of_empty_fields_are_refused() -> None:
    with pytest.raises(DemoloopError, match="more than 1000000 fields"):
        check_graph_asks(b"\x08\x00" * 1_000_001, "p.onnx")
