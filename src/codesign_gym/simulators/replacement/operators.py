"""What may stand in a trained convolution's place: operators as chains of convolutions, and their rows.

LANA (Molchanov et al., "LANA: Latency Aware Network Acceleration", ECCV 2022) offers 197 operators a layer; these are
the families that make sense for plain convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from codesign_gym.simulators.networks import rows
from codesign_gym.simulators.networks.rows import Row

#: The name of a layer as it was trained.
TEACHER = "teacher"


@dataclass(frozen=True)
class Site:
    """A dense, square, centred convolution of the teacher that may be replaced.

    Attributes:
        name: qualified name of its module.
        in_channels, out_channels, kernel, stride: its shape.
        height, width: of the feature map that enters it.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    height: int
    width: int


@dataclass(frozen=True)
class Conv:
    """One convolution of an operator, padded to keep positions centred.

    Attributes:
        channels: that leave it.
        kernel: height and width.
        stride: in both directions.
        groups: in which channels do not meet.
        relu: whether its output is rectified.
    """

    channels: int
    kernel: tuple[int, int]
    stride: int = 1
    groups: int = 1
    relu: bool = False


Chain = tuple[Conv, ...]  # empty: what enters leaves unchanged
Shape = Callable[[Site], Chain | None]  # None where the operator does not fit the site


def _teacher(site: Site) -> Chain:
    return (Conv(site.out_channels, (site.kernel, site.kernel), site.stride),)


def _identity(site: Site) -> Chain | None:
    return () if site.in_channels == site.out_channels and site.stride == 1 else None


def _pointwise(site: Site) -> Chain | None:
    return (Conv(site.out_channels, (1, 1), site.stride),) if site.kernel > 1 else None


def _grouped(groups: int) -> Shape:
    def shape(site: Site) -> Chain | None:
        if site.in_channels % groups or site.out_channels % groups or site.in_channels == groups:
            return None
        return (Conv(site.out_channels, (site.kernel, site.kernel), site.stride, groups),)

    return shape


def _depthwise(site: Site) -> Chain | None:
    if site.kernel == 1 or site.in_channels == 1:
        return None
    spatial = Conv(site.in_channels, (site.kernel, site.kernel), site.stride, site.in_channels)
    return (spatial, Conv(site.out_channels, (1, 1)))


def _crossed(site: Site) -> Chain | None:
    if site.kernel == 1:
        return None
    narrow = max(site.out_channels // 2, 1)
    return (Conv(narrow, (site.kernel, 1), site.stride), Conv(site.out_channels, (1, site.kernel)))


def _narrow(share: int) -> Shape:
    def shape(site: Site) -> Chain | None:
        narrow = min(site.in_channels * site.kernel**2, site.out_channels) // share
        if narrow < 1:
            return None
        return (Conv(narrow, (site.kernel, site.kernel), site.stride), Conv(site.out_channels, (1, 1)))

    return shape


def _bottleneck(site: Site) -> Chain | None:
    narrow = site.out_channels // 4
    if site.kernel == 1 or site.in_channels <= narrow or narrow < 1:
        return None
    inner = Conv(narrow, (site.kernel, site.kernel), site.stride, relu=True)
    return (Conv(narrow, (1, 1), relu=True), inner, Conv(site.out_channels, (1, 1)))


#: Operators by name; one's own may be put beside them.
OPERATORS: Mapping[str, Shape] = {
    "identity": _identity,
    "1x1": _pointwise,
    "bottleneck": _bottleneck,
    "depthwise+pointwise": _depthwise,
    "grouped-4": _grouped(4),
    "quarter-width": _narrow(4),
    "crossed": _crossed,
    "half-width": _narrow(2),
    TEACHER: _teacher,
}


def candidates(site: Site, operators: Mapping[str, Shape] = OPERATORS) -> dict[str, Chain]:
    """The operators that fit a site, from the fewest multiplications to the most; the teacher's own comes last."""
    offered = {**operators, TEACHER: _teacher}
    fitting = {name: chain for name, shape in offered.items() if (chain := shape(site)) is not None}
    order = sorted(fitting, key=lambda name: (name == TEACHER, macs(site, fitting[name])))
    return {name: fitting[name] for name in order}


def chain_rows(site: Site, chain: Sequence[Conv]) -> tuple[Row, ...]:
    """The rows of the layer table that a chain adds, with a bias a channel as after folding."""
    made: list[Row] = []
    shape = (1, site.in_channels, site.height, site.width)
    for conv in chain:
        after = (1, conv.channels, -(-shape[2] // conv.stride), -(-shape[3] // conv.stride))
        weight = (conv.channels, shape[1] // conv.groups, *conv.kernel)
        made.append(rows.conv(shape, weight, after, (conv.stride,), conv.channels))
        shape = after
    return tuple(made)


def macs(site: Site, chain: Sequence[Conv]) -> int:
    """Multiply-accumulates of a chain for one image."""
    channels, positions, total = site.in_channels, (site.height, site.width), 0
    for conv in chain:
        positions = (-(-positions[0] // conv.stride), -(-positions[1] // conv.stride))
        window = conv.kernel[0] * conv.kernel[1] * channels // conv.groups
        total += positions[0] * positions[1] * conv.channels * window
        channels = conv.channels
    return total
