"""HADAS (Bouzidi et al., DATE 2023): dynamic networks and the clocks that they run at, designed together."""

from __future__ import annotations

from rich.console import Console

from codesign_gym.training.studies.hadas import sensitivity, systems
from codesign_gym.training.studies.study import Report

NOTES = (
    "Energy is what a sample is expected to need, at constant clocks and a junction at 50 degrees Celsius; work is "
    "that of the networks' layers at 224 x 224 pixels, accuracy and exits are those of the images themselves.",
    "Every sample, also one that goes all the way, meets the deadline: 1.25 of the full network's latency at maximum "
    "clocks. On search images the lower end of a one-sided 95 % interval of the accuracy stays within half a point; a "
    "margin of one standard error, tried before, lost up to .66 points on test images of Fashion-MNIST.",
    "Conventional: one backbone, exits behind the second and the fourth stage, the cheapest threshold on search images "
    "that keeps the same floor (a tuned one; an arbitrary one would be easier to beat), maximum clocks.",
)


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Run every part: savings and searches on each device and rail, and the sweep over what is assumed.

    Args:
        scale: ``small`` or ``full``.
        chosen: not used: the study compares searches of its own.
        console: where progress is shown.
    """
    parts = [systems.run(scale, console), sensitivity.run(scale, console)]
    claims = tuple(claim for part in parts for claim in part.claims)
    tables = tuple(made for part in parts for made in part.tables)
    return Report("hadas", scale, claims, tables, (*NOTES, *(note for part in parts for note in part.notes)))
