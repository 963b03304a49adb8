"""Fitting a cost model's free constants to measurements.

Any cost model is fitted, as a black box: least squares (SciPy's trust-region reflective) on the
logarithms of the constants, within their fields' bounds. A search first makes the logarithms of predicted
over measured small, which leads there from afar, then the relative errors, which are what is reported.
Errors beyond 10 % count by size instead of by square (``soft_l1``), since a few layers that a model gets
wrong should not bend the others.

A weak pull toward the file's values keeps constants in place that no row depends on. Several starts, the
best of a seeded Latin hypercube, guard against maxima that hide a constant from where the search begins.

Error bars are 95 % intervals from the Jacobian at the solution: the larger of the classical and the
cluster-robust one (rows of one layer shape or network may be wrong together). Limits: they describe the
data's noise given the model's form; a constant outside its interval is common where the form is wrong.
A fit calls the model some hundred times a constant, which takes long where the model itself searches
(for tilings or mappings).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import t as student
from scipy.stats.qmc import LatinHypercube

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.calibration.constants import Constant, real_constants
from codesign_gym.simulators.hardware.calibration.data import Measurements
from codesign_gym.simulators.hardware.calibration.record import ErrorBar
from codesign_gym.simulators.hardware.model import CostModel
from codesign_gym.simulators.networks.layers import Op

STARTS = 4  # searches besides the one from the file's values
SCREENED = 32  # points that these are the best of
REACH = np.log(100.0)  # how far such points lie from the file's values, either way
SPAN = np.log(1e6)  # how far a constant may move
STEP = 0.005  # of a finite difference, in logarithms: wide enough to see past rounding up to whole tiles
NOISE = 0.1  # relative error beyond which a row counts less
LIMIT = 50.0  # of a logarithm, so that nothing overflows
PULL = 1e-3  # toward the file's value, in relative error a row for a factor of e
FLAT = 0.01  # relative change of the predictions for a factor of e, below which a direction is flat
WIDE = np.log(10.0)  # half an interval, beyond which a constant is not determined
TRIED = 10.0  # factor by which a constant is moved to see whether any prediction depends on it
WORSE = 4.0  # how much less likely, as minus twice the logarithm of a likelihood ratio, is more than noise

Vector = NDArray[np.float64]
T = TypeVar("T")
#: Wraps work in a progress bar: the work and how much it is.
Shown = Callable[[Iterable[T], int], Iterable[T]]


@dataclass(frozen=True)
class Problem:
    """A model, its free constants and the measurements they are to meet; ``z`` is the logarithm of value over start."""

    model: CostModel
    constants: tuple[Constant, ...]
    data: Measurements

    def values(self, z: Vector) -> dict[str, float]:
        """The constants at ``z``, shape (constants,)."""
        moved = zip(self.constants, np.exp(z), strict=True)
        return {c.name: float(np.clip(c.start * factor, c.low, c.high)) for c, factor in moved}

    def predict(self, values: dict[str, float]) -> dict[str, Vector]:
        """Predictions of every measured quantity, shape (rows,)."""
        costs = replace(self.model, **values).cost(self.data.layers, self.data.bits)  # type: ignore[type-var]
        exists = self.data.layers.valid == 1
        predicted = {}
        for name in self.data.measured:
            column = getattr(costs, name)
            if column is None:
                raise BadConfig(f"the model gives no {name}, which {self.data.sheet.path} has; leave that column out")
            predicted[name] = np.where(exists, np.asarray(column, dtype=np.float64), 0.0).sum(-1)
        return predicted

    def logs(self, z: Vector) -> Vector:
        """Logarithms of predicted over measured, shape (quantities * rows,)."""
        predicted = self.predict(self.values(z))
        pairs = [(predicted[name], measured) for name, measured in self.data.measured.items()]
        return np.concatenate([np.log(np.maximum(p, 1e-300)) - np.log(m) for p, m in pairs]).clip(-LIMIT, LIMIT)

    def errors(self, z: Vector) -> Vector:
        """Relative errors, shape (quantities * rows,)."""
        return np.expm1(self.logs(z))

    def loss(self, z: Vector) -> float:
        """What a search makes least, without the pull."""
        return float(NOISE**2 * (np.sqrt(1 + (self.errors(z) / NOISE) ** 2) - 1).sum())

    def log_slopes(self, z: Vector) -> Vector:
        """Derivatives of :meth:`logs`, shape (quantities * rows, constants), by central differences inside bounds."""
        low, high = self.bounds
        columns = []
        for i in range(len(z)):
            ends = [z.copy(), z.copy()]
            ends[0][i], ends[1][i] = max(z[i] - STEP, low[i]), min(z[i] + STEP, high[i])
            columns.append((self.logs(ends[1]) - self.logs(ends[0])) / (ends[1][i] - ends[0][i]))
        return np.stack(columns, -1)

    def slopes(self, z: Vector) -> Vector:
        """Derivatives of :meth:`errors`, of the same shape."""
        return np.asarray(np.exp(self.logs(z))[:, None] * self.log_slopes(z))

    @property
    def bounds(self) -> tuple[Vector, Vector]:
        """Least and largest ``z``, each of shape (constants,)."""
        with np.errstate(divide="ignore"):
            low = np.array([np.log(c.low / c.start) for c in self.constants])
            high = np.array([np.log(c.high / c.start) for c in self.constants])
        return np.clip(low, -SPAN, 0), np.clip(high, 0, SPAN)


def exercised(model: CostModel, names: Iterable[str], data: Measurements) -> list[str]:
    """Those of a model's real constants, by name, on which the prediction for any row depends."""
    bare, real = Problem(model, (), data), real_constants(model)
    given = bare.predict({})

    def moves(name: str) -> bool:
        known = real[name]
        tried = [known.start * TRIED, known.start / TRIED] if known.start else [1.0]
        found = [bare.predict({name: float(np.clip(value, known.low, known.high))}) for value in tried]
        return any(
            not np.allclose(one[quantity], given[quantity], rtol=1e-6, atol=0) for one in found for quantity in given
        )

    return [name for name in names if moves(name)]


def problem(model: CostModel, constants: Sequence[Constant], data: Measurements) -> Problem:
    """The problem of fitting ``constants``; one that is 0 starts where it begins to matter.

    Raises:
        BadConfig: if there are no more rows, layer shapes or networks than needed, or a row costs nothing in the model.
    """
    least = max(len(constants) + 1, 3)
    if len(data) < least:
        raise BadConfig(
            f"{data.sheet.path}: {len(data)} rows for {len(constants)} free constants; accepted: {least} or more"
        )
    if len(np.unique(data.groups)) < 2:
        raise BadConfig(
            f"{data.sheet.path}: every row is of the same layer shape or network; accepted: two or more, so that "
            "predictions for the others can be tested"
        )
    bare = Problem(model, (), data)
    made = replace(bare, constants=tuple(_begun(bare, constant) for constant in constants))
    for name, predicted in made.predict(made.values(np.zeros(len(constants)))).items():
        bad = ~(np.isfinite(predicted) & (predicted > 0))
        if bad.any():
            first = int(np.argmax(bad))
            names = {Op(op).name.lower() for op in data.layers.op[first][data.layers.valid[first] == 1]}
            raise BadConfig(
                f"{data.sheet.row(first)}: the model gives it {name} {predicted[first]:g} "
                f"({', '.join(sorted(names))}); leave it out"
            )
    return made


def _begun(of: Problem, constant: Constant) -> Constant:
    """The constant with a positive start: where it is 0, the least power of ten that changes predictions by 1 %."""
    if constant.start > 0:
        return constant
    before = of.predict({})
    for start in np.logspace(-15, 15, 31):
        if constant.low < start < constant.high:
            after = of.predict({constant.name: float(start)})
            if any(np.mean(np.abs(after[name] - before[name]) > 0.01 * before[name]) > 0.5 for name in before):
                return replace(constant, start=float(start))
    raise BadConfig(f"free constant {constant.name!r} is 0 and no value changes the predictions; leave it fixed")


def starts(of: Problem, seed: int) -> list[Vector]:
    """Where searches begin: the file's values, and the best few of a Latin hypercube around them."""
    low, high = of.bounds
    low, high = np.maximum(low, -REACH), np.minimum(high, REACH)
    cube = LatinHypercube(len(low), rng=np.random.default_rng(seed)).random(SCREENED)
    points = low + cube * (high - low)
    loss = [np.abs(of.logs(point)).mean() for point in points]
    return [np.zeros(len(low)), *points[np.argsort(loss)[:STARTS]]]


def solve(of: Problem, start: Vector) -> tuple[float, Vector]:
    """The loss and ``z`` that a search from ``start`` ends at."""
    pull = PULL * np.sqrt(len(of.data))
    low, high = of.bounds
    z, loss = np.clip(start, low, high), 0.0
    for errors, slopes in ((of.logs, of.log_slopes), (of.errors, of.slopes)):
        found = least_squares(
            lambda z, errors=errors: np.concatenate([errors(z), pull * z]),
            z,
            jac=lambda z, slopes=slopes: np.concatenate([slopes(z), pull * np.eye(len(z))]),
            bounds=(low, high),
            loss="soft_l1",
            f_scale=NOISE,
            max_nfev=100,
        )
        z, loss = np.asarray(found.x), float(found.cost)
    return loss, z


def _best(ends: Sequence[tuple[float, Vector]], rows: int) -> Vector:
    """The end of the first search, which began at the file's values, unless another is better by more than noise."""
    loss, z = min(ends, key=lambda end: end[0])
    return z if loss < ends[0][0] * np.exp(-WORSE / rows) else ends[0][1]


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Attributes:
        values: the free constants, to six digits.
        bars: their error bars.
        before, after, unseen: predictions by quantity, shape (rows,): with the file's values, with the
            fitted ones, and for every row with constants fitted without its group.
        folds: parts that were kept aside in turn.
        warnings: what the data do not determine, a line each, and which constants to fit instead.
    """

    values: dict[str, float]
    bars: dict[str, ErrorBar]
    before: dict[str, Vector]
    after: dict[str, Vector]
    unseen: dict[str, Vector]
    folds: int
    warnings: tuple[str, ...]


def fit(of: Problem, folds: int, seed: int, shown: Shown[Any] = lambda work, _: work) -> Fitted:
    """Fit on all rows and then, from where that ended, on all but each fold's, to see how well it predicts those.

    Args:
        of: what to fit.
        folds: parts into which groups are dealt; no more than there are groups.
        seed: of the folds and the starts.
        shown: wraps the searches in a progress bar.
    """
    part = fold_of(of.data.groups, folds, seed)
    begins, parts = starts(of, seed), part.max() + 1
    ends: list[tuple[float, Vector]] = []
    unseen = {name: np.empty(len(of.data)) for name in of.data.measured}
    for job in shown(range(len(begins) + parts), len(begins) + parts):
        if job < len(begins):
            ends.append(solve(of, begins[job]))
            continue
        aside = part == job - len(begins)
        _, z = solve(replace(of, data=of.data.only(~aside)), _best(ends, len(of.data)))
        for name, predicted in of.predict(of.values(z)).items():
            unseen[name][aside] = predicted[aside]

    best = _best(ends, len(of.data))
    values = {name: float(f"{value:.6g}") for name, value in of.values(best).items()}
    bars, warnings = error_bars(of, best)
    if any(bar.low is None for bar in bars.values()):
        warnings.append(_advice(told_apart(of, best, bars)))
    return Fitted(values, bars, of.predict({}), of.predict(values), unseen, parts, tuple(warnings))


def fold_of(groups: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of every row, shape (rows,): groups are dealt out in a seeded order."""
    names, place = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return np.asarray((order % min(folds, len(names)))[place])


def error_bars(of: Problem, z: Vector) -> tuple[dict[str, ErrorBar], list[str]]:
    """95 % intervals of the constants at a solution, and a line for those that the data do not determine."""
    names, rows = [c.name for c in of.constants], len(of.data)
    slopes, half = of.log_slopes(z), _half_intervals(of, z)
    dull = _open_ended(of, z)
    blurred = ~dull & (half > WIDE)
    curvature, directions = np.linalg.eigh(slopes[:, ~dull].T @ slopes[:, ~dull] / rows)
    for flat in directions.T[curvature < FLAT**2]:
        blurred[np.flatnonzero(~dull)[np.abs(flat) > 0.3]] = True
    low, high = of.bounds
    bound = ~dull & ~blurred & ((z < low + STEP) | (z > high - STEP))

    fitted = of.values(z)
    bars = {name: ErrorBar() for name in names}
    for i in np.flatnonzero(~dull & ~blurred):
        ends = fitted[names[i]] * np.exp([-half[i], half[i]])
        bars[names[i]] = ErrorBar(low=float(f"{ends[0]:.6g}"), high=float(f"{ends[1]:.6g}"))
    told = (
        (dull, "not identifiable from these rows: {} (they do not depend on it, or bound it from one side only)"),
        (blurred, "not identifiable from these rows: {} (known in combination at best)"),
        (bound, "{} ended at a bound of what it may be: the model may lack what the data show"),
    )
    return bars, [line.format(", ".join(np.array(names)[which])) for which, line in told if which.any()]


def told_apart(of: Problem, z: Vector, bars: Mapping[str, ErrorBar]) -> list[str]:
    """Constants that the data determine together: those with ``bars`` at ``z``, and others as long as all have some."""
    values = of.values(z)
    there = replace(of, model=replace(of.model, **values))  # type: ignore[type-var]

    def determined(names: Sequence[str]) -> bool:
        constants = tuple(replace(c, start=values[c.name]) for c in of.constants if c.name in names)
        alone, _ = error_bars(replace(there, constants=constants), np.zeros(len(constants)))
        return all(bar.low is not None for bar in alone.values())

    kept = [name for name, bar in bars.items() if bar.low is not None]
    for name in (name for name, bar in bars.items() if bar.low is None):
        if values[name] > 0 and determined([*kept, name]):
            kept.append(name)
    return [constant.name for constant in of.constants if constant.name in kept]


def _advice(names: Sequence[str]) -> str:
    if not names:
        return "these rows determine no constant by itself; measure layers of more different shapes"
    return f"these rows tell apart {', '.join(names)}: fit them alone with --free {','.join(names)}"


def _open_ended(of: Problem, z: Vector) -> NDArray[np.bool_]:
    """Which constants can be ten times as large or as small and fit as well, shape (constants,).

    Derivatives do not tell: where a search ends on the edge of a maximum, one side of it is flat.
    """
    low, high = of.bounds
    least = of.loss(z) * np.exp(WORSE / len(of.data)) + 1e-9
    found = np.zeros(len(z), dtype=bool)
    for i in range(len(z)):
        for end in (max(z[i] - WIDE, low[i]), min(z[i] + WIDE, high[i])):
            moved = z.copy()
            moved[i] = end
            found[i] |= abs(end - z[i]) > WIDE / 2 and of.loss(moved) < least
    return found


def _half_intervals(of: Problem, z: Vector) -> Vector:
    """Half the 95 % intervals of ``z``, shape (constants,), for the loss and the pull of :func:`solve`."""
    jacobian, error = of.slopes(z), of.errors(z)
    bend = 1 + (error / NOISE) ** 2
    score, slope = error / np.sqrt(bend), bend**-1.5  # the loss's derivatives, of soft_l1
    pull = (PULL**2 * len(of.data)) * np.eye(len(z))
    clusters, place = np.unique(np.tile(of.data.groups, len(of.data.measured)), return_inverse=True)
    rows, count, groups = len(error), len(z), len(clusters)

    noise = (score**2).sum() / max(rows - count, 1) / slope.mean() ** 2
    classical = noise * np.linalg.inv(jacobian.T @ jacobian + pull)
    summed = np.zeros((groups, count))
    np.add.at(summed, place, jacobian * score[:, None])
    correction = groups / (groups - 1) * (rows - 1) / max(rows - count, 1)
    bread = np.linalg.inv(jacobian.T @ (jacobian * slope[:, None]) + pull)
    robust = bread @ (correction * summed.T @ summed) @ bread
    variance = np.maximum(np.diag(classical), np.diag(robust))
    return np.asarray(student.ppf(0.975, groups - 1) * np.sqrt(variance))
