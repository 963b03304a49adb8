"""Files that are no models, or models that no network is: a clear line at once, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_samples import constant, model, node, weights, whole
from test_onnx_import import LIGHT

from codesign_gym.errors import CodesignError, StorageError, UnsupportedNetwork
from codesign_gym.simulators.networks import from_onnx

X = {"x": (1, 4, 8, 8)}
HUGE = 2**40
KERNEL = weights("w", 6, 4, 3, 3)


def stated(*dims: int) -> onnx.TensorProto:
    """A tensor that states sizes and holds nothing."""
    return onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)


def custom() -> onnx.ModelProto:
    nodes = [
        helper.make_node("NonZero", ["x"], ["a"], name="find"),
        helper.make_node("Fused", ["a"], ["b"], domain="com.example"),
        helper.make_node("NonZero", ["b"], ["c"]),
    ]
    return model(nodes, X)


def calling_itself() -> onnx.ModelProto:
    made = model([helper.make_node("Again", ["x"], ["y"], domain="own")], X)
    again = helper.make_node("Again", ["x"], ["y"], domain="own")
    made.functions.append(helper.make_function("own", "Again", ["x"], ["y"], [again], made.opset_import))
    return made


def branching() -> onnx.ModelProto:
    value = helper.make_tensor_value_info("v", TensorProto.FLOAT, [1])
    inside = helper.make_graph([node("Identity", "x", "v")], "inside", [], [value])
    return model([helper.make_node("If", ["c"], ["y"], then_branch=inside, else_branch=inside)], X, [weights("c")])


def of_opset(version: int) -> onnx.ModelProto:
    return model([node("Conv", "x w")], X, [KERNEL], opset=version)


REFUSED = {
    "unsupported operators: 'NonZero' in 'find' and 1 more, 'com.example.Fused' in 'b'": custom(),
    "unsupported operators: 'If' in 'y'": branching(),
    "functions of its own: 'Again'; accepted: a model in which": calling_itself(),
    "node 'a' reads 'b', which a later node makes: the graph is cyclic": model(
        [node("Add", "x b", "a"), node("Relu", "a", "b")], X
    ),
    "node 'y' reads 'absent', which nothing makes": model([node("Add", "x absent")], X),
    "tensor 'y' is made twice": model([node("Relu", "x"), node("Relu", "x")], X),
    "operator set 99 of ONNX; accepted: 1 to": of_opset(99),
    "has no layer that multiplies": model([node("Relu", "x")], X),
    r"node 'y' \(Conv\): a convolution of \[1, 4, 8, 8\] with weights \[6, 3, 3, 3\] in 1 groups": model(
        [node("Conv", "x w")], X, [weights("w", 6, 3, 3, 3)]
    ),
    r"node 'y' \(Conv\): stride \(2, 1\); accepted: the same stride": model(
        [node("Conv", "x w", strides=[2, 1])], X, [KERNEL]
    ),
    r"node 'y' \(Conv\): Attribute strides must only contain positive": model(
        [node("Conv", "x w", strides=[0, 0])], X, [KERNEL]
    ),
    "weights that depend on the network's input": model([node("Conv", "x x")], X),
    r"node 'y' \(Conv\): a convolution of \[1, 4, 8, 8, 8\]": model(
        [node("Conv", "x w")], {"x": (1, 4, 8, 8, 8)}, [weights("w", 6, 4, 3, 3, 3)]
    ),
    r"node 'y' \(MatMul\): .*[Ii]ncompatible dimensions": model([node("MatMul", "x w")], X, [weights("w", 7, 5)]),
    r"it makes \[7, 7\] of \[1, 4, 8, 8\]": model(
        [node("Reshape", "x s", "f"), node("MatMul", "f w")], X, [whole("s", 7, 7), weights("w", 7, 5)]
    ),
    r"attention of \(3, 7, 8\) to keys \(3, 9, 6\) and values \(3, 9, 6\)": model(
        [node("Attention", "q k k")], {"q": (1, 3, 7, 8), "k": (1, 3, 9, 6)}, opset=23
    ),
    r"a recurrent layer over \[7, 1, 5\] with weights \[1, 24, 9\] and \[1, 24, 6\]": model(
        [node("LSTM", "x w r", hidden_size=6)], {"x": (7, 1, 5)}, [weights("w", 1, 24, 9), weights("r", 1, 24, 6)]
    ),
    "node 'y' reads 5000 tensors; accepted: 4096": model([node("Sum", "x " * 5000)], X),
    "attribute kernel_shape is .*; accepted: integers from 0": model(
        [node("MatMul", "x w", "a"), node("MaxPool", "a", kernel_shape=[2**62, 2], pads=[2**61, 0] * 2)],
        X,
        [weights("w", 8, 8)],
    ),
    r"node 'y' \(Conv\): attribute kernel_shape is \[5, 5\]; the weights' is \[3, 3\]": model(
        [node("Conv", "x w", kernel_shape=[5, 5])], X, [KERNEL]
    ),
    r"node 'y' \(ConvTranspose\): attribute kernel_shape is \[2, 3\]; the weights' is \[3, 3\]": model(
        [node("ConvTranspose", "x w", kernel_shape=[2, 3])], X, [weights("w", 4, 6, 3, 3)]
    ),
    "einsum 'bchw->bhwc'; accepted: a product of two": model([node("Einsum", "x", equation="bchw->bhwc")], X),
    r"tensor 'y' is \[1000000000000, 1000000000000\]; accepted: at most 2\*\*40": model(
        [constant("s", whole("", 10**12, 10**12)), node("ConstantOfShape", "s"), node("MatMul", "x y", "z")], X
    ),
    r"tensor 'w' is \[1099511627776, 1099511627776\]; accepted: at most": model(
        [node("MatMul", "x w")], X, [stated(HUGE, HUGE)]
    ),
    r"tensor 'w' is \[-8, 5\]; accepted": model([node("MatMul", "x w")], X, [stated(-8, 5)]),
    r"tensor 'x' is .*; accepted: at most 2\*\*40": model([node("Relu", "x")], {"x": (2**31, 2**31)}),
    "16 dimensions": model([node("Relu", "x")], {"x": (1,) * 1000}),
    "has no fixed shape": model(
        [node("ConstantOfShape", "x", "w", value=whole("", 0)), node("MatMul", "v w")],
        {"x": (10**9,), "v": (1, 8)},
        kind=TensorProto.INT64,
    ),
    "does not hold its": model([node("Reshape", "x w", "y"), node("MatMul", "y y", "z")], X, [stated(3)]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_network_is_one_clear_line(message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(REFUSED[message].SerializeToString())
    with pytest.raises(UnsupportedNetwork, match=message) as caught:
        from_onnx(path)
    assert str(caught.value).startswith("network 'bad.onnx'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no graph"),
        (b"not a model", "not an ONNX model, or cut off"),
        ((LIGHT / "light_squeezenet.onnx").read_bytes()[:-1], "not an ONNX model, or cut off"),
        ((LIGHT / "light_squeezenet.onnx").read_bytes().replace(b"Relu", b"R\xfflu"), "is not UTF-8"),
    ],
)
def test_what_is_no_model_is_one_clear_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=message):
        from_onnx(path)


@pytest.mark.parametrize(("place", "message"), [("absent", "No such file"), (".", "not a file")])
def test_paths_that_hold_no_file(place: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"cannot be read: {message}"):
        from_onnx(tmp_path / place)


def test_endless_files_are_not_read() -> None:
    with pytest.raises(StorageError, match="not a file"):
        from_onnx("/dev/zero")


#: Tens of layers, and a few bytes that hold as many kinds of operator as they can.
SOUND = {
    "squeezenet": (LIGHT / "light_squeezenet.onnx").read_bytes(),
    "small": model(
        [
            node("Gather", "table x", "e"),
            node("Shape", "e", "s"),
            node("Gather", "s last", "d"),
            node("Concat", "heads d", "t", axis=0),
            node("Reshape", "e t", "q"),
            node("Attention", "q q q", "a", q_num_heads=2, kv_num_heads=2),
            node("LSTM", "a w r b", "h", hidden_size=6),
            node("Einsum", "h u", "o", equation="tdbh,ho->tdbo"),
        ],
        {"x": (1, 12)},
        [
            weights("table", 10, 8),
            whole("last", 2),
            whole("heads", 12, 1),
            weights("w", 1, 24, 8),
            weights("r", 1, 24, 6),
            weights("b", 1, 48),
            weights("u", 6, 3),
        ],
        TensorProto.INT64,
        opset=23,
    ).SerializeToString(),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_to_be_damaged_is_sound(name: str, tmp_path: Path) -> None:
    (tmp_path / "sound.onnx").write_bytes(SOUND[name])
    assert outcome(tmp_path / "sound.onnx")[1] > 0


@pytest.mark.parametrize("name", SOUND)
@settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_files_are_refused_or_are_networks(name: str, data, tmp_path: Path) -> None:
    damaged = bytearray(SOUND[name])
    whole_length = len(damaged)
    flips = st.tuples(st.integers(0, whole_length - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(flips, max_size=4)):
        damaged[place] = value
    length = data.draw(st.one_of(st.just(whole_length), st.integers(0, whole_length)))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(damaged[:length])
    started = perf_counter()
    message, macs = outcome(path)
    assert "\n" not in message
    assert bool(message) != (macs > 0)
    assert perf_counter() - started < 5  # a tenth of a second on a free core


def outcome(path: Path) -> tuple[str, int]:
    """The message of a refusal, or the multiplications of a network."""
    try:
        return "", int(from_onnx(path).macs.sum())
    except CodesignError as error:
        return str(error), 0


def test_stated_sizes_take_no_memory(tmp_path: Path) -> None:
    """Every hostile model in a process that may not grow by more than a gibibyte."""
    for index, made in enumerate(REFUSED.values()):
        (tmp_path / f"{index}.onnx").write_bytes(made.SerializeToString())
    code = """
import resource, sys
import onnx, onnx.reference
from codesign_gym.errors import CodesignError
from codesign_gym.simulators.networks import from_onnx
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30,) * 2)
for path in sys.argv[1:]:
    try:
        from_onnx(path)
    except CodesignError:
        continue
    sys.exit(f"{path} was accepted")
"""
    paths = [str(path) for path in sorted(tmp_path.glob("*.onnx"))]
    done = subprocess.run([sys.executable, "-c", code, *paths], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_more_nodes_than_a_processor_reads_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codesign_gym.simulators.networks.onnx_import.MOST_NODES", 2)
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")]
    path = tmp_path / "long.onnx"
    path.write_bytes(model(nodes[:2], X, [KERNEL]).SerializeToString())
    assert len(from_onnx(path)) == 2
    path.write_bytes(model(nodes, X, [KERNEL]).SerializeToString())
    with pytest.raises(UnsupportedNetwork, match=r"long.onnx: 3 nodes; accepted: at most 2$"):
        from_onnx(path)


def test_chains_that_take_a_second_are_refused_by_their_length(tmp_path: Path) -> None:
    """Before anything is read of them: nodes, and inputs and outputs of nodes."""
    path = tmp_path / "long.onnx"
    path.write_bytes(model([node("Relu", "x", f"t{i}") for i in range(10_000)], X, []).SerializeToString())
    with pytest.raises(UnsupportedNetwork, match=r"long.onnx: 10000 nodes; accepted: at most 8000$"):
        from_onnx(path)
    sums = [node("Sum", "x " * 4000, f"t{i}") for i in range(10)]
    path.write_bytes(model(sums, X, []).SerializeToString())
    with pytest.raises(UnsupportedNetwork, match=r"nodes with 40010 inputs and outputs; accepted: at most 32000$"):
        from_onnx(path)


def test_a_chain_is_read_in_linear_time(tmp_path: Path) -> None:
    """Eight times the nodes may take eight times as long, with a margin for other work; quadratic would be 64 times."""
    seconds = {}
    for count in (500, 4000):
        nodes = [node("Conv", "x w", "t0"), *(node("Relu", f"t{i}", f"t{i + 1}") for i in range(count))]
        path = tmp_path / f"{count}.onnx"
        path.write_bytes(model(nodes, X, [KERNEL]).SerializeToString())
        times = []
        for _ in range(3):
            start = process_time()
            from_onnx(path)
            times.append(process_time() - start)
        seconds[count] = min(times)
    assert seconds[4000] < 24 * seconds[500]
