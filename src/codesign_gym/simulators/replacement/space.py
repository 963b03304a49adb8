"""The layers of a teacher as an operator space: any device costs its designs, and any agent searches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from codesign_gym.simulators.accuracy.memo import Memo
from codesign_gym.simulators.accuracy.trained import load
from codesign_gym.simulators.networks.layers import COLUMNS, Network
from codesign_gym.simulators.operators.expansion import NamedRow, Part, assembled
from codesign_gym.simulators.operators.file import Operator
from codesign_gym.simulators.operators.space import Layer, OperatorSpace, Site
from codesign_gym.simulators.replacement.distillation import Distillation
from codesign_gym.simulators.replacement.patched import Patched
from codesign_gym.simulators.replacement.replacements import Replacements

#: What all operators are made of.
KIND = "conv"


@cache
def patched(network: str, seed: int = 0) -> Patched:
    """What measures the replaced layers of a network by id, file or reference; results are kept on disk.

    Args:
        network: of what :func:`~codesign_gym.simulators.accuracy.trained.load` takes.
        seed: of the operators' distillation, which happens in the first call.

    Raises:
        UnsupportedNetwork: if no layer of it can be replaced; other errors as of ``load``.
    """
    return Patched(Replacements.of(load(network), Distillation(seed=seed)), Memo.default())


def digits() -> OperatorSpace:
    """LANA's replacements of the layers of digits-cnn-deep, which is trained, and they fitted, when first used.

    Not a file, since the operators come with weights. ``quality="measured"`` patches them into the teacher and measures
    it; ``quality="codesign_gym.simulators.replacement.quality:predicted"`` adds up what each replacement alone loses.
    """
    return operator_space(patched("digits-cnn-deep").trained)


def fashion() -> OperatorSpace:
    """LANA's replacements of the layers of fashion-resnet8, which needs Fashion-MNIST; else as lana-digits."""
    return operator_space(patched("fashion-resnet8").trained)


def operator_space(given: Replacements, kept: Sequence[Sequence[int]] | None = None) -> OperatorSpace:
    """A layer for every site, its operators from the cheapest to the teacher's own.

    Rows are the weighted ones: normalisation is folded into them, and activations and sums are taken to be fused.

    Args:
        given: the operators.
        kept: which of them each site may take, in this order; by default all.
    """
    kept = [range(size) for size in given.sizes] if kept is None else kept
    layers, parts = [], []
    for index, (site, chosen) in enumerate(zip(given.teacher.sites, kept, strict=True)):
        names = tuple(given.operators[index][choice] for choice in chosen)
        place = Site(site.name, site.in_channels, site.height, site.width, site.out_channels, site.stride)
        layers.append(Layer(place, names, tuple(f"{site.name}.{name}" for name in names)))
        rows = tuple(
            tuple((f"{site.name}.{given.operators[index][choice]}.{n}", row) for n, row in enumerate(chain))
            for choice in chosen
            for chain in (given.rows[index][choice],)
        )
        parts.append(Part(index, rows, (KIND,) * len(rows)))
    if rest := _named_rows(given.teacher.rest):
        parts.append(Part(None, (rest,), (KIND,)))
    definitions = {own: Operator(block=own) for names in given.operators for own in names}
    space = assembled(given.name, f"Layers of {given.name}, replaced one by one", definitions, layers, parts)
    return replace(space, measured="codesign_gym.simulators.replacement.quality:measured")


def _named_rows(network: Network) -> tuple[NamedRow, ...]:
    columns = {column: getattr(network.layers, column).tolist() for column in COLUMNS}
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return tuple(zip(network.layer_names, rows, strict=True))
