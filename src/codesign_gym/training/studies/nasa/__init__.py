"""NASA (Shi et al., ICCAD 2022): networks of convolutions, shifts and additions, and the chunks that run them."""

from __future__ import annotations

from rich.console import Console

from codesign_gym.training.studies.nasa import allocation, mapping, pretraining, search
from codesign_gym.training.studies.study import Report

NOTES = (
    "Delay is the time between two images in the pipeline of chunks: that of the busiest chunk or of DRAM. Energy is "
    "arithmetic, global buffer and DRAM of the device nasa-chunked; registers are free.",
    "The paper's own figures could not be verified; bars are this project's.",
    "Accuracies are of floating-point activations; the weights of shift layers are powers of two indeed. Most of the "
    "energy is DRAM's: a shift layer saves by weights of 4 bits more than by its arithmetic.",
)


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Run every part: the auto-mapper, the division of the silicon, the search, and the pretraining.

    Args:
        scale: ``small`` or ``full``.
        chosen: not used: the study compares searches of its own.
        console: where progress is shown.
    """
    parts = [part.run(scale, console) for part in (mapping, allocation, search, pretraining)]
    claims = tuple(claim for part in parts for claim in part.claims)
    tables = tuple(made for part in parts for made in part.tables)
    return Report("nasa", scale, claims, tables, NOTES)
