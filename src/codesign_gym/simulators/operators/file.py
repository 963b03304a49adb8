"""What a file of an operator space holds: the operators, and the network whose layers choose among them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from codesign_gym.errors import suggestion
from codesign_gym.records import Record
from codesign_gym.simulators.networks.catalog import Training

Kind = Literal["conv", "shift", "adder"]

#: Its model costs convolutions, and any device does.
DEVICE = "pixel-3-cpu"


class Operator(Record):
    """What a layer may compute.

    Attributes:
        block: how it becomes rows: a key of :data:`~codesign_gym.simulators.operators.blocks.BLOCKS`, or
            ``"package.module:function"`` with the same arguments.
        kernel: height and width of its window.
        expansion: channels inside the block, as a multiple of those that enter it.
        groups: of its dense convolutions.
        kind: what it does with a weight: multiplies, shifts by a power of two, or takes the absolute difference.
    """

    block: str
    kernel: int = Field(default=1, ge=1)
    expansion: int = Field(default=1, ge=1)
    groups: int = Field(default=1, ge=1)
    kind: Kind = "conv"


class Fixed(Operator):
    """A part of the network that is not searched.

    Attributes:
        name: of its rows, unique within the network.
        channels: that leave it; by default those that enter.
        stride: of its window.
    """

    name: str
    channels: int | None = Field(default=None, ge=1)
    stride: int = Field(default=1, ge=1)


class Stage(Record):
    """Layers that choose, one after another.

    Attributes:
        channels: that leave every layer.
        layers: how many.
        stride: of the first.
        operators: names that these layers choose among, cheapest first; by default all.
        before: what is computed first, and not searched.
    """

    channels: int = Field(ge=1)
    layers: int = Field(default=1, ge=1)
    stride: int = Field(default=1, ge=1)
    operators: tuple[str, ...] | None = None
    before: tuple[Fixed, ...] = ()


class Cell(Record):
    """A layer made of edges: every node is the sum of an operator on each earlier node; edges are what is chosen.

    Attributes:
        nodes: the one that enters included.
    """

    nodes: int = Field(ge=2, le=8)


class SpaceFile(Record):
    """The content of ``configs/spaces/<id>.yaml``.

    A layer of a stage is one choice. With ``cell`` it is a cell instead, and all cells share one choice an edge.

    Attributes:
        title: one line about the space.
        source: where its shape comes from.
        input_shape: channels, height and width of an image.
        operators: by name, cheapest first, which is the order of a layer's choices.
        stem: what comes before the stages.
        stages: the layers that choose.
        head: what comes after them.
        cell: what a layer of a stage is, where it is a cell.
        codes: operators in the order in which measured tables number them, from 0.
        entries: block to the name that its operators have in look-up tables, with the fields of
            :class:`~codesign_gym.simulators.operators.space.Site` and of :class:`Operator` in braces. Without
            it, operators are called ``<layer>.<operator>``, and what is not searched is not looked up.
        device: id of one whose model costs every operator, or its file, relative to this one.
        data: ``"package.module:function"`` that loads the images on which a supernet of this space is trained.
        training: how that supernet is trained.
    """

    title: str
    source: str
    input_shape: tuple[int, int, int]
    operators: dict[str, Operator] = Field(min_length=1)
    stem: tuple[Fixed, ...] = ()
    stages: tuple[Stage, ...] = Field(min_length=1)
    head: tuple[Fixed, ...] = ()
    cell: Cell | None = None
    codes: tuple[str, ...] = ()
    entries: dict[str, str] = Field(default_factory=dict)
    device: str = DEVICE
    data: str | None = None
    training: Training | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        named = [("codes", name) for name in self.codes]
        named += [(f"stages.{i}.operators", name) for i, s in enumerate(self.stages) for name in s.operators or ()]
        for field, name in named:
            if name not in self.operators:
                raise ValueError(f"{field} has {name!r}{suggestion(name, self.operators)}")
        for i, stage in enumerate(self.stages):
            if stage.operators is not None and (not stage.operators or len({*stage.operators}) < len(stage.operators)):
                raise ValueError(
                    f"stages.{i}.operators is {list(stage.operators)}; accepted: one name or more, each once"
                )
            if self.cell and (stage.stride > 1 or stage.operators):
                raise ValueError(f"stages.{i}: cells keep their size and choose among all operators; accepted: neither")
        return self
