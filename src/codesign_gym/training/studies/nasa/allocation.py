"""Part (b): PEs in proportion to operations, against the best split there is and two simple ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from codesign_gym.simulators.hardware.chunked import OPERATORS, Chunked
from codesign_gym.simulators.hardware.chunked.allocation import (
    all_splits,
    equal_area_pes,
    equal_count_pes,
    proportional_pes,
)
from codesign_gym.simulators.hardware.sweep import in_blocks
from codesign_gym.simulators.hardware.systolic.form import DATAFLOWS
from codesign_gym.training.studies.nasa.mapping import LARGE, SEEDS
from codesign_gym.training.studies.nasa.nets import Hybrid, accelerator
from codesign_gym.training.studies.part import Part, middle
from codesign_gym.training.studies.study import Table, at_least, at_most, judged

#: Eyeriss' PEs, whose area as convolution PEs is the budget.
MAC_PES = 168
#: Steps of the brute-force search, in PEs of the first two chunks.
STEP = {"small": 8, "full": 2}

WITHIN = 1.05
AHEAD = 1.5

#: The operation mix of the card's arithmetic, and its figures against equal areas and equal counts.
MIX = np.array([0.40, 0.35, 0.25])
MIX_RATIOS = (2.25, 1.08)

#: Splits in the table, each of which looks at one, beside the best.
SHOWN = ("proportional", "equal area", "equal count", "random")

Splits = dict[str, NDArray[np.int64]]


def run(scale: str, console: Console) -> Part:
    """Periods of networks drawn from NASA's space, in closed form, with and without DRAM in the way."""
    model = accelerator()
    found = [_periods(model, Hybrid.drawn(LARGE, seed), STEP[scale]) for seed in SEEDS]
    aside, real = ([pair[i] for pair in found] for i in range(2))
    best = [p["proportional"] / p["best"] for p in aside]
    area, count = ([p[name] / p["proportional"] for p in aside] for name in ("equal area", "equal count"))
    with_dram = [p["equal area"] / p["proportional"] for p in real]
    ideal = _ideal(model)
    claims = (
        judged(
            "(b) PEs in proportion to operations within 5 % of the best split",
            best,
            at_most(WITHIN),
            "{:.3f}x",
            of="networks",
            note="time of the busiest chunk; DRAM aside",
        ),
        judged(
            "(b) 1.5x faster than chunks of equal area",
            area,
            at_least(AHEAD),
            "{:.2f}x",
            of="networks",
            note=f"against equal PE counts {middle(count):.2f}x; with DRAM of {model.dram_bytes_per_s / 1e9:g} GB/s, "
            f"which is the bottleneck then, {middle(with_dram):.2f}x against equal areas; at the mix .40/.35/.25 "
            f"{ideal[0]:.2f}x and {ideal[1]:.2f}x",
        ),
    )
    return Part(claims, (_table(found, SEEDS),))


def _ideal(model: Chunked) -> tuple[float, ...]:
    """Periods at MIX of equal areas and of equal counts against the proportional split; PEs may be broken."""
    areas = np.array(model.pe_areas_mm2)
    proportional = (MIX * areas).sum()  # per area
    return tuple(float((MIX / pes).max() / proportional) for pes in (1 / 3 / areas, 1 / areas.sum()))


def _periods(model: Chunked, net: Hybrid, step: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds between images by split, with DRAM aside and with the model's."""
    areas = np.array(model.pe_areas_mm2)
    budget = MAC_PES * areas[0]
    named: Splits = {
        "proportional": proportional_pes(net.operations, areas, budget),
        "equal area": equal_area_pes(areas, budget),
        "equal count": equal_count_pes(areas, budget),
    }
    splits = np.concatenate([np.stack(list(named.values())), all_splits(areas, budget, step)])
    aside, dram_s = _busy(model, net, splits)

    def told(period: NDArray[np.float64]) -> dict[str, float]:
        own, others = period[: len(named)].tolist(), period[len(named) :]
        return {**dict(zip(named, own, strict=True)), "best": float(period.min()), "random": float(np.median(others))}

    return told(aside), told(np.maximum(aside, dram_s))


def _busy(model: Chunked, net: Hybrid, splits: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Time of the busiest chunk, (splits,), every layer at its fastest dataflow; and DRAM's least."""
    mine = net.kind == np.arange(len(OPERATORS))[:, None]  # (chunks, rows)

    def block(part: slice) -> NDArray[np.float64]:
        pes = {f"{name}_pes": splits[part, [chunk]] for chunk, name in enumerate(OPERATORS)}
        cycles = [net.on(model, dataflow=d, **pes).cost(net.layers, net.bits).detail["cycles"] for d in _FLOWS]
        return np.asarray((np.min(cycles, axis=0)[:, None] * mine).sum(-1).max(-1) / model.clock_hz)

    bits = [net.on(model, dataflow=d).cost(net.layers, net.bits).detail["dram_bits"] for d in _FLOWS]
    return in_blocks(block, len(splits), len(net.kind)), float(np.min(bits, axis=0).sum() / 8 / model.dram_bytes_per_s)


_FLOWS = range(len(DATAFLOWS))


def _table(found: list[tuple[dict[str, float], dict[str, float]]], seeds: tuple[int, ...]) -> Table:
    rows = tuple(
        (
            f"{LARGE}, seed {seed}",
            memory,
            f"{1e3 * periods['best']:.3f} ms",
            *(f"{periods[name] / periods['best']:.3f}x" for name in SHOWN),
        )
        for seed, pair in zip(seeds, found, strict=True)
        for memory, periods in zip(("aside", "1.6 GB/s"), pair, strict=True)
    )
    title = f"(b) period with the area of {MAC_PES} MAC PEs divided three ways, against the best of all divisions"
    headings = ("network", "DRAM", "best split", *SHOWN[:-1], "a random split (median of all)")
    return Table(title, headings, rows)
