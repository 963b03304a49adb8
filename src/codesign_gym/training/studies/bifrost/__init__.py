"""Bifrost (Stjerngren, Gibson, Cano, ISPASS 2022): tuning the mappings of a reconfigurable accelerator."""

from __future__ import annotations

from rich.console import Console

from codesign_gym.training.studies.bifrost import published, tuners
from codesign_gym.training.studies.study import Report

NOTES = (
    "Every trial is a mapping that fits: masks leave no other, for random search as for the rest. A mapping proposed "
    "twice is two trials.",
    "Tiles are the smallest for each number of passes over a loop. The divisors of the loops, which Bifrost chooses "
    "from, leave only 28 to 268 mappings a layer that fit, so 500 trials there are an exhaustive search.",
    "Of the mappings by divisors, the one with the fewest partial sums takes, on convolutions 1 to 4, the cycles that "
    "Bifrost lists as tuned, within half a percent: it tuned by partial sums, which costs up to 1.45 times the cycles "
    "of the best (convolution 5; there, and on the fully connected layers, the listed cycles are more still).",
    "PPO's settings were chosen on convolutions 2 and 3 and FC 2, seeds 0 to 2 of this very study (which favours it); "
    "the other tuners have their shipped ones. Masked random search is strong: 500 of some 5,000 mappings are a tenth.",
)


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Run every part: the published cycles, and the tuners.

    Args:
        scale: ``small`` or ``full``.
        chosen: not used: the tuners are what is compared.
        console: where progress is shown.
    """
    found = tuners.run(scale, console)
    return Report("bifrost", scale, (*published.claims(), *found.claims), found.tables, NOTES)
