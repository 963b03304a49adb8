"""Operators as torch modules, and the network that holds all operators of a space at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy.architectures import ConvNorm
from codesign_gym.simulators.hybrid.layers import HybridNorm
from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.operators.blocks import BLOCKS
from codesign_gym.simulators.operators.file import Fixed, Operator, SpaceFile

#: From the feature map that enters, the operator, the channels that leave and the stride.
Block = Callable[[Builder, Operator, int, int], nn.Module]
Make = Callable[[], nn.Module]
M = TypeVar("M", bound=nn.Module)

#: A convolution with its normalisation, by kind of operator.
NORMS: Mapping[str, Callable[..., nn.Module]] = {
    "conv": ConvNorm,
    "shift": partial(HybridNorm, "shift"),
    "adder": partial(HybridNorm, "adder"),
}


class Shuffle(nn.Module):
    """Deal the channels of every group out among all groups (ShuffleNet, Zhang et al. 2018); it computes nothing."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """The same feature map (batch, channels, height, width), its channels in another order."""
        batch, _, height, width = x.shape
        return x.reshape(batch, self.groups, -1, height, width).transpose(1, 2).flatten(1, 2)


class Mobile(nn.Module):
    """Expand, mix the groups, filter depthwise, project; beside a shortcut where the size stays (FBNet, figure 3).

    All three convolutions are of the operator's kind, as in NASA's hybrids.
    """

    def __init__(self, in_channels: int, channels: int, operator: Operator, stride: int) -> None:
        super().__init__()
        hidden, norm = in_channels * operator.expansion, NORMS[operator.kind]
        self.expand = norm(in_channels, hidden, groups=operator.groups)
        self.shuffle = Shuffle(operator.groups) if operator.groups > 1 else nn.Identity()
        self.depthwise = norm(hidden, hidden, operator.kernel, stride, groups=hidden)
        self.project = norm(hidden, channels, groups=operator.groups, relu=False)
        self.residual = in_channels == channels and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (batch, channels, height / stride, width / stride)."""
        y: Tensor = self.project(self.depthwise(self.shuffle(self.expand(x))))
        return x + y if self.residual else y


def _conv(net: Builder, operator: Operator, channels: int, stride: int) -> nn.Module:
    return ConvNorm(net.channels, channels, operator.kernel, stride, operator.groups)


def _mobile(net: Builder, operator: Operator, channels: int, stride: int) -> nn.Module:
    return Mobile(net.channels, channels, operator, stride)


def _skip(net: Builder, operator: Operator, channels: int, stride: int) -> nn.Module:
    same = stride == 1 and channels == net.channels
    return nn.Identity() if same else ConvNorm(net.channels, channels, stride=stride)


def _global_pool(net: Builder, operator: Operator, channels: int, stride: int) -> nn.Module:
    return nn.AdaptiveAvgPool2d(1)


def _linear(net: Builder, operator: Operator, channels: int, stride: int) -> nn.Module:
    features = net.flatten().channels
    return nn.Sequential(OrderedDict(flatten=nn.Flatten(), linear=nn.Linear(features, channels)))


#: The torch modules of blocks whose rows :data:`~codesign_gym.simulators.operators.blocks.BLOCKS` makes.
MODULES: Mapping[str, Block] = {
    "conv": _conv,
    "mobile": _mobile,
    "skip": _skip,
    "global_pool": _global_pool,
    "linear": _linear,
}


@dataclass(frozen=True)
class Plan:
    """How to make the parts of a space's networks.

    Attributes:
        before: what is computed before every layer and not searched; mostly nothing behind the first.
        options: the operators of every layer.
        head: what comes after the layers.
    """

    before: tuple[tuple[Make, ...], ...]
    options: tuple[tuple[Make, ...], ...]
    head: tuple[Make, ...]

    def alone(self, design: Sequence[int]) -> nn.Sequential:
        """The network of one design of shape (layers,), with weights of its own."""
        return _assembled(
            [_chain(makes) for makes in self.before],
            [options[choice]() for options, choice in zip(self.options, design, strict=True)],
            _chain(self.head),
        )


class Supernet(nn.Module):
    """All operators of all layers side by side; a design runs one of each layer (SPOS, Guo et al., ECCV 2020)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.before = nn.ModuleList(_chain(makes) for makes in plan.before)
        self.options = nn.ModuleList(nn.ModuleList(make() for make in options) for options in plan.options)
        self.head = _chain(plan.head)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Operators of every layer."""
        return tuple(len(options) for options in self.options)  # type: ignore[arg-type]

    def layer(self, layer: int, choice: int) -> nn.Sequential:
        """What a layer computes with one of its operators; weights are shared."""
        return nn.Sequential(self.before[layer], self.options[layer][choice])  # type: ignore[index]

    def candidate(self, design: Sequence[int]) -> nn.Sequential:
        """The network of one design of shape (layers,); weights are shared."""
        chosen = [options[choice] for options, choice in zip(self.options, design, strict=True)]  # type: ignore[index]
        return _assembled(list(self.before), chosen, self.head)

    def forward(self, images: Tensor, design: Sequence[int]) -> Tensor:
        """Logits (batch, classes) of images (batch, channels, height, width) by one design of shape (layers,)."""
        x = images
        for before, options, choice in zip(self.before, self.options, design, strict=True):
            x = options[choice](before(x))  # type: ignore[index]
        answers: Tensor = self.head(x)
        return answers


def plan(name: str, content: SpaceFile) -> Plan:
    """How to make the networks of a space's file.

    Raises:
        BadConfig: for cells, or a block or kind of operator that has no torch module here.
    """
    if content.cell is not None:
        raise BadConfig(f"space {name!r} is made of cells; accepted for a supernet: layers one after another")
    net, fixed = _fixed(name, Builder(*content.input_shape), content.stem)
    before, options = [], []
    for stage in content.stages:
        net, more = _fixed(name, net, stage.before)
        fixed = (*fixed, *more)
        for position in range(stage.layers):
            stride = stage.stride if position == 0 else 1
            names = stage.operators or tuple(content.operators)
            entry, operators = net, [content.operators[option] for option in names]
            before.append(fixed)
            options.append(tuple(_make(name, entry, o, stage.channels, stride) for o in operators))
            net, fixed = _after(entry, operators[0], stage.channels, stride), ()
    return Plan(tuple(before), tuple(options), _fixed(name, net, content.head)[1])


def seeded(build: Callable[[], M], seed: int) -> M:
    """A module whose initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _fixed(name: str, net: Builder, blocks: Sequence[Fixed]) -> tuple[Builder, tuple[Make, ...]]:
    """The feature map after parts that are not searched, and how to make them."""
    makes = []
    for block in blocks:
        channels = block.channels or net.channels
        makes.append(_make(name, net, block, channels, block.stride))
        net = _after(net, block, channels, block.stride)
    return net, tuple(makes)


def _make(name: str, net: Builder, operator: Operator, channels: int, stride: int) -> Make:
    if operator.block not in MODULES or (operator.kind != "conv" and operator.block != "mobile"):
        raise BadConfig(
            f"space {name!r}: block {operator.block!r} of kind {operator.kind!r} cannot be trained here; "
            f"accepted: {', '.join(MODULES)}, of kind 'conv', and 'mobile' of any kind"
        )
    return partial(MODULES[operator.block], net, operator, channels, stride)


def _after(net: Builder, operator: Operator, channels: int, stride: int) -> Builder:
    """The feature map that leaves, without rows."""
    return replace(BLOCKS[operator.block](net, "", operator, channels, stride), layers=())


def _chain(makes: Sequence[Make]) -> nn.Sequential:
    return nn.Sequential(*(make() for make in makes))


def _assembled(before: Sequence[nn.Module], chosen: Sequence[nn.Module], head: nn.Module) -> nn.Sequential:
    parts: list[tuple[str, nn.Module]] = []
    for number, (entry, operator) in enumerate(zip(before, chosen, strict=True)):
        parts += [(f"before{number}", entry), (f"layer{number}", operator)]
    return nn.Sequential(OrderedDict([*parts, ("head", head)]))
