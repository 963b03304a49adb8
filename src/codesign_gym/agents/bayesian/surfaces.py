"""Gaussian processes of a problem's metrics over its designs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from botorch.exceptions.errors import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.kernels import CategoricalKernel
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from numpy.typing import NDArray
from torch import Tensor

from codesign_gym.agents.baselines.evolutionary import ranking
from codesign_gym.envs.core.problem import DesignProblem, Values, column, usage
from codesign_gym.envs.core.space import Designs, DesignSpace
from codesign_gym.simulators.accuracy.recipe import one_thread

#: A positive metric that spans more than this factor is modelled by its logarithm.
DECADE = 10.0
#: Steps of a fit; what these leave undone changes no prediction, but noise-free data would ask for thousands.
ITERATIONS = 60
#: Designs whose posterior is asked for at once.
BLOCK = 2048


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warning that sparse tensors go unchecked: linear_operator makes them, and leaves torch's default."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled", UserWarning)
        yield


@dataclass(frozen=True)
class Features:
    """Designs as real vectors: a column per knob that is free, ordered ones in [0, 1] by rank, others as they are."""

    space: DesignSpace

    @cached_property
    def _columns(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The free knobs, (columns,), and what each of their choices becomes, (columns, choices)."""
        allowed = self.space.allowed
        free = np.flatnonzero(allowed.sum(-1) > 1)
        rank = (allowed.cumsum(-1) - 1) / np.maximum(allowed.sum(-1, keepdims=True) - 1, 1)
        ordered = np.array([knob.ordered for knob in self.space.knobs])[:, None]
        table = np.where(ordered, rank, np.arange(self.space.choices))
        return free, table[free]

    @cached_property
    def categorical(self) -> list[int]:
        """The columns whose values are mere names."""
        free, _ = self._columns
        return [i for i, knob in enumerate(free) if not self.space.knobs[knob].ordered]

    def __call__(self, designs: Designs) -> Tensor:
        """Shape (batch, columns), float64, for designs of shape (batch, knobs)."""
        free, table = self._columns
        return torch.from_numpy(table[np.arange(len(free)), designs[:, free]])


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What Gaussian processes make of some scored designs.

    They are asked for designs of the problem's space alone, so that no input lies outside the ranges of its knobs; far
    from what was scored they return to the mean, and their variance, which acquisitions weigh, to the prior's.

    Attributes:
        features: of designs.
        model: an output for each metric that is modelled; None where none is.
        names: of the metrics that are known, modelled or constant.
        logs: which of them are modelled by their logarithm.
        constants: value of each metric that was the same in all designs, else NaN.
    """

    features: Features
    model: SingleTaskGP | None
    names: tuple[str, ...]
    logs: tuple[bool, ...]
    constants: tuple[float, ...]

    @property
    def fitted(self) -> SingleTaskGP:
        """The model, where there is one."""
        assert self.model is not None, "nothing has told designs apart yet"
        return self.model

    def metrics(self, samples: Tensor) -> dict[str, Tensor]:
        """Each metric by its name, of the processes' values (..., processes); shape (...)."""
        found, at = {}, 0
        for name, log, constant in zip(self.names, self.logs, self.constants, strict=True):
            if np.isfinite(constant):
                found[name] = torch.full(samples.shape[:-1], constant, dtype=samples.dtype)
                continue
            found[name] = samples[..., at].exp() if log else samples[..., at]
            at += 1
        return found

    def predict(self, problem: DesignProblem, designs: Designs) -> Values:
        """Metrics (batch, metrics) at the processes' means, or medians where logarithms are modelled.

        A metric that is not modelled is NaN, but if it is constrained: no design has exceeded the limit, and it is
        taken to use nothing of it.
        """
        with torch.no_grad(), one_thread(), quiet():
            parts = torch.split(self.features(designs), BLOCK)
            known = self.metrics(torch.cat([_means(self.model, part) for part in parts]))
        kept = {bound.metric: bound.reference for bound in problem.constraints}
        return np.stack(
            [
                known[name].numpy() if name in known else np.full(len(designs), kept.get(name, np.nan))
                for name in (metric.name for metric in problem.metrics)
            ],
            axis=-1,
        )


def fit(problem: DesignProblem, designs: Designs, metrics: Values) -> Surfaces:
    """Fit a process to every metric that an objective, or a constraint that some design exceeds, speaks of.

    Ordered knobs have a Matern kernel, since costs have kinks where sizes are rounded up, multiplied by a Hamming
    kernel of the others (BoTorch's); length scales and noise are fitted by the marginal likelihood under priors that
    grow with the number of knobs (Hvarfner et al., ICML 2024).

    Args:
        problem: of the designs.
        designs: shape (n, knobs).
        metrics: shape (n, metrics).
    """
    features = Features(problem.space)
    names = modelled(problem, metrics)
    values = metrics[:, [column(problem, name) for name in names]]
    logs = [bool((row > 0).all() and row.max() > DECADE * row.min()) for row in values.T]
    constants = [float(row[0]) if np.ptp(row) == 0 else np.nan for row in values.T]
    varied = [np.log(row) if log else row for row, log in zip(values.T, logs, strict=True) if np.ptp(row) > 0]
    with one_thread(), quiet():
        model = _processes(features(designs), np.stack(varied, -1), features.categorical) if varied else None
    return Surfaces(features, model, tuple(names), tuple(logs), tuple(constants))


def modelled(problem: DesignProblem, metrics: Values) -> list[str]:
    """Names of the metrics that a search has to predict: the objectives', and those of constraints that bind."""
    exceeded = np.atleast_1d((usage(problem, metrics) > 1.0).any(0))
    bounds = [bound.metric for bound, over in zip(problem.constraints, exceeded, strict=True) if over]
    return list(dict.fromkeys([*(objective.metric for objective in problem.objectives), *bounds]))


def window(problem: DesignProblem, metrics: Values, points: int) -> NDArray[np.int64]:
    """Rows that processes are fitted to: all, or half of ``points`` the best and the other half the latest."""
    if len(metrics) <= points:
        return np.arange(len(metrics))
    best = ranking(problem, metrics)[: points // 2]
    others = np.setdiff1d(np.arange(len(metrics)), best)
    return np.sort(np.concatenate([best, others[len(best) - points :]]))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generator with a seed inside the block, and as it was behind it: fits that fail start anew at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _processes(x: Tensor, values: Values, categorical: Sequence[int]) -> SingleTaskGP:
    """Independent processes of outputs (n, outputs) over features (n, columns), fitted side by side."""
    outputs = values.shape[-1]
    batch = torch.Size([outputs] if outputs > 1 else [])
    model = SingleTaskGP(x, torch.from_numpy(values), covar_module=_kernel(x.shape[-1], categorical, batch))
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    try:
        fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": ITERATIONS}})
    except ModelFittingError:  # the hyperparameters are then as they were: the priors' modes
        likelihood.eval()
    return model


def _kernel(columns: int, categorical: Sequence[int], batch: torch.Size) -> Kernel:
    """The product of both kinds of columns' kernels, each with a length scale a column."""
    ordered = [i for i in range(columns) if i not in categorical]
    parts: list[Kernel] = []
    if ordered:
        parts.append(
            get_covar_module_with_dim_scaled_prior(len(ordered), batch, use_rbf_kernel=False, active_dims=ordered)
        )
    if categorical:
        prior = LogNormalPrior(0.0, 1.0)
        parts.append(
            CategoricalKernel(
                batch_shape=batch,
                ard_num_dims=len(categorical),
                active_dims=list(categorical),
                lengthscale_prior=prior,
                lengthscale_constraint=GreaterThan(2.5e-2, transform=None, initial_value=prior.mode),
            )
        )
    return parts[0] if len(parts) == 1 else parts[0] * parts[1]


def _means(model: Any, x: Tensor) -> Tensor:
    """Posterior means (batch, processes)."""
    return torch.zeros(len(x), 0, dtype=x.dtype) if model is None else model.posterior(x).mean
