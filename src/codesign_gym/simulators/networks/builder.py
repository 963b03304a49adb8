"""Networks written down by hand: a tracker of the current feature map that appends a row a call."""

from __future__ import annotations

from dataclasses import dataclass, replace

from codesign_gym.simulators.networks import operands, rows
from codesign_gym.simulators.networks.layers import Network, Op, network
from codesign_gym.simulators.networks.rows import Row


@dataclass(frozen=True)
class Builder:
    """The feature map of one image and the rows that led to it; every method returns a new one.

    Attributes:
        channels, height, width: the current feature map.
        layers: name and row of each layer so far.
    """

    channels: int
    height: int
    width: int
    layers: tuple[tuple[str, Row], ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The feature map as (1, channels, height, width)."""
        return (1, self.channels, self.height, self.width)

    def conv(
        self,
        name: str,
        channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        padding: int | None = None,
        bias: bool = False,
    ) -> Builder:
        """A square convolution; ``padding`` defaults to half the kernel."""
        after = self._windowed(channels, kernel, stride, kernel // 2 if padding is None else padding)
        weight_shape = (channels, self.channels // groups, kernel, kernel)
        return after._with(name, rows.conv(self.shape, weight_shape, after.shape, (stride,), channels * bias))

    def linear(self, name: str, features: int, bias: bool = True) -> Builder:
        """A matrix product at every position of the feature map."""
        after = replace(self, channels=features)
        row = rows.linear(self._positions(), after._positions(), features * bias)
        return after._with(name, row)

    def norm(self, name: str) -> Builder:
        """Batch or layer normalisation, with a scale and a shift per channel."""
        return self._with(name, rows.pointwise(Op.NORM, rows.channels_first(self.shape), 2 * self.channels))

    def activation(self, name: str) -> Builder:
        """Any activation function."""
        return self._with(name, rows.pointwise(Op.ACTIVATION, rows.channels_first(self.shape)))

    def elementwise(self, name: str, trained: int = 0) -> Builder:
        """A sum or product with a feature map of the same size, of which some numbers may be trained."""
        return self._with(name, rows.pointwise(Op.ELEMENTWISE, rows.channels_first(self.shape), trained))

    def concat(self, name: str, channels: int) -> Builder:
        """Put the feature maps of parallel branches together, ``channels`` in all."""
        return replace(self, channels=channels).elementwise(name)

    def pool(self, name: str, kernel: int, stride: int, padding: int = 0, ceil: bool = False) -> Builder:
        """Square maximum or mean pooling; ``ceil`` keeps an incomplete last window."""
        after = self._windowed(self.channels, kernel, stride, padding, stride - 1 if ceil else 0)
        return after._with(name, rows.pool(self.shape, after.shape, (kernel, kernel), (stride,)))

    def adaptive_pool(self, name: str, size: int) -> Builder:
        """The mean over as many windows as give ``size`` x ``size`` positions."""
        after = replace(self, height=size, width=size)
        return after._with(name, rows.pool(self.shape, after.shape, (-(-self.height // size), -(-self.width // size))))

    def global_pool(self, name: str) -> Builder:
        """The mean of every channel."""
        return self.adaptive_pool(name, 1)

    def embedding(self, name: str, entries: int) -> Builder:
        """Look up the vector of every position in a table of ``entries``."""
        return self._with(name, rows.pointwise(Op.EMBEDDING, rows.channels_first(self.shape), entries * self.channels))

    def attention(self, name: str, heads: int) -> Builder:
        """Every position attends to every other; the channels are those of queries, keys and values each."""
        sizes = heads, self.height * self.width, self.channels // heads
        net = self
        for part in operands.attention(sizes, sizes, sizes):
            net = net._with(f"{name}.{part.suffix}", part.row)
        return net

    def lstm(self, name: str, layer: int, hidden: int) -> Builder:
        """A layer of LSTM cells, a step a position, with two biases; names are those of torch's parameters."""
        steps, gates = self.height * self.width, 4 * hidden
        made = {
            f"weight_ih_l{layer}": rows.product(Op.LINEAR, 1, steps, gates, self.channels, gates),
            f"weight_hh_l{layer}": rows.product(Op.LINEAR, 1, 1, gates, hidden, gates, steps),
            f"gates_l{layer}": rows.pointwise(Op.ACTIVATION, (gates, 1, 1), steps=steps),
            f"state_l{layer}": rows.pointwise(Op.ELEMENTWISE, (hidden, 1, 1), steps=steps),
        }
        named = tuple((f"{name}.{part}", row) for part, row in made.items())
        return replace(self, channels=hidden, layers=(*self.layers, *named))

    def flatten(self) -> Builder:
        """The feature map as one vector; free."""
        return replace(self, channels=self.channels * self.height * self.width, height=1, width=1)

    def beside(self, entry: Builder) -> Builder:
        """Go back to the feature map of ``entry`` for a parallel branch, keeping the rows so far."""
        return replace(entry, layers=self.layers)

    def build(self, name: str) -> Network:
        """The finished table.

        Raises:
            UnsupportedNetwork: if a size is not positive or the network is too large.
        """
        return network(name, [row for _, row in self.layers], [layer for layer, _ in self.layers])

    def _positions(self) -> tuple[int, int, int, int]:
        return (1, self.height, self.width, self.channels)

    def _windowed(self, channels: int, kernel: int, stride: int, padding: int, beyond: int = 0) -> Builder:
        slack = 2 * padding + beyond - kernel
        height, width = ((size + slack) // stride + 1 for size in (self.height, self.width))
        return replace(self, channels=channels, height=height, width=width)

    def _with(self, name: str, row: Row) -> Builder:
        return replace(self, layers=(*self.layers, (name, row)))
