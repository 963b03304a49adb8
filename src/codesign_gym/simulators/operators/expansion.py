"""From stages and operators to the rows of every (layer, operator)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from codesign_gym.catalog import attribute
from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.hardware.chunked import OPERATORS
from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.networks.layers import WEIGHTED, network
from codesign_gym.simulators.networks.rows import Row
from codesign_gym.simulators.operators.blocks import BLOCKS, Block
from codesign_gym.simulators.operators.file import DEVICE, Fixed, Operator, SpaceFile, Stage
from codesign_gym.simulators.operators.space import Layer, OperatorSpace, Site

NamedRow = tuple[str, Row]
#: What fills up where an operator has fewer rows than another of its layer: a row that is not there.
NOTHING: NamedRow = ("", {"valid": 0})


@dataclass(frozen=True)
class Part:
    """Rows of one place of the network.

    Attributes:
        layer: whose choice decides which rows they are, or None where nothing does.
        rows: of every operator of that layer (else of the one that there is), each with its name.
        kinds: of these operators.
    """

    layer: int | None
    rows: tuple[tuple[NamedRow, ...], ...]
    kinds: tuple[str, ...]


def assembled(
    name: str,
    title: str,
    definitions: Mapping[str, Operator],
    layers: Sequence[Layer],
    parts: Sequence[Part],
    fixed_entries: Sequence[str] = (),
    codes: Sequence[str] = (),
    device: str = DEVICE,
) -> OperatorSpace:
    """A space from its parts, in the order of the network; the other arguments are :class:`OperatorSpace`'s.

    Raises:
        UnsupportedNetwork: for sizes that are no network's.
    """
    rows: list[NamedRow] = []
    kinds: list[str] = []
    places: list[tuple[int, int, int]] = []  # start, step and layer of every row of a design
    for part in parts:
        width = max(len(own) for own in part.rows)
        step = 0 if part.layer is None else width
        places += [(len(rows) + position, step, part.layer or 0) for position in range(width)]
        for own, kind in zip(part.rows, part.kinds, strict=True):
            rows += [*own, *[NOTHING] * (width - len(own))]
            kinds += [kind if row.get("op") in WEIGHTED else OPERATORS[0] for _, row in own]
            kinds += [OPERATORS[0]] * (width - len(own))
    table = network(name, [row for _, row in rows], [f"row {number}" for number in range(len(rows))])
    start, step_of, layer_of = np.array(places, dtype=np.int64).reshape(-1, 3).T
    return OperatorSpace(
        name=name,
        title=title,
        definitions=definitions,
        layers=tuple(layers),
        fixed_entries=tuple(fixed_entries),
        codes=tuple(codes),
        table=table.layers,
        row_names=tuple(own for own, _ in rows),
        kinds=np.array([OPERATORS.index(kind) for kind in kinds]),
        start=start,
        step=step_of,
        layer=layer_of,
        device=device,
    )


def expand(name: str, content: SpaceFile) -> OperatorSpace:
    """The space of a file's content.

    Raises:
        BadConfig: for a block that does not exist, operators of a layer that leave different sizes, or cells that
            change their channels.
        UnsupportedNetwork: for sizes that are no network's.
    """
    made = _Expansion(name, content)
    net = made.fixed(Builder(*content.input_shape), content.stem)
    for number, stage in enumerate(content.stages):
        net = made.fixed(net, stage.before)
        for position in range(stage.layers):
            place = f"stage{number + 1}.{position + 1}"
            if content.cell is None:
                options = stage.operators or tuple(content.operators)
                stride = stage.stride if position == 0 else 1
                net = made.choice(net, place, len(made.layers), place, options, stage.channels, stride)
            else:
                made.cell(net, place, stage, content.cell.nodes)
    made.fixed(net, content.head)
    return assembled(
        name=name,
        title=content.title,
        definitions=content.operators,
        layers=made.layers,
        parts=made.parts,
        fixed_entries=made.fixed_entries,
        codes=content.codes,
        device=content.device,
    )


@dataclass
class _Expansion:
    """A network that grows part by part; every method returns the feature map that leaves."""

    name: str
    content: SpaceFile
    layers: list[Layer] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    fixed_entries: list[str] = field(default_factory=list)

    def fixed(self, net: Builder, blocks: Sequence[Fixed]) -> Builder:
        """Parts that are not searched."""
        for block in blocks:
            channels = block.channels or net.channels
            after = self._block(block.name, block)(net, block.name, block, channels, block.stride)
            self.parts.append(Part(None, (after.layers,), (block.kind,)))
            if block.block in self.content.entries:
                site = Site(block.name, net.channels, net.height, net.width, channels, block.stride)
                self.fixed_entries.append(self._entry(site, block.name, block))
            net = replace(after, layers=())
        return net

    def choice(
        self, net: Builder, place: str, index: int, name: str, options: Sequence[str], channels: int, stride: int
    ) -> Builder:
        """Operators beside each other; the first place that a layer's choice decides is the layer's site."""
        operators = [self.content.operators[option] for option in options]
        after = [
            self._block(option, operator)(net, f"{place}.{option}", operator, channels, stride)
            for option, operator in zip(options, operators, strict=True)
        ]
        for option, left in zip(options, after, strict=True):
            if left.shape != after[0].shape:
                raise BadConfig(
                    f"space {self.name!r}: layer {name!r}: {option!r} leaves {list(left.shape[1:])}, {options[0]!r} "
                    f"{list(after[0].shape[1:])}; accepted: operators that leave the same size"
                )
        if index == len(self.layers):
            site = Site(name, net.channels, net.height, net.width, channels, stride)
            entries = [self._entry(site, option, self.content.operators[option]) for option in options]
            self.layers.append(Layer(site, tuple(options), tuple(entries)))
        self.parts.append(Part(index, tuple(left.layers for left in after), tuple(o.kind for o in operators)))
        return replace(after[0], layers=())

    def cell(self, net: Builder, place: str, stage: Stage, nodes: int) -> None:
        """A cell's edges, in the order of the nodes that they lead to, and the sums in its nodes."""
        if stage.channels != net.channels:
            raise BadConfig(
                f"space {self.name!r}: cell {place} has {stage.channels} channels, but {net.channels} enter; "
                "accepted: cells that keep their size"
            )
        options = tuple(self.content.operators)
        edges = [(node, source) for node in range(1, nodes) for source in range(node)]
        for index, (node, source) in enumerate(edges):
            name = f"{node}<-{source}"
            self.choice(net, f"{place}.{name}", index, name, options, stage.channels, 1)
            if source:
                added = net.elementwise(f"{place}.{node}.add{source}")
                self.parts.append(Part(None, (added.layers,), (OPERATORS[0],)))

    def _block(self, where: str, operator: Operator) -> Block:
        if ":" in operator.block:
            found: Block = attribute(operator.block)
            return found
        if operator.block not in BLOCKS:
            raise BadConfig(f"space {self.name!r}: {where}: {UnknownName('block', operator.block, BLOCKS)}")
        return BLOCKS[operator.block]

    def _entry(self, site: Site, option: str, operator: Operator) -> str:
        """What an operator is called in look-up tables."""
        template = self.content.entries.get(operator.block)
        if template is None:
            return f"{site.layer}.{option}"
        try:
            return template.format_map({**operator.model_dump(), **vars(site)})
        except (KeyError, IndexError, ValueError) as error:
            raise BadConfig(f"space {self.name!r}: field 'entries.{operator.block}': {template!r}: {error}") from error
