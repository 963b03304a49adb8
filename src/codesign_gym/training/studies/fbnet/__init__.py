"""FBNet (Wu et al., "Hardware-Aware Efficient ConvNet Design via Differentiable Architecture Search", CVPR 2019)."""

from __future__ import annotations

from rich.console import Console

from codesign_gym.training.studies.fbnet import agents, digits, dnas, measured, ranking
from codesign_gym.training.studies.fbnet.problems import Setting
from codesign_gym.training.studies.study import Claim, Report, Table

#: A phone's processor and an FPGA engine.
MODELLED = (Setting("fbnet", "pixel-3-cpu", 2.0), Setting("fbnet", "fpga-ultra96", 60.0))
#: Devices of HW-NAS-Bench, of which all operators were measured.
MEASURED = (("edgegpu", 15.0), ("raspi4", 120.0))
AGENTS = {"small": ("gumbel", "lightnas"), "full": ("gumbel", "lightnas", "ppo")}
EVALUATIONS = {"small": 600, "full": 2000}

NOTES = (
    "Latencies are sums of look-up tables of the true 22 x 9 shapes; the quality is a made-up sum, from 0 to 1 for the "
    "best operator of every layer, whose exact optimum integer programming finds.",
    "A search's weight is fixed: how fast its net is, the exponent decides. It is bisected from search to search until "
    "the net has the wanted quality; in the table of agents gumbel has the published exponent, which does not know of "
    "the budget, so its samples are repaired.",
)


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Run every part: searches on look-up tables, modelled and measured; agents compared; a supernet on digits.

    Args:
        scale: ``small`` or ``full``.
        chosen: agents of the table, ids joined by commas; None for the scale's own.
        console: where progress is shown.
    """
    names = agents.agents_of(chosen, AGENTS[scale])  # a wrong name is told before the long parts run
    claims, made = dnas.run(MODELLED, "FBNet's space", scale, console)
    claims_there, tables_there = _on_measured(scale, console)
    on_digits, ranked = digits.run(scale, console), ranking.run(scale, console)
    compared = agents.compared(MODELLED[0], names, EVALUATIONS[scale], console)
    return Report(
        "fbnet",
        scale,
        (*claims, *claims_there, *on_digits.claims, *ranked.claims),
        (made, *tables_there, compared, *on_digits.tables, *ranked.tables),
        (*NOTES, *on_digits.notes),
    )


def _on_measured(scale: str, console: Console) -> tuple[tuple[Claim, ...], tuple[Table, ...]]:
    """Claims on measured operators, where there are any at hand."""
    where, file = "measured operators", measured.operators_file()
    if file is None or scale == "small":
        reason = measured.ABSENT if file is None else "only at scale full"
        return (Claim(f"{where}: as above", dnas.PAPER, "", "", None, reason),), ()
    claims, table = dnas.run([Setting("fbnet", name, ms, file) for name, ms in MEASURED], where, scale, console)
    return claims, (table,)
