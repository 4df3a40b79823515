"""GraphView describes a graph completely and briefly, and changes nothing."""

import dataclasses
import gc
import json
import sys
from typing import Any
from weakref import ref

import numpy as np
import pytest

from tinygrad_nn import Tensor, affine, backward, detect_anomaly, no_grad, relu, softmax_crossentropy
from tinygrad_nn.graph import root_mean_square
from tinygrad_nn.graph.view import GraphEdge, GraphView, short_number, summarize
from tinygrad_nn.node import scope
from tinygrad_nn.primitive import REGISTRY


def slots(view: GraphView) -> list[tuple[int, int, int]]:
    return [(edge.source, edge.target, edge.slot) for edge in view.edges]


def labels(view: GraphView) -> list[str]:
    return [node.name or node.operation or node.value.text for node in view]


# -- Nodes and edges


def test_numbers_are_topological_and_constants_come_right_before_their_first_use() -> None:
    x = Tensor(3.0, name="x")
    view = GraphView(np.sin(x * 2.0) + 5.0)
    assert labels(view) == ["x", "2", "multiply", "sin", "5", "add"]
    assert [node.number for node in view] == list(range(6))
    assert [node.kind for node in view] == ["leaf", "constant", "operation", "operation", "constant", "output"]
    assert slots(view) == [(0, 2, 0), (1, 2, 1), (2, 3, 0), (3, 5, 0), (4, 5, 1)]
    assert view.outputs == (5,)


def test_a_value_used_twice_has_two_edges() -> None:
    x = Tensor(3.0)
    assert slots(GraphView(x * x)) == [(0, 1, 0), (0, 1, 1)]


def test_an_array_used_twice_is_one_constant_and_a_number_is_one_at_each_use() -> None:
    x, c = Tensor([1.0, 2.0]), np.array([3.0, 4.0])
    view = GraphView((x * c + c) * 2.0 + 2.0)
    constants = [node for node in view if node.kind == "constant"]
    assert [node.value.text for node in constants] == ["[3, 4]", "2", "2"]
    assert [edge.target for edge in view.edges if edge.source == constants[0].number] == [2, 3]
    assert len([n for n in GraphView(x * c + c.copy()) if n.kind == "constant"]) == 2


def test_what_a_node_says_is_what_the_engine_holds() -> None:
    x, W, b = Tensor(np.ones((5, 3)), name="x"), Tensor(np.full((2, 3), 0.5), name="W"), Tensor(np.zeros(2), name="b")
    with scope("net"), scope("first"):
        z = affine(x, W, b)
    z.name = "z"
    node = GraphView(z).find("z")
    affine_row = REGISTRY["affine"]
    assert (node.operation, node.scope, node.shape, node.dtype) == ("affine", "net.first", (5, 2), "float64")
    assert (node.tex, node.rules) == (affine_row.tex, affine_row.rule_tex)
    assert node.array is not z.data
    assert np.shares_memory(node.array, z.data)


def test_metadata_is_short_and_leaves_out_defaults_and_what_the_forward_saved() -> None:
    x = Tensor(np.ones((2, 3)))
    assert GraphView(x.sum(axis=1, keepdims=True))[1].metadata == "axis=1, keepdims=True"
    assert GraphView(x.sum())[1].metadata == ""
    assert GraphView(x[0, 1:])[1].metadata == "index=(0, 1:)"
    assert GraphView(x[..., ::2])[1].metadata == "index=(..., ::2)"
    assert GraphView(x[np.arange(2), [1, 0]])[1].metadata == "index=([0, 1], [1, 0])"
    assert GraphView(x[np.zeros(50, int)])[1].metadata == "index=int64[50]"
    assert GraphView(softmax_crossentropy(x, np.ones((2, 3))))[2].metadata == ""


def test_constants_are_named_by_their_tensor_or_by_the_caller() -> None:
    x = Tensor(2.0)
    k = Tensor(3.0, requires_grad=False, name="k")
    array = np.array([1.0, 2.0])
    view = GraphView(x * k + array, names={"x": x, "a": array, "other": 3})
    assert labels(view) == ["x", "k", "multiply", "a", "add"]
    assert x.name is None, "names for a view are not given to the tensors"
    assert GraphView(x * k, names={"y": k})[1].name == "k", "a name of its own comes first"


def test_several_results_make_one_graph() -> None:
    x = Tensor(2.0, name="x")
    y = x * x
    z = np.exp(y)
    for results in ([y, z], (y, z), {"y": y, "z": z}):
        view = GraphView(results)
        assert [node.kind for node in view] == ["leaf", "output", "output"]
        assert view.outputs == (1, 2)


def test_a_constant_and_a_leaf_are_single_nodes() -> None:
    with no_grad():
        constant = Tensor(2.0) * 3.0
    constant.name = "six"
    (node,) = GraphView(constant)
    assert (node.kind, node.name, node.value.text) == ("constant", "six", "6")
    (leaf,) = GraphView(Tensor([1.0]))
    assert leaf.kind == "leaf"


def test_a_result_may_be_nested_as_a_model_returns_it() -> None:
    a, b, c = (Tensor(1.0) * k for k in range(3))
    view = GraphView((a, {"state": (b, [c, None])}))
    assert [view[number].node for number in view.outputs] == [a.node, b.node, c.node]


@pytest.mark.parametrize("wrong", [3.0, np.ones(2), [], [Tensor(1.0), 2.0], None, "x", [[], {}], (Tensor(1.0), [3.0])])
def test_values_without_a_graph_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a graph belongs to a Tensor"):
        GraphView(wrong)


# -- Values and gradients


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (3.0, "3"),
        (2 / 3, "0.6667"),
        (-0.0, "0"),
        (123456.0, "1.235e+05"),
        ([1.0, 2.5], "[1, 2.5]"),
        ([[1.0, np.nan], [-np.inf, 0.0]], "[[1, nan], [-inf, 0]]"),
        (np.arange(12.0).reshape(3, 4), "min 0 mean 5.5 max 11"),
        ([1.0, 2.0, 3.0, np.nan, np.inf, 6.0, 6.0], "min 1 mean 3.6 max 6 1 nan 1 inf"),
        (np.full(9, np.nan), "9 nan"),
        (np.zeros((0, 4)), "empty"),
        ([True, False], "[True, False]"),
        (np.arange(9) % 2 == 0, "min 0 mean 0.5556 max 1"),
        ([1 + 2j, -3j], "[1+2j, 0-3j]"),
        (np.full(8, 3 + 4j), "abs min 5 mean 5 max 5"),
        (np.full(9, 1e308), "min 1e+308 mean inf max 1e+308"),
    ],
)
def test_values_in_short(array: Any, text: str) -> None:
    summary = summarize(np.asarray(array))
    assert summary.text == text
    assert (summary.numbers is None) is (np.size(array) > 6)


@pytest.mark.parametrize("size", [1e-200, 1e-320, 1e200, 1e-3])
@pytest.mark.parametrize("count", [4, 100])
def test_a_norm_is_right_where_its_squares_are_no_floats(size: float, count: int) -> None:
    x = np.full(count, -size)
    assert summarize(x).norm == pytest.approx(size * count**0.5, rel=1e-3)  # of four digits; a few bits below 1e-308
    assert root_mean_square(x) == pytest.approx(size, rel=1e-3)
    assert [root_mean_square(np.full(count, y)) for y in (0.0, np.inf)] == [0.0, np.inf]
    assert root_mean_square(np.array([])) == 0.0


def test_a_mean_that_is_nothing_but_rounding_is_zero() -> None:
    x = np.array([0.1, 0.2, 0.3, -0.6, 0.0, 0.0, 0.0, 0.0])
    assert x.mean() != 0
    assert summarize(x).mean == 0


def test_gradients_are_those_that_backward_left() -> None:
    x, w = Tensor([1.0, 2.0], name="x"), Tensor(3.0, name="w")
    y = x * w
    loss = y.sum()
    assert all(node.grad is None and node.grad_array is None for node in GraphView(loss))
    loss.backward(retain_graph=True)
    assert [node.grad and node.grad.text for node in GraphView(loss)] == ["[3, 3]", "3", None, None]
    loss.backward(retain_graph=True, retain_grads=True)
    view = GraphView(loss)
    assert [node.grad and node.grad.text for node in view] == ["[6, 6]", "6", "[1, 1]", "1"]
    assert view[0].grad_array is not None
    assert np.array_equal(view[0].grad_array, x.grad)


def test_the_line_of_an_operation_is_there_under_anomaly_detection() -> None:
    with detect_anomaly():
        y = Tensor(1.0) + 1.0
    line = GraphView(y)[2].line
    assert line is not None
    assert line[0] == __file__


# -- Frozen, and harmless


def test_building_a_view_changes_nothing() -> None:
    x = Tensor([1.0, -2.0], name="x")
    y = relu(x * np.array([2.0, 2.0])).sum()
    node = y.node
    assert node is not None
    before = [(n.x, n.y, n.p, n.q, n.out, n.meta, n.notes, n.grad, n.index) for n in backward.ancestors((node,))]
    GraphView(y, names={"y": y}).to_json()
    after = [(n.x, n.y, n.p, n.q, n.out, n.meta, n.notes, n.grad, n.index) for n in backward.ancestors((node,))]
    assert all(a is b for old, new in zip(before, after, strict=True) for a, b in zip(old, new, strict=True))
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 0.0]


def test_a_view_is_frozen() -> None:
    view = GraphView(Tensor([1.0, 2.0]) * 2.0)
    with pytest.raises(AttributeError, match="frozen"):
        view.nodes = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        view[0].name = "y"
    with pytest.raises(dataclasses.FrozenInstanceError):
        view.edges[0].slot = 3
    with pytest.raises(ValueError, match="read-only"):
        view[0].array[0] = 5.0


def test_a_view_outlives_the_graph_and_a_freed_graph_is_refused() -> None:
    x = Tensor(2.0, name="x")
    y = x * x
    view = GraphView(y)
    y.backward()
    assert view[1].value.text == "4"
    with pytest.raises(RuntimeError, match="this graph was freed by an earlier backward"):
        GraphView(y)
    with pytest.raises(RuntimeError, match="freed"):
        GraphView(y + 1.0)


# -- Finding and telling


def test_lookups_by_number_and_name() -> None:
    x = Tensor(2.0, name="weights")
    view = GraphView(x * Tensor(1.0, name="twin") * Tensor(3.0, name="twin"))
    assert view.find("weights") is view[0]
    assert len(view) == 5
    with pytest.raises(KeyError, match="did you mean 'weights'"):
        view.find("weight")
    with pytest.raises(KeyError, match="it has 'twin', 'weights'"):
        view.find("zzz")
    with pytest.raises(ValueError, match=r"2 nodes are named 'twin': view\[1\], view\[3\]"):
        view.find("twin")
    for number in (5, -1):
        with pytest.raises(IndexError, match="nodes 0 to 4"):
            view[number]


def test_json_is_strict_ascii_and_cannot_close_a_script() -> None:
    x = Tensor([np.nan, np.inf], name='</script><img onerror=1>&"\\\n\u2028\ud800 é')
    text = GraphView(x * 1.0).to_json()
    assert text.isascii()
    assert not set("<>&\n") & set(text)
    told = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert told["nodes"][0]["name"] == x.name
    assert told["nodes"][0]["value"]["numbers"] == ["nan", "inf"]
    assert told["edges"] == [{"source": 0, "target": 2, "slot": 0}, {"source": 1, "target": 2, "slot": 1}]
    assert told["outputs"] == [2]
    assert told == json.loads(GraphView(x * 1.0).to_json(indent=2))


def test_huge_numbers_are_valid_json() -> None:
    json.loads(GraphView(Tensor(np.full(9, 1.797e308))).to_json(), parse_constant=pytest.fail)


@pytest.mark.parametrize("number", [0.1 + 0.2, np.float32(0.3), 10**6, 1e-300])
def test_numbers_have_four_digits(number: Any) -> None:
    assert float(short_number(number)) == pytest.approx(float(number), rel=1e-4)


# -- Size


def test_a_chain_of_100000_does_not_recurse() -> None:
    y = x = Tensor(1.0)
    for _ in range(100_000):
        y = -y
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100 + len_of_stack())
    try:
        view = GraphView(y)
    finally:
        sys.setrecursionlimit(before)
    assert len(view) == 100_001
    assert view.edges[-1] == GraphEdge(99_999, 100_000, 0)
    assert view[0].array.base is x.data


def test_sixty_doublings_are_61_nodes() -> None:
    y = Tensor(1.0)
    for _ in range(60):
        y = y + y
    view = GraphView(y)
    assert (len(view), len(view.edges)) == (61, 120)


def test_a_view_keeps_no_node_alive() -> None:
    y = Tensor(1.0) * 2.0
    view = GraphView(y)
    node = ref(y.node)
    gc.disable()
    try:
        del y
        assert node() is None
    finally:
        gc.enable()
    assert view[2].value.text == "2"


def len_of_stack() -> int:
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth
