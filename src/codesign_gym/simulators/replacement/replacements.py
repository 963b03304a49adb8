"""A trained network any of whose layers may be replaced, by operators that are fitted once and cached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from codesign_gym.errors import StorageError
from codesign_gym.simulators.accuracy.recipe import one_thread, shown, tensors
from codesign_gym.simulators.accuracy.splits import Splits, fingerprint
from codesign_gym.simulators.accuracy.trained import TrainedNetwork
from codesign_gym.simulators.networks.rows import Row
from codesign_gym.simulators.replacement.distillation import Distillation, built, fitted
from codesign_gym.simulators.replacement.operators import OPERATORS, TEACHER, Chain, Shape, candidates, chain_rows
from codesign_gym.simulators.replacement.teacher import Teacher
from codesign_gym.storage import cache_dir, replacing

#: Raised whenever the same settings would give other operators.
VERSION = "1"

Designs = NDArray[np.int64]  # (batch, sites) index of the operator at every site


@dataclass(frozen=True, eq=False)
class Replacements:
    """Operators fitted to a teacher.

    A design is one index into :attr:`operators` for every site. Equal arguments give equal weights on one machine.

    Attributes:
        teacher: the trained network.
        chains: the operators of every site by name, from the cheapest to the teacher's own.
        modules: the same, fitted.
    """

    teacher: Teacher
    chains: tuple[Mapping[str, Chain], ...]
    modules: tuple[tuple[nn.Module, ...], ...]

    @classmethod
    def of(
        cls,
        trained: TrainedNetwork,
        settings: Distillation | None = None,
        operators: Mapping[str, Shape] = OPERATORS,
    ) -> Replacements:
        """Fit every operator that fits, or read them from the cache.

        Raises:
            UnsupportedNetwork: if no layer of the network can be replaced.
            StorageError: if the cache cannot be read or written.
        """
        teacher, settings = Teacher.of(trained), settings or Distillation()
        chains = tuple(candidates(site, operators) for site in teacher.sites)
        mark = fingerprint(VERSION, torch.__version__, trained.fingerprint, settings.model_dump_json(), str(chains))
        path = cache_dir("networks") / f"{Path(trained.name).stem}-replacements-{mark}.safetensors"
        modules = _read(path, teacher, chains) if path.exists() else _fit(teacher, chains, settings)
        if not path.exists():
            with replacing(path) as aside:
                save_file(_state(modules), aside)
        return cls(teacher, chains, modules)

    @property
    def name(self) -> str:
        """The teacher's."""
        return self.teacher.trained.name

    @property
    def splits(self) -> Splits:
        """The teacher's data."""
        return self.teacher.trained.splits

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the teacher and of all operators' names and weights."""
        state = _state(self.modules)
        weights = (part for key in sorted(state) for part in (key, state[key].numpy()))
        return fingerprint(self.teacher.trained.fingerprint, str(self.operators), *weights)

    @cached_property
    def operators(self) -> tuple[tuple[str, ...], ...]:
        """Names of the operators of every site."""
        return tuple(tuple(chains) for chains in self.chains)

    @cached_property
    def rows(self) -> tuple[tuple[tuple[Row, ...], ...], ...]:
        """Rows of the layer table of every operator of every site."""
        return tuple(
            tuple(chain_rows(site, chain) for chain in chains.values())
            for site, chains in zip(self.teacher.sites, self.chains, strict=True)
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Operators of every site."""
        return tuple(map(len, self.operators))

    @property
    def unchanged(self) -> NDArray[np.int64]:
        """The teacher as a design, shape (sites,)."""
        return np.array(self.sizes) - 1

    def patched(self, design: Sequence[int] | NDArray[np.int64]) -> nn.Module:
        """The teacher with the operators of a design (sites,) in their places; all weights are shared with it."""
        model = _sharing(self.teacher.model)
        for site, modules, choice in zip(self.teacher.sites, self.modules, design, strict=True):
            model.set_submodule(site.name, modules[choice])
        return model

    def swaps(self) -> Designs:
        """Every design in which one site alone is replaced, site by site, shape (swaps, sites)."""
        designs = [
            np.where(np.arange(len(self.sizes)) == site, choice, self.unchanged)
            for site, size in enumerate(self.sizes)
            for choice in range(size - 1)
        ]
        return np.array(designs, dtype=np.int64)


def _sharing(module: nn.Module) -> nn.Module:
    """A module whose submodules can be replaced without changing the original; a deep copy takes ten times as long."""
    clone = object.__new__(type(module))
    children = {name: None if child is None else _sharing(child) for name, child in module._modules.items()}
    clone.__dict__ = {**module.__dict__, "_modules": children}
    return clone


def _fit(
    teacher: Teacher, chains: Sequence[Mapping[str, Chain]], settings: Distillation
) -> tuple[tuple[nn.Module, ...], ...]:
    """Fit all operators to the training split's feature maps, each for itself."""
    generator = np.random.default_rng(settings.seed)
    images, _ = tensors(teacher.trained.splits.train)
    drawn = torch.from_numpy(generator.permutation(len(images))[: settings.images])
    features = teacher.features(images[drawn])
    sites = shown(
        zip(teacher.sites, chains, features, strict=True), len(chains), f"fitting operators of {teacher.trained.name}"
    )
    with one_thread():
        return tuple(
            tuple(
                teacher.layer(site)
                if name == TEACHER
                else fitted(name, site, chain, teacher.layer(site), *pair, settings)
                for name, chain in offered.items()
            )
            for site, offered, pair in sites
        )


def _state(modules: Sequence[Sequence[nn.Module]]) -> dict[str, Tensor]:
    """Weights of all operators by site, operator and name."""
    return {
        f"{site}.{choice}.{key}": value.contiguous()
        for site, offered in enumerate(modules)
        for choice, module in enumerate(offered)
        for key, value in module.state_dict().items()
    }


def _read(path: Path, teacher: Teacher, chains: Sequence[Mapping[str, Chain]]) -> tuple[tuple[nn.Module, ...], ...]:
    """The operators that :func:`_fit` made."""
    made = tuple(
        tuple(
            teacher.layer(site) if name == TEACHER else built(site, chain).eval().requires_grad_(False)
            for name, chain in offered.items()
        )
        for site, offered in zip(teacher.sites, chains, strict=True)
    )
    try:
        stored = load_file(path)
        for site, offered in enumerate(made):
            for choice, module in enumerate(offered):
                head = f"{site}.{choice}."
                module.load_state_dict({k.removeprefix(head): v for k, v in stored.items() if k.startswith(head)})
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"{path} does not hold the operators; delete it to fit them again ({reason})") from error
    return made
