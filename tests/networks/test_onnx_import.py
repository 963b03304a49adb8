"""ONNX models as layer tables: the models that onnx ships, and operators against counts by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_samples import constant, model, node, weights, whole

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.networks import Network, Op, from_onnx, load, zoo
from codesign_gym.simulators.networks.onnx_operators import FREE, ROWS
from codesign_gym.simulators.networks.onnx_tensors import FOLDED, REARRANGING

LIGHT = Path(onnx.backend.test.__file__).parent / "data" / "light"

#: Millions of multiply-accumulates of the models without weights that onnx ships.
SHIPPED = {
    "bvlc_alexnet": 654.6,
    "densenet121": 2834.2,
    "inception_v1": 1431.6,
    "inception_v2": 2018.9,
    "resnet50": 4089.2,
    "shufflenet": 124.7,
    "squeezenet": 349.2,
    "vgg19": 19632.1,
    "zfnet512": 1481.7,
}

Import = Callable[..., Network]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Write a model and import it."""

    def through_a_file(made: onnx.ModelProto, input_shapes=None) -> Network:
        path = tmp_path / "model.onnx"
        path.write_bytes(made.SerializeToString())
        return from_onnx(path, input_shapes)

    return through_a_file


def columns(net: Network, index: int = 0) -> dict[str, int]:
    names = ("op", "groups", "macs", "parameters", "weights")
    return {name: int(getattr(net.layers, name)[index]) for name in names}


@pytest.mark.parametrize("name", SHIPPED)
def test_models_without_weights_have_their_published_macs(name: str) -> None:
    net = from_onnx(LIGHT / f"light_{name}.onnx")
    assert round(net.macs.sum() / 1e6, 1) == SHIPPED[name]
    assert (net.macs > 0).tolist() == net.layers.multiplies.tolist()


@pytest.mark.parametrize(("shipped", "same"), [("resnet50", zoo.resnet50), ("squeezenet", zoo.squeezenet)])
def test_shipped_models_equal_the_zoo(shipped: str, same: Callable[[], Network]) -> None:
    net, expected = from_onnx(LIGHT / f"light_{shipped}.onnx"), same()
    assert sorted(net.weighted().macs) == sorted(expected.weighted().macs)
    assert net.parameters.sum() == expected.parameters.sum()


INT8, UINT8, INT32 = TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32
QUANTIZED = [
    weights("w", 6, 4, 3, 3, kind=INT8),
    weights("s"),
    weights("z", kind=UINT8),
    weights("n", kind=INT8),
    weights("b", 6, kind=INT32),
]
KERNEL = weights("w", 6, 4, 3, 3)

#: Node, stored tensors, and its row: kind, groups, multiplications, trained numbers. It reads x, of 1 x 4 x 8 x 8.
LAYERS = {
    "dense": (node("Conv", "x w b", pads=[1] * 4), [KERNEL, weights("b", 6)], Op.CONV, 1, 64 * 216, 222),
    "strided": (node("Conv", "x w", strides=[2, 2]), [KERNEL], Op.CONV, 1, 9 * 216, 216),
    "grouped": (node("Conv", "x w", group=2), [weights("w", 6, 2, 3, 3)], Op.CONV, 2, 36 * 108, 108),
    "depthwise": (node("Conv", "x w", group=4), [weights("w", 4, 1, 5, 5)], Op.CONV, 4, 16 * 100, 100),
    "dilated": (node("Conv", "x w", dilations=[2, 2]), [KERNEL], Op.CONV, 1, 16 * 216, 216),
    "padded": (node("Conv", "x w", auto_pad="SAME_UPPER", strides=[3, 3]), [KERNEL], Op.CONV, 1, 9 * 216, 216),
    "transposed": (
        node("ConvTranspose", "x w b", strides=[2, 2], group=2),
        [weights("w", 4, 3, 2, 2), weights("b", 6)],
        Op.LINEAR,
        2,
        64 * 4 * 3 * 4,
        54,
    ),
    "quantized": (node("QLinearConv", "q s z w s n s z b"), QUANTIZED, Op.CONV, 1, 36 * 216, 216),
    "product": (node("MatMul", "x w"), [weights("w", 8, 5)], Op.LINEAR, 1, 32 * 40, 40),
    "vector": (node("MatMul", "x w"), [weights("w", 8)], Op.LINEAR, 1, 32 * 8, 8),
    "experts": (node("MatMul", "x w"), [weights("w", 4, 8, 5)], Op.LINEAR, 4, 32 * 40, 160),
    "weights first": (node("MatMul", "w x"), [weights("w", 5, 8)], Op.LINEAR, 1, 32 * 40, 40),
    "einsum": (node("Einsum", "x w", equation="bchw,cd->bdhw"), [weights("w", 4, 5)], Op.LINEAR, 1, 64 * 20, 20),
    "squared": (node("MatMul", "x x"), [], Op.MATMUL, 4, 4 * 8 * 8 * 8, 0),
    "batch norm": (node("BatchNormalization", "x s b m v"), [weights(n, 4) for n in "sbmv"], Op.NORM, 1, 0, 8),
    "layer norm": (node("LayerNormalization", "x s b"), [weights(n, 8) for n in "sb"], Op.NORM, 1, 0, 16),
    "pool": (node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2]), [], Op.POOL, 1, 0, 0),
    "global pool": (node("GlobalAveragePool", "x"), [], Op.POOL, 1, 0, 0),
    "mean": (node("ReduceMean", "x", axes=[2, 3], keepdims=0), [], Op.POOL, 1, 0, 0),
    "bias": (node("Add", "x b"), [weights("b", 4, 1, 1)], Op.ELEMENTWISE, 1, 0, 4),
    "scalar": (node("Div", "x b"), [weights("b")], Op.ELEMENTWISE, 1, 0, 0),
    "slope": (node("PRelu", "x b"), [weights("b", 1)], Op.ACTIVATION, 1, 0, 1),
    "softmax": (node("Softmax", "x"), [], Op.ACTIVATION, 1, 0, 0),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_kind_of_layer_against_a_count_by_hand(layer: str, imported: Import) -> None:
    made, stored, op, groups, macs, trained = LAYERS[layer]
    before = [node("MatMul", "in eye", "x"), node("Cast", "x", "q", to=UINT8)]
    net = imported(model([*before, made], {"in": (1, 4, 8, 8)}, [*stored, weights("eye", 8, 8)]))
    assert len(net) == 2
    row = columns(net, 1)
    assert (row["op"], row["groups"], row["macs"], row["parameters"]) == (op, groups, macs, trained)


@pytest.mark.parametrize(("transposed", "shape"), [(0, (8, 5)), (1, (5, 8))])
def test_gemm_takes_weights_either_way(transposed: int, shape: tuple[int, int], imported: Import) -> None:
    made = node("Gemm", "x w b", transB=transposed)
    net = imported(model([made], {"x": (1, 8)}, [weights("w", *shape), weights("b", 5)]))
    assert columns(net) == {"op": Op.LINEAR, "groups": 1, "macs": 40, "parameters": 45, "weights": 40}


@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers(operator: str, gates: int, directions: int, imported: Import) -> None:
    shapes = [(directions, gates * 6, 5), (directions, gates * 6, 6), (directions, 2 * gates * 6)]
    stored = [weights(name, *shape) for name, shape in zip("wrb", shapes, strict=True)]
    made = node(operator, "x w r b", hidden_size=6, direction="bidirectional" if directions == 2 else "forward")
    net = imported(model([made], {"x": (7, 1, 5)}, stored))
    assert net.layer_names == ("y.input", "y.recurrence", "y.gates", "y.state")
    assert net.macs.tolist() == [7 * directions * gates * 6 * 5, 7 * directions * gates * 6 * 6, 0, 0]
    assert net.parameters.sum() == sum(prod(shape) for shape in shapes)
    assert net.layers.steps.tolist() == [1, 7, 7, 7]
    assert net.layers.positions.tolist() == [7, 1, 1, 1]


@pytest.mark.parametrize(("layout", "steps"), [(0, 7), (1, 3)])
def test_the_layout_of_a_recurrent_layer_tells_its_steps(layout: int, steps: int, imported: Import) -> None:
    stored = [weights("w", 1, 24, 5), weights("r", 1, 24, 6)]
    made = node("LSTM", "x w r", hidden_size=6, layout=layout)
    net = imported(model([made], {"x": (7, 3, 5)}, stored, opset=14))
    assert net.macs.tolist() == [21 * 24 * 5, 21 * 24 * 6, 0, 0]
    assert net.layers.steps.tolist() == [1, steps, steps, steps]
    assert net.layers.positions.tolist() == [21, *[21 // steps] * 3]


def test_attention_by_products_and_as_one_operator_are_the_same(imported: Import) -> None:
    nodes = [
        node("Transpose", "k", "t", perm=[0, 1, 3, 2]),
        node("MatMul", "q t", "scores"),
        node("Softmax", "scores", "softmax"),
        node("MatMul", "softmax v", "values"),
    ]
    inputs = {"q": (1, 3, 7, 8), "k": (1, 3, 9, 8), "v": (1, 3, 9, 4)}
    apart = imported(model(nodes, inputs))
    one = imported(model([node("Attention", "q k v")], inputs, opset=23))
    assert one.layer_names == ("y.scores", "y.softmax", "y.values")
    assert one.macs.tolist() == apart.macs.tolist() == [3 * 7 * 9 * 8, 0, 3 * 7 * 9 * 4]
    for sizes in zip(one.layers.gemm, apart.layers.gemm, strict=True):
        assert sizes[0].tolist() == sizes[1].tolist()
    assert one.layers.gemm.count.tolist() == [3, 0, 3]


def test_several_heads_of_queries_share_one_of_keys(imported: Import) -> None:
    made = node("Attention", "q k v", q_num_heads=4, kv_num_heads=2)
    net = imported(model([made], {"q": (1, 7, 32), "k": (1, 9, 16), "v": (1, 9, 16)}, opset=23))
    assert net.macs.tolist() == [4 * 7 * 9 * 8, 0, 4 * 7 * 9 * 8]
    assert net.layers.groups.tolist() == [2, 1, 2]


def test_embeddings_hold_their_table(imported: Import) -> None:
    nodes = [node("Gather", "table x", "e"), node("MatMul", "e w")]
    stored = [weights("table", 100, 16), weights("w", 16, 3)]
    net = imported(model(nodes, {"x": (1, 12)}, stored, TensorProto.INT64))
    assert net.layers.op.tolist() == [Op.EMBEDDING, Op.LINEAR]
    assert net.parameters.tolist() == [1600, 48]
    assert net.layers.out_elements.tolist() == [12 * 16, 12 * 3]


@pytest.mark.parametrize(
    "before",
    [
        [constant("w", weights("", 6, 4, 3, 3))],
        [constant("s", whole("", 6, 4, 3, 3)), node("ConstantOfShape", "s", "w")],
        [constant("c", weights("", 3, 3, 4, 6)), node("Transpose", "c", "w", perm=[3, 2, 0, 1])],
    ],
)
def test_weights_need_not_be_initialisers(before: list[onnx.NodeProto], imported: Import) -> None:
    net = imported(model([*before, node("Conv", "x w")], {"x": (1, 4, 8, 8)}))
    assert columns(net)["weights"] == 216


def test_weights_beside_the_file_are_not_read(imported: Import) -> None:
    away = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 5], data_location=TensorProto.EXTERNAL)
    away.external_data.add(key="location", value="absent.bin")
    assert columns(imported(model([node("MatMul", "x w")], {"x": (2, 8)}, [away])))["weights"] == 40


def test_shapes_that_the_graph_computes_are_followed(imported: Import) -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "batch"),
        node("Mul", "batch one", "same"),
        node("Concat", "same minus", "target", axis=0),
        node("Reshape", "x target", "flat"),
        node("MatMul", "flat w"),
    ]
    stored = [whole("zero", 0), whole("one", 1), whole("minus", -1), weights("w", 256, 3)]
    made = model(nodes, {"x": ("batch", 4, "height", "width")}, stored)
    for given_sizes in ({"x": (1, 4, 8, 8)}, (1, 4, 8, 8)):
        assert imported(made, given_sizes).macs.tolist() == [256 * 3]


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    outer=st.lists(st.integers(1, 3), max_size=3),
    ones=st.tuples(st.integers(0, 7), st.integers(0, 7)),
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    stored=st.booleans(),
)
def test_products_broadcast_as_numpy_does(outer, ones, sizes, stored, imported: Import) -> None:
    m, k, n = sizes
    left, right = ([1 if mask >> i & 1 else size for i, size in enumerate(outer)] for mask in ones)
    first, second = (*left, m, k), (*right, k, n)
    inputs = {"x": first} if stored else {"x": first, "w": second}
    net = imported(model([node("MatMul", "x w")], inputs, [weights("w", *second)] if stored else []))
    output = np.matmul(np.zeros(first), np.zeros(second))
    assert columns(net)["macs"] == output.size * k
    assert columns(net)["weights"] == (prod(second) if stored else 0)


@pytest.mark.parametrize(
    ("sizes", "given_sizes", "message"),
    [
        (
            ("N", 4, 8, 8),
            None,
            r"input 'x': dimension 0, 'N', has no size; accepted: input_shapes={'x': \(N, 4, 8, 8\)",
        ),
        ((1, 4, None, 8), None, r"input 'x': dimension 2, '\?', has no size"),
        (None, None, r"input 'x': dimension 0, '\.\.\.', has no size"),
        ((1, 4, 8, 8), {"data": (1, 4, 8, 8)}, "input_shapes has 'data'; known: x"),
        ((1, 4, 8, 8), {"x": (4, 8, 8)}, r"input_shapes\['x'\] is \(4, 8, 8\); accepted: 4 sizes"),
        ((1, 4, 8, 8), {"x": (1, 4, 0, 8)}, "accepted: positive integers"),
    ],
)
def test_open_sizes_are_named(sizes, given_sizes, message: str, imported: Import) -> None:
    with pytest.raises(BadConfig, match=message):
        imported(model([node("Conv", "x w")], {"x": sizes}, [KERNEL]), given_sizes)


def test_open_sizes_name_the_option_of_the_command_line(imported: Import) -> None:
    with pytest.raises(BadConfig, match=r"or on the command line --input-shape 4,height,width, without the batch$"):
        imported(model([node("Conv", "x w")], {"x": ("N", 4, "height", "width")}, [KERNEL]))
    with pytest.raises(BadConfig, match=r"--input-shape x=N,2 for each input$"):
        imported(model([node("MatMul", "x k")], {"x": ("N", 2), "k": (2, 2)}))


def test_a_shape_may_have_the_batch_dimension_or_not(tmp_path: Path) -> None:
    path = tmp_path / "open.onnx"
    path.write_bytes(model([node("Conv", "x w")], {"x": ("N", 4, "height", "width")}, [KERNEL]).SerializeToString())
    expected = from_onnx(path, (1, 4, 8, 8)).macs.tolist()
    for shape in ((4, 8, 8), (1, 4, 8, 8)):
        assert load(str(path), shape).macs.tolist() == expected
    for shape in ((2, 4, 8, 8), (1, 1, 4, 8, 8), (8, 8)):
        with pytest.raises(BadConfig, match="accepted: 4 sizes"):
            load(str(path), shape)


def test_a_fixed_batch_is_one_run_of_so_many_images(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("MaxPool", "c", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", "p up", "u", strides=[2, 2]),
        node("Flatten", "u", "f"),
        node("Gemm", "f d"),
    ]
    stored = [weights("w", 6, 4, 3, 3), weights("up", 6, 2, 2, 2), weights("d", 2 * 4 * 4, 10)]
    found = {}
    for batch in (1, 4):
        path = tmp_path / f"{batch}.onnx"
        path.write_bytes(model(nodes, {"x": (batch, 4, 8, 8)}, stored).SerializeToString())
        found[batch] = load(str(path)).layers
    for quantity, times in (("macs", 4), ("in_elements", 4), ("out_elements", 4), ("weights", 1)):
        np.testing.assert_array_equal(getattr(found[4], quantity), times * getattr(found[1], quantity))


def test_sizes_alone_are_for_a_single_input(imported: Import) -> None:
    with pytest.raises(BadConfig, match="accepted: sizes by name, for the inputs x, k"):
        imported(model([node("MatMul", "x k")], {"x": (2, 2), "k": (2, 2)}), (2, 2))


def test_the_tables_name_operators_that_onnx_has() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain}
    assert not {*ROWS, *FREE, *FOLDED, *REARRANGING} - known
    assert not ROWS.keys() & FREE
