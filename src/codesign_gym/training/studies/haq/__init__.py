"""HAQ (Wang et al., "HAQ: Hardware-Aware Automated Quantization with Mixed Precision", CVPR 2019)."""

from __future__ import annotations

from rich.console import Console

from codesign_gym.training.studies.haq import agents, measured, swap, table, twin
from codesign_gym.training.studies.study import Report


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Run every part: measured networks, the tabular twin, the swap matrix, the released table, and agents compared.

    Args:
        scale: ``small`` or ``full``.
        chosen: agents of the last part; None for the scale's own, ``all``, or ids joined by commas.
        console: where progress is shown.
    """
    if chosen is not None:
        agents.agents_of(chosen)  # a wrong name is told before the long parts run
    parts = [
        measured.run(scale, console),
        twin.run(scale, console),
        swap.run(scale, console),
        table.run(),
        agents.run(scale, chosen, console),
    ]
    claims = tuple(claim for part in parts for claim in part.claims)
    tables = tuple(made for part in parts for made in part.tables)
    return Report("haq", scale, claims, tables, tuple(note for part in parts for note in part.notes))
