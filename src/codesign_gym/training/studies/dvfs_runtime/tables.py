"""What was measured on a load, as a table and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codesign_gym.training.control import ORACLE
from codesign_gym.training.studies.dvfs_runtime.rivals import EARLY, Row
from codesign_gym.training.studies.study import Table

HIGHEST = "performance"
#: Share of the requests that a governor or a fixed setting may miss and still be the one to beat.
MISSES = 0.01
#: A fixed setting is as good if it draws at most so much more.
AS_GOOD = 1.01


@dataclass(frozen=True)
class Load:
    """Everything measured on one load.

    Attributes:
        name: the load's.
        rivals: governors and fixed settings by name.
        oracle_w: mean power that nothing which misses nothing can go below.
        trained: learning agent to its rows, one a seed.
    """

    name: str
    rivals: Mapping[str, Row]
    oracle_w: float
    trained: Mapping[str, list[Row]]

    def best_governor(self, early: bool) -> str:
        """The governor that draws least among those that miss few enough."""
        names = [n for n, row in self.rivals.items() if "fixed" not in n and n.endswith(EARLY) == early]
        kept = [n for n in names if self.rivals[n]["miss_rate"] <= MISSES] or [HIGHEST + EARLY * early]
        return min(kept, key=lambda name: self.rivals[name]["power_w"])

    def of_oracles_saving(self, row: Row) -> float:
        """Saving against the highest clocks, as a share of the oracle's."""
        highest_w = self.rivals[HIGHEST]["power_w"]
        return (highest_w - row["power_w"]) / (highest_w - self.oracle_w)


def table(load: Load) -> Table:
    """A row per rival, per agent (median over seeds by power), and the oracle's."""
    highest_w = load.rivals[HIGHEST]["power_w"]
    rows = {**load.rivals, **{agent: middle(found) for agent, found in load.trained.items()}}
    body = [
        (
            name,
            f"{row['power_w']:.3f}",
            f"{100 * (1 - row['power_w'] / highest_w):.1f}",
            f"{100 * load.of_oracles_saving(row):.1f}",
            f"{100 * row['miss_rate']:.3f}",
            f"{100 * row['accuracy']:.2f}",
        )
        for name, row in rows.items()
    ]
    oracle = (
        ORACLE,
        f"{load.oracle_w:.3f}",
        f"{100 * (1 - load.oracle_w / highest_w):.1f}",
        "100.0",
        "0",
        "",
    )
    headings = ("policy", "power W", "saved %", "of the oracle's %", "missed %", "accuracy %")
    return Table(f"{load.name} load, unseen episodes", headings, (*body, oracle))


def middle(rows: list[Row]) -> Row:
    """The row of median power, the lower of two."""
    return sorted(rows, key=lambda row: row["power_w"])[(len(rows) - 1) // 2]


def notes(load: Load) -> list[str]:
    """Which rivals with the best exit threshold draw as little as what was learned, and what all of them miss."""
    learned = min(map(middle, load.trained.values()), key=lambda row: row["power_w"])
    rivals = ("best fixed" + EARLY, load.best_governor(early=True))
    as_good = [name for name in rivals if load.rivals[name]["power_w"] <= AS_GOOD * learned["power_w"]]
    told = " and ".join(f"{name} ({_told(load.rivals[name])})" for name in as_good)
    return [f"{load.name}: as good as what was learned ({_told(learned)}): {told}"] if as_good else []


def _told(row: Row) -> str:
    return f"{row['power_w']:.3f} W, {100 * row['miss_rate']:.3f} % missed"
