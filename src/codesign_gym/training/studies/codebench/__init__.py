"""CODEBench (Tuli, Li, Sharma and Jha, ACM TECS 2023): networks and accelerators designed together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from scipy.stats import spearmanr

from codesign_gym.agents import interface
from codesign_gym.envs.core.problem import column, score
from codesign_gym.errors import UnknownName
from codesign_gym.training.studies.codebench.graphs import Accuracy, Family, measured, train
from codesign_gym.training.studies.codebench.problem import IMAGES, CodesignProblem
from codesign_gym.training.studies.codebench.searches import Found, Search, accelerator_first, network_first, run
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.part import middle
from codesign_gym.training.studies.study import MEDIAN, Claim, Report, Table, at_least, at_most, decides, judged

SEEDS = {"small": (0, 1, 2), "full": (0, 1, 2, 3, 4)}
EVALUATIONS = {"small": 100, "full": 150}
RANDOM_PAIRS = 10_000
AGENTS = {
    "small": ("boshcode", "boshcode-sgd", "random", "evolutionary"),
    "full": ("boshcode", "boshcode-sgd", "random", "evolutionary", "bayesian", "nsga2", "ppo"),
}
FAMILIES = {"small": Family(width=(4, 8, 16), depth=(1, 2), kernel=(3,)), "full": Family()}

JOINT, NETWORK_FIRST, ACCELERATOR_FIRST, ONE_BATCH = "joint", "network first", "accelerator first", "one batch"

NOTES = (
    "Networks are really trained, each on 700 digits of 8x8 pixels for 8 epochs; their work is counted at 32x32, the "
    "size of CODEBench's images. Searches see the accuracy on 500 images, the tables state that on 500 others.",
    f"A design classifies {IMAGES} images; as released, one batch is charged whatever its size, so that a batch of one "
    "image is always best and the limits of 1 s and 10 J are far away ('one batch', at scale full).",
    "Score: .2 accuracy + .2 (1 - latency / 1 s) + .1 (1 - area / 1000 mm2) + .2 (1 - dynamic energy / 10 J) + "
    ".3 (1 - leakage / 10 J), CODEBench's weights. The exact optimum is not known: there are 2.5e9 pairs at scale "
    "small, 1.5e10 at full, and costing them takes 20 or 140 hours of a core (30,000 a second). The bound in the table "
    "is the score of the most accurate network at no cost, which no pair can pass.",
    "The number of images and boshcode's settings were chosen on this space, seeds 0 to 2, with made-up accuracies.",
)


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Train the networks, search, and compare.

    Args:
        scale: ``small`` (36 networks, 100 evaluations) or ``full`` (216 and 150).
        chosen: agents to compare beside CODEBench's own, by commas.
        console: where progress is shown.
    """
    names = _agents(scale, chosen)
    family = FAMILIES[scale]
    accuracy = measured(family.graphs, run_all(train, family.graphs, "training networks", console))
    problem = CodesignProblem(family, accuracy)
    target = float(_random_scores(problem).max())
    found = run_all(run, _searches(scale, names, family, accuracy), "searches", console)
    joint = {name: [f for f in found if (f.search.agent, f.search.label) == (name, JOINT)] for name in names}
    sided = {
        label: [f for f in found if f.search.label == label] for label in (NETWORK_FIRST, ACCELERATOR_FIRST, ONE_BATCH)
    }
    claims = (
        _reaches(joint["boshcode"], target, EVALUATIONS[scale]),
        _beats_one_sided(problem, joint["boshcode"], sided[NETWORK_FIRST]),
        _predicts(problem, SEEDS[scale]),
        _second_order(joint["boshcode"], joint["boshcode-sgd"]),
    )
    return Report(
        "codebench", scale, claims, (_compared(joint, target, _bound(problem)), _sides(sided, joint["boshcode"])), NOTES
    )


def _agents(scale: str, chosen: str | None) -> tuple[str, ...]:
    """CODEBench's two, and the others; raises :class:`UnknownName`."""
    if chosen is None:
        return AGENTS[scale]
    known = interface.CATALOG.names()
    for name in chosen.split(","):
        if name not in known:
            raise UnknownName("agent", name, known)
    return tuple(dict.fromkeys((*AGENTS["small"], *chosen.split(","))))


def _searches(scale: str, names: Sequence[str], family: Family, accuracy: Accuracy) -> list[Search]:
    problem, count = CodesignProblem(family, accuracy), EVALUATIONS[scale]
    sides: list[tuple[str, int | None, tuple[tuple[str, int], ...]]] = [(NETWORK_FIRST, IMAGES, network_first(problem))]
    if scale == "full":
        sides += [(ACCELERATOR_FIRST, IMAGES, accelerator_first(problem)), (ONE_BATCH, None, ())]
    jobs = []
    for seed in SEEDS[scale]:
        jobs += [Search(name, seed, count, family, accuracy, label=JOINT) for name in names]
        jobs += [
            Search("boshcode", seed, count, family, accuracy, images, fixed, side) for side, images, fixed in sides
        ]
    return jobs


def _random_scores(problem: CodesignProblem) -> np.ndarray:
    """Scores of the random pairs, shape (pairs,)."""
    designs = problem.space.sample(np.random.default_rng(0), RANDOM_PAIRS)
    return score(problem, problem.evaluate(designs))


def _bound(problem: CodesignProblem) -> float:
    """What no pair's score can pass: the most accurate network's, were its costs 0."""
    best = np.zeros((1, len(problem.metrics)))
    best[0, column(problem, "accuracy")] = problem.accuracy.search.max()
    return float(score(problem, best)[0])


def _reaches(joint: list[Found], target: float, granted: int) -> Claim:
    spent = [found.after(target) for found in joint]
    best = [found.best[-1] for found in joint]
    return Claim(
        f"(a) joint search reaches the best of {RANDOM_PAIRS:,} random pairs within {granted} evaluations",
        "1.5 points, 34.7x throughput, 11x energy-delay product ahead of Auto-NBA, a joint search by gradients",
        _count(middle(spent)),
        _count(max(spent)),
        middle(spent) <= granted,
        f"random pairs reach {target:.4f}; the search {middle(best):.4f} (median) and {min(best):.4f} (worst)",
        decides(MEDIAN, len(joint)),
    )


def _beats_one_sided(problem: CodesignProblem, joint: list[Found], sided: list[Found]) -> Claim:
    gains = [one.best[-1] / other.best[-1] - 1 for one, other in zip(joint, sided, strict=True)]
    graph = problem.family.graphs[int(problem.accuracy.search.argmax())]
    pinned = CodesignProblem(problem.family, problem.accuracy, fixed=network_first(problem))
    most = float(_random_scores(pinned).max())
    return Claim(
        "(b) joint design scores at least 2 % more than the most accurate network with an accelerator found for it",
        "+1.4 points of accuracy, -59 % latency, -61 % energy against the best pair",
        f"{100 * middle(gains):+.2f} %",
        f"{100 * min(gains):+.2f} %",
        middle(gains) >= 0.02,
        f"most accurate is {graph.name}, {100 * problem.accuracy.search.max():.1f} % of search images; the best of "
        f"{RANDOM_PAIRS:,} random accelerators for it scores {most:.4f}, which leaves "
        "little to gain below a score of 1; with one side fixed there are fewer knobs to learn",
        decides(MEDIAN, len(gains)),
    )


def _predicts(problem: CodesignProblem, seeds: Sequence[int]) -> Claim:
    from codesign_gym.agents.surrogate_gradient.boshcode import log_regret
    from codesign_gym.agents.surrogate_gradient.encoding import Encoding
    from codesign_gym.agents.surrogate_gradient.surrogate import Shape, Surrogate

    encoding, ranks = Encoding(problem.space), []
    for seed in seeds:
        designs = problem.space.sample(np.random.default_rng(1000 + seed), 150 + 2000)
        metrics = problem.evaluate(designs)
        surrogate = Surrogate(encoding.features, Shape(), seed)
        surrogate.fit(encoding.points(designs[:150]), log_regret(problem, metrics[:150]))
        predicted = surrogate.predict(encoding.points(designs[150:])).mean
        ranks.append(float(spearmanr(-predicted, score(problem, metrics[150:])).statistic))
    text = "(c) the surrogate of 150 random pairs ranks 2,000 others with a Spearman correlation of .85"
    return judged(text, ranks, at_least(0.85), "{:.3f}", by=MEDIAN)


def _second_order(second: list[Found], first: list[Found]) -> Claim:
    ratios = []
    for one, other in zip(second, first, strict=True):
        level = min(one.best[-1], other.best[-1])
        ratios.append(one.after(level) / other.after(level))
    return judged(
        "(d) second-order input search needs at most .75 of the evaluations of first-order search",
        ratios,
        at_most(0.75),
        "{:.2f}",
        by=MEDIAN,
        note="until the lower of both final scores is reached; same surrogate, trust region and descents, step size of "
        "each its own",
    )


def _compared(joint: dict[str, list[Found]], target: float, bound: float) -> Table:
    rows = []
    for name, mine in joint.items():
        best = [found.best[-1] for found in mine]
        spent = middle([found.after(target) for found in mine])
        used = max(len(found.best) for found in mine)
        tested = middle([found.test_accuracy for found in mine])
        row = (name, used, f"{middle(best):.4f}", f"{min(best):.4f}", _count(spent), f"{100 * tested:.1f} %")
        rows.append((-middle(best), row))
    at_no_cost = ("bound: at no cost", "", f"{bound:.4f}", f"{bound:.4f}", "", "")
    ordered = (at_no_cost, *(row for _, row in sorted(rows, key=lambda pair: pair[0])))
    headings = ("agent", "evaluations used", "score, median", "score, worst", "until random's best", "test accuracy")
    return Table(f"joint search, {len(joint['boshcode'])} seeds; best random pair {target:.4f}", headings, ordered)


def _sides(sided: dict[str, list[Found]], joint: list[Found]) -> Table:
    rows = []
    for label, mine in {JOINT: joint, **sided}.items():
        if not mine:
            continue
        best = [found.best[-1] for found in mine]
        accuracy, latency, area, dynamic, leakage = np.median([found.metrics for found in mine], axis=0)
        costs = (f"{1e3 * latency:.2f} ms", f"{area:.1f} mm2", f"{dynamic:.3f} J", f"{leakage:.4f} J")
        rows.append((label, f"{middle(best):.4f}", f"{min(best):.4f}", f"{100 * accuracy:.1f} %", *costs))
    headings = ("search", "score, median", "score, worst", "accuracy", "latency", "area", "dynamic", "leakage")
    return Table("boshcode, both sides and one; medians over seeds", headings, tuple(rows))


def _count(evaluations: float) -> str:
    return f"{evaluations:.0f}" if np.isfinite(evaluations) else "not reached"
