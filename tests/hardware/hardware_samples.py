"""Random layers for the property tests, and the devices that ship."""

from hypothesis import strategies as st

from codesign_gym.simulators.hardware.device import CATALOG
from codesign_gym.simulators.networks.layers import Layers, Op, network

DEVICES = sorted(CATALOG.shipped())


def layers(*rows: dict[str, int]) -> Layers:
    return network("sample", list(rows), [f"layer{i}" for i in range(len(rows))]).layers


def conv(size: int, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> dict[str, int]:
    after = -(-size // stride)
    return {
        "op": Op.CONV,
        "in_channels": inputs,
        "out_channels": outputs,
        "kernel_height": kernel,
        "kernel_width": kernel,
        "stride": stride,
        "groups": groups,
        "in_height": size,
        "in_width": size,
        "out_height": after,
        "out_width": after,
    }


def linear(inputs: int, outputs: int) -> dict[str, int]:
    return {"op": Op.LINEAR, "in_channels": inputs, "out_channels": outputs}


@st.composite
def rows(draw: st.DrawFn) -> dict[str, int]:
    """A dense, grouped, depthwise or fully connected layer."""
    kind = draw(st.sampled_from(["dense", "grouped", "depthwise", "linear"]))
    width = draw(st.sampled_from([1, 3, 8, 24, 70]))
    outputs = draw(st.sampled_from([1, 10, 32, 96]))
    if kind == "linear":
        return linear(width, outputs)
    size, kernel, stride = draw(st.sampled_from([(1, 1, 1), (6, 3, 1), (14, 1, 1), (15, 5, 2), (28, 3, 2)]))
    if kind == "dense":
        return conv(size, width, outputs, kernel, stride)
    if kind == "depthwise":
        return conv(size, width, width, kernel, stride, groups=width)
    return conv(size, 2 * width, 2 * outputs, kernel, stride, groups=2)
