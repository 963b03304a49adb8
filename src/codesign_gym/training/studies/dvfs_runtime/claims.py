"""What the study claims of learned policies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codesign_gym.training.studies.dvfs_runtime.tables import Load
from codesign_gym.training.studies.study import MEDIAN, Claim, decides

SAVED, OF_ORACLE = 0.15, 0.9
#: The load on which a policy must beat governors, and the one whose future is known.
BURSTY, PREDICTABLE = "bursty", "periodic"


def of(loads: Sequence[Load]) -> tuple[Claim, ...]:
    """Claims of every agent on the loads that were run."""
    by_name = {load.name: load for load in loads}
    bursty, predictable = by_name[BURSTY], by_name[PREDICTABLE]
    return (
        *(_against_governor(bursty, agent, early) for early in (False, True) for agent in bursty.trained),
        *(_against_oracle(predictable, agent) for agent in predictable.trained),
    )


def _against_governor(load: Load, agent: str, early: bool) -> Claim:
    """Energy saved against the best governor at an equal or lower rate of misses."""
    name = load.best_governor(early)
    governor, rows = load.rivals[name], load.trained[agent]
    saved = np.array([1 - row["power_w"] / governor["power_w"] for row in rows])
    missed = np.array([row["miss_rate"] for row in rows])
    held = missed <= governor["miss_rate"]
    possible = 1 - load.oracle_w / governor["power_w"]
    what = "the best governor with early exits" if early else "the best governor"
    return Claim(
        text=f"{agent} saves 15 % energy against {what}, {load.name} load, missing no more",
        paper="",
        median=f"{100 * np.median(saved):.1f} %, missed {100 * np.median(missed):.3f} %",
        worst=f"{100 * saved.min():.1f} %, missed {100 * missed.max():.3f} %",
        passed=bool(np.median(saved) >= SAVED and np.median(missed) <= governor["miss_rate"]),
        note=f"{name}, missed {100 * governor['miss_rate']:.3f} %; no more in {held.sum()} of {len(rows)} seeds; "
        f"the oracle saves {100 * possible:.1f} %",
        by=decides(MEDIAN, len(rows)),
    )


def _against_oracle(load: Load, agent: str) -> Claim:
    """Share of the oracle's saving."""
    shares = np.array([load.of_oracles_saving(row) for row in load.trained[agent]])
    missed = np.array([row["miss_rate"] for row in load.trained[agent]])
    allowed = load.rivals[load.best_governor(early=False)]["miss_rate"]
    return Claim(
        text=f"{agent} reaches 90 % of the oracle's saving, {load.name} load, missing no more than the best governor",
        paper="",
        median=f"{100 * np.median(shares):.1f} %, missed {100 * np.median(missed):.3f} %",
        worst=f"{100 * shares.min():.1f} %, missed {100 * missed.max():.3f} %",
        passed=bool(np.median(shares) >= OF_ORACLE and np.median(missed) <= allowed),
        note=f"both against the highest clocks without early exits; the governor missed {100 * allowed:.3f} %",
        by=decides(MEDIAN, len(shares)),
    )
