"""Part (a): the auto-mapper against the exact optimum, and against one dataflow for all chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from codesign_gym.errors import Infeasible
from codesign_gym.simulators.hardware.chunked import OPERATORS
from codesign_gym.simulators.hardware.chunked.exact import least_edp
from codesign_gym.simulators.hardware.chunked.mapper import auto_map
from codesign_gym.simulators.hardware.chunked.mappings import CHOICES, DATAFLOWS, MappingTable
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.nasa.nets import Hybrid, accelerator
from codesign_gym.training.studies.part import Part, middle
from codesign_gym.training.studies.study import Claim, Table, at_least, at_most, judged

LARGE, SMALL = "nasa-add-all", "digits-hybrid"
SEEDS = (0, 1, 2, 3, 4)
SEEDS_SMALL = 3

WITHIN = 1.01
AHEAD = 1.15

#: DRAM of the shipped device, and one 8 times as fast (a 32-bit LPDDR4 channel at 3200 MT/s), in bytes a second.
SHIPPED, FAST = 1.6e9, 12.8e9

EXACT = "(a) auto-mapper within 1 % of the exact optimum"
GAIN = "(a) 1.15x lower EDP than the best dataflow for all"


@dataclass(frozen=True)
class Job:
    """One network with one DRAM.

    Attributes:
        space, seed: of the network.
        dram_bytes_per_s: bandwidth.
        exact: whether the exact optimum is computed, which takes seconds.
    """

    space: str
    seed: int
    dram_bytes_per_s: float
    exact: bool


@dataclass(frozen=True)
class Outcome:
    """What mappers find for a network.

    Attributes:
        job: the job.
        edp_js: with a dataflow for every layer.
        chunk_js: with a dataflow for every chunk.
        shared_js: with one dataflow for all, by its name; inf where the chunks' tiles do not fit together.
        random_js: the least of mappings drawn at random, as many as the auto-mapper costs of every layer.
        optimum_js, chunk_optimum_js: exact optima of the first two; NaN where not computed.
        alone: by dataflow, and of the free choice: the share of the global buffer that the chunks would take if every
            layer had its best mapping as though it were alone.
    """

    job: Job
    edp_js: float
    chunk_js: float
    shared_js: dict[str, float]
    random_js: float
    optimum_js: float
    chunk_optimum_js: float
    alone: dict[str, float]


def run(scale: str, console: Console) -> Part:
    """Networks drawn from NASA's space and from that of the digits."""
    small = scale == "small"
    seeds = SEEDS[: SEEDS_SMALL if small else None]
    jobs = [Job(LARGE, seed, bandwidth, not small) for bandwidth in (SHIPPED, FAST) for seed in seeds]
    jobs += [Job(SMALL, seed, SHIPPED, True) for seed in seeds]
    outcomes = run_all(mapped, jobs, "mappings", console)
    large = [[o for o in outcomes if o.job.space == LARGE and o.job.dram_bytes_per_s == b] for b in (SHIPPED, FAST)]
    claims = (
        _exact(outcomes),
        _gain(large[0], "DRAM of 1.6 GB/s"),
        _gain(large[1], "DRAM of 12.8 GB/s"),
        _gain([o for o in outcomes if o.job.space == SMALL], "DRAM of 1.6 GB/s"),
    )
    return Part(claims, (_table(outcomes), _alone(outcomes)))


def mapped(job: Job) -> Outcome:
    """Carry out a job."""
    model = replace(accelerator(), dram_bytes_per_s=job.dram_bytes_per_s)
    table, buffer = Hybrid.drawn(job.space, job.seed).table(model), float(model.buffer_bytes)
    families = {dataflow.name: table.dataflow == number for number, dataflow in enumerate(DATAFLOWS)}
    each = list(families.values())
    free, chunk = auto_map(table, buffer).edp_js, auto_map(table, buffer, each).edp_js
    everything = np.ones(len(table.dataflow), dtype=bool)
    return Outcome(
        job=job,
        edp_js=free,
        chunk_js=chunk,
        shared_js={name: _shared(table.only(family), buffer) for name, family in families.items()},
        random_js=drawn_js(table, buffer, job.seed),
        optimum_js=least_edp(table, buffer, free) if job.exact else float("nan"),
        chunk_optimum_js=least_edp(table, buffer, chunk, each) if job.exact else float("nan"),
        alone={name: _needed(table, family, buffer) for name, family in {"any": everything, **families}.items()},
    )


def drawn_js(table: MappingTable, buffer_bytes: float, seed: int) -> float:
    """Energy times period of the best of random mappings of the network, as many as a layer has candidates.

    Every layer takes tiles of no more than its chunk's even part of the buffer, so that chunks fit together.
    """
    chunks, count = np.arange(len(OPERATORS)), table.valid.shape[1]
    open_ = table.valid & (table.buffer_bytes <= buffer_bytes / len(chunks))  # (layers, candidates)
    generator = np.random.default_rng(seed)
    drawn = np.stack([generator.choice(np.flatnonzero(row), count) for row in open_])  # (layers, mappings)
    energy_j, latency_s, dram_s = (
        np.take_along_axis(column, drawn, axis=1) for column in (table.energy_j, table.latency_s, table.dram_s)
    )
    busy_s = ((table.chunk == chunks[:, None])[..., None] * latency_s).sum(1).max(0)
    return float((energy_j.sum(0) * np.maximum(busy_s, dram_s.sum(0))).min())


def _shared(table: MappingTable, buffer_bytes: float) -> float:
    try:
        return auto_map(table, buffer_bytes).edp_js
    except Infeasible:
        return float("inf")


def _needed(table: MappingTable, family: NDArray[np.bool_], buffer_bytes: float) -> float:
    allowed = table.valid & family & (table.buffer_bytes <= buffer_bytes)
    best = np.where(allowed, table.energy_j * table.latency_s, np.inf).argmin(-1)
    taken = table.buffer_bytes[np.arange(len(best)), best]
    chunks = [taken[table.chunk == chunk].max(initial=0.0) for chunk in range(len(OPERATORS))]
    return float(sum(chunks) / buffer_bytes)


def _exact(outcomes: list[Outcome]) -> Claim:
    known = [o for o in outcomes if o.job.exact]
    ratios = [r for o in known for r in (o.edp_js / o.optimum_js, o.chunk_js / o.chunk_optimum_js)]
    note = f"{len(known)} networks, a dataflow for every layer and for every chunk"
    return judged(EXACT, ratios, at_most(WITHIN), "{:.4f}x", of="mappings", note=note)


def gain(outcome: Outcome) -> float:
    """How many times more the best shared dataflow needs than the auto-mapper's."""
    return min(outcome.shared_js.values()) / outcome.edp_js


def _gain(outcomes: list[Outcome], where: str) -> Claim:
    gains = [gain(o) for o in outcomes]
    chunk = [min(o.shared_js.values()) / o.chunk_js for o in outcomes]
    broken = sum(not np.isfinite(js) for o in outcomes for js in o.shared_js.values())
    note = f"{middle(chunk):.2f}x with a dataflow a chunk; {broken} of {4 * len(outcomes)} shared ones do not fit"
    if min(gains) < AHEAD:
        note += "; what moves through DRAM decides, and tiled as well as can be, one dataflow moves little more"
    return judged(
        f"{GAIN}, {outcomes[0].job.space}, {where}", gains, at_least(AHEAD), "{:.2f}x", of="networks", note=note
    )


def _table(outcomes: list[Outcome]) -> Table:
    names = [dataflow.name for dataflow in DATAFLOWS]
    rows = tuple(
        (
            f"{o.job.space}, seed {o.job.seed}",
            f"{o.job.dram_bytes_per_s / 1e9:g} GB/s",
            f"{o.edp_js:.3g} J s",
            f"{o.optimum_js / o.edp_js:.4f}x" if o.job.exact else "not computed",
            f"{o.random_js / o.edp_js:.2f}x",
            f"{o.chunk_js / o.edp_js:.3f}x",
            *(f"{o.shared_js[name] / o.edp_js:.2f}x" if np.isfinite(o.shared_js[name]) else "-" for name in names),
        )
        for o in outcomes
    )
    title = "(a) energy times period of the auto-mapper; others against it; - where the chunks' tiles do not fit"
    landmarks = ("exact optimum", f"random, {len(CHOICES)} drawn")
    headings = ("network", "DRAM", "a dataflow a layer", *landmarks, "a chunk", *(f"{n} for all" for n in names))
    return Table(title, headings, rows)


def _alone(outcomes: list[Outcome]) -> Table:
    names = tuple(outcomes[0].alone)
    rows = tuple(
        (f"{o.job.space}, seed {o.job.seed}", *(f"{o.alone[name]:.2f}" for name in names))
        for o in outcomes
        if o.job.dram_bytes_per_s == SHIPPED
    )
    title = "(a) share of the global buffer that the chunks would take, every layer mapped as though it were alone"
    return Table(title, ("network", *names), rows)
