"""SCALE-Sim's topology files, in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codesign_gym.errors import CodesignError, StorageError, UnsupportedNetwork
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.networks import Op, from_csv, load, to_csv
from codesign_gym.simulators.networks.layers import network

CONVOLUTIONS = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,

Conv1, 224, 224, 3, 3, 3, 32, 2,
\tConv2_DP, 112, 110, 3, 5, 32, 2, 1,#depthwise
Conv3,28,28,1,1,256,128,1
Conv3, 16, 16, 3, 3, 8, 16, 2, 2,
Conv5, 16, 16, 3, 3, 8, 16, 2, 4:4,
"""


@pytest.fixture
def write(tmp_path: Path):
    def file(text: str | bytes) -> Path:
        path = tmp_path / "topology.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return file


def test_convolutions(write) -> None:
    net = from_csv(write(CONVOLUTIONS))
    assert net.name == "topology.csv"
    assert net.layer_names == ("Conv1", "Conv2_DP", "Conv3", "Conv3#2", "Conv5")
    # Without padding and rounded up: (16 - 3 + 2) / 2 gives 8, where a framework makes 7.
    assert net.layers.out_height.tolist() == [112, 110, 28, 8, 8]
    assert net.layers.out_width.tolist() == [112, 106, 28, 8, 8]
    assert net.macs.tolist() == [112**2 * 27 * 32, 110 * 106 * 15 * 64, 28**2 * 256 * 128, 64 * 72 * 16, 64 * 72 * 16]
    assert net.layers.groups.tolist() == [1, 32, 1, 1, 1]
    assert not net.layers.extra_parameters.any()


@pytest.mark.parametrize("end", ["", ",", ", 1:1,"])
def test_matrix_products(write, end: str) -> None:
    net = from_csv(write(f"Layer,M,N,K,\nfirst,196,192,384{end}\n"))
    assert net.layers.op.tolist() == [Op.LINEAR]
    assert net.macs.tolist() == [196 * 192 * 384]
    assert [size.tolist() for size in net.layers.gemm] == [[1], [196], [192], [384]]


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "alexnet", "squeezenet", "efficientnet-b0", "vit-small"])
def test_a_network_keeps_its_multiplications_through_a_file(name: str, tmp_path: Path) -> None:
    net = load(name)
    to_csv(net, tmp_path / "out.csv")
    back = from_csv(tmp_path / "out.csv")
    assert back.macs.sum() == net.macs.sum()
    if (net.layers.op != Op.MATMUL).all():
        assert back.macs.tolist() == net.macs[net.layers.multiplies].tolist()
    to_csv(back, tmp_path / "again.csv")
    assert from_csv(tmp_path / "again.csv").macs.tolist() == back.macs.tolist()


def test_time_steps_are_layers_of_their_own(tmp_path: Path) -> None:
    """The format knows no steps: whatever reads the file runs one after another, and counts the same."""
    net = load("lstm-medium")
    to_csv(net, tmp_path / "out.csv")
    back = from_csv(tmp_path / "out.csv")
    assert len(back) == 3 + 2 * 35
    assert back.macs.sum() == net.macs.sum()
    assert (back.layers.steps == 1).all()
    device = devices.load("systolic-edge")
    latency = [device.cost(n.layers, np.full((len(n), 2), 8)).latency_s.sum() for n in (net.weighted(), back)]
    assert latency[0] == pytest.approx(latency[1], rel=1e-12)
    endless = network("endless", [{"op": Op.LINEAR, "steps": 2**21}], ["cell"])
    with pytest.raises(UnsupportedNetwork, match="'endless': 2097152 groups and steps; accepted"):
        to_csv(endless, tmp_path / "endless.csv")


def test_heads_are_layers_of_their_own(tmp_path: Path) -> None:
    net = load("bert-base")
    to_csv(net, tmp_path / "bert.csv")
    text = (tmp_path / "bert.csv").read_text()
    assert text.startswith("Layer, M, N, K,\nencoder.layer.0.attention.self.query, 128, 768, 768,\n")
    assert "encoder.layer.0.attention.self.scores.11, 128, 128, 64,\n" in text
    assert from_csv(tmp_path / "bert.csv").macs.sum() == net.macs.sum()


sizes = st.integers(1, 12)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kernel=st.tuples(sizes, sizes),
    output=st.tuples(sizes, sizes),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    channels=st.tuples(sizes, sizes, st.integers(1, 4)),
    stride=st.integers(1, 4),
    name=st.text(min_size=1, max_size=8),
)
def test_any_convolution_keeps_its_multiplications(
    kernel, output, padding, channels, stride, name, tmp_path: Path
) -> None:
    entering, leaving, groups = channels
    entry = [max(1, (out - 1) * stride + k - 2 * pad) for out, k, pad in zip(output, kernel, padding, strict=True)]
    row = {
        "op": Op.CONV,
        "in_channels": entering * groups,
        "out_channels": leaving * groups,
        "groups": groups,
        "stride": stride,
        **dict(zip(("kernel_height", "kernel_width"), kernel, strict=True)),
        **dict(zip(("in_height", "in_width"), entry, strict=True)),
        **dict(zip(("out_height", "out_width"), output, strict=True)),
    }
    net = network("one", [row], [name])
    to_csv(net, tmp_path / "one.csv")
    back = from_csv(tmp_path / "one.csv")
    assert back.macs.sum() == net.macs.sum()
    assert back.layers.weights.sum() == net.layers.weights.sum()
    assert (back.layers.out_height == output[0]).all()
    assert (back.layers.out_width == output[1]).all()


HEADER = CONVOLUTIONS.splitlines()[0] + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no layers; accepted: a header, then a line a layer"),
        (HEADER, "no layers"),
        (HEADER + "a, 8, 8, 3, 3, 3, 4,", "topology.csv, line 2: 7 fields; accepted: 8: Layer name, IFMAP Height"),
        (HEADER + "\na, 8, 8, 3, 3, x, 4, 1,", "line 3: Channels is 'x'; accepted: a positive integer"),
        (HEADER + "a, 8, 8, 3, 3, 0, 4, 1,", "Channels is '0'; accepted: a positive integer"),
        (HEADER + "a, 8, 8, 3, 3, 3, -4, 1,", "Num Filter is '-4'; accepted: a positive integer"),
        (HEADER + "a, 8, 8, 3, 9, 3, 4, 1,", "Filter Width is 9; accepted: at most IFMAP Width, 8"),
        (HEADER + "a, 8, 8, 3, 3, 3, 4, 1, 2,", "strides 1 and 2; accepted: the same in both"),
        (HEADER + "a, 8, 8, 3, 3, 3, 4, 1, 2:4,", "9 fields; accepted: 8"),
        (HEADER + f"a, {10**15}, {10**15}, 1, 1, 9, 9, 1,", r"macs; accepted: at most 2\*\*53"),
        (HEADER + f"a, {10**30}, 8, 1, 1, 9, 9, 1,", "at most 19 digits"),
        ("Layer, M, N, K\na, 1, 2", "line 2: 3 fields; accepted: 4: Layer, M, N, K"),
    ],
)
def test_bad_lines_are_named(write, text: str, message: str) -> None:
    with pytest.raises(UnsupportedNetwork, match=message):
        from_csv(write(text))


def test_bad_files(write, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not a text file"):
        from_csv(write(b"\xff\xfe\x00"))
    with pytest.raises(StorageError, match="No such file"):
        from_csv(tmp_path / "absent.csv")
    with pytest.raises(StorageError):
        to_csv(load("resnet18"), tmp_path / "topology.csv" / "below.csv")


def test_a_batch_is_refused(tmp_path: Path) -> None:
    net = load("resnet18")
    batch = type(net)(net.name, net.layer_names, net.layers.with_batch(4))
    with pytest.raises(UnsupportedNetwork, match="accepted in a topology file: one image"):
        to_csv(batch, tmp_path / "batch.csv")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="a1290,:# \n\tDPMNK.-", max_size=120))
def test_any_text_is_refused_or_a_network(text: str, write) -> None:
    try:
        assert (from_csv(write(HEADER + text)).macs > 0).all()
    except CodesignError as error:
        one_line = "\n" not in str(error)
    else:
        one_line = True
    assert one_line


@pytest.mark.reference
def test_sizes_agree_with_the_simulator(references, write) -> None:
    """Of every convolution in the table, M, N and K as SCALE-Sim lowered it."""
    import pandas as pd

    table = pd.read_csv(references / "scalesim" / "scalesim_v3.csv").query("kind == 'conv'")
    shape = ["ifmap_h", "ifmap_w", "filt_h", "filt_w", "channels", "num_filters", "stride"]
    table = table.drop_duplicates(shape)
    lines = [f"layer{index}, " + ", ".join(map(str, row)) for index, row in enumerate(table[shape].astype(int).values)]
    net = from_csv(write(HEADER + "\n".join(lines)))
    expected = table[["gemm_M", "gemm_N", "gemm_K"]].to_numpy()
    assert np.stack(net.layers.gemm[1:], axis=-1).tolist() == expected.tolist()


def test_a_file_without_a_header_is_refused_and_loses_no_layer(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("c1,8,8,3,3,1,1,1,\nc2,8,8,3,3,1,2,1,\n")
    with pytest.raises(UnsupportedNetwork, match="line 1: 'c1,8,8,3,3,1,1,1,' is a layer; accepted: a header"):
        from_csv(path)
