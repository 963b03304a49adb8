"""Networks written down by hand: a tracker of the current feature map that appends a row a call."""

from __future__ import annotations

from dataclasses import dataclass, replace

from codesign_gym.simulators.networks import rows
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

    def elementwise(self, name: str) -> Builder:
        """A sum or product with a feature map of the same size."""
        return self._with(name, rows.pointwise(Op.ELEMENTWISE, rows.channels_first(self.shape)))

    def pool(self, name: str, kernel: int, stride: int, padding: int = 0) -> Builder:
        """Square maximum or mean pooling."""
        after = self._windowed(self.channels, kernel, stride, padding)
        return after._with(name, rows.pool(self.shape, after.shape, (kernel, kernel), (stride,)))

    def global_pool(self, name: str) -> Builder:
        """The mean of every channel."""
        after = replace(self, height=1, width=1)
        return after._with(name, rows.pool(self.shape, after.shape, (self.height, self.width)))

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

    def _windowed(self, channels: int, kernel: int, stride: int, padding: int) -> Builder:
        height, width = ((size + 2 * padding - kernel) // stride + 1 for size in (self.height, self.width))
        return replace(self, channels=channels, height=height, width=width)

    def _with(self, name: str, row: Row) -> Builder:
        return replace(self, layers=(*self.layers, (name, row)))
