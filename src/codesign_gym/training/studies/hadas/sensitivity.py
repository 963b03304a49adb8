"""AGX Xavier, whose power and latency nobody measured for us: does the saving hold if what is assumed is wrong?"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import track

from codesign_gym.envs.early_exit.factory import Options, early_exit_problem
from codesign_gym.envs.early_exit.tables import BOARD
from codesign_gym.errors import BadConfig
from codesign_gym.simulators import dvfs
from codesign_gym.simulators.dvfs.soc_file import scaled
from codesign_gym.training.studies.hadas.designs import CONVENTIONAL, DVFS_ONLY, EXITS_ONLY, JOINT, compared, saved
from codesign_gym.training.studies.hadas.systems import SAVED, backbones
from codesign_gym.training.studies.part import Part, middle
from codesign_gym.training.studies.study import Claim, Table

SOC = "jetson-agx-xavier"
FACTORS = (1 / 1.5, 1.5)

#: Assumed numbers that a design at constant clocks and temperature does not depend on.
IDLE = ("transition", "throttled", "junction_share", "thermal.", "idle_states.")

#: At scale small, those that make most of the power and of the time.
FEW = ("domains.gpu.capacitance_f", "domains.gpu.per_cycle", "rest_w")

TEXT = f"digits on {SOC}, {BOARD}: joint design saves at least 25 % with any assumed number a third less or half more"
HEADINGS = ("number", "factor", "saved, exits only", "saved, DVFS only", "saved, joint", "clocks of the joint design")


def run(scale: str, console: Console) -> Part:
    """The sweep: one number at a time, all systems redesigned for the changed device."""
    content = dvfs.read(SOC)
    assumed = [path for path in dvfs.build(content, SOC).assumed if not any(mark in path for mark in IDLE)]
    paths = [path for path in assumed if path in FEW] if scale == "small" else assumed
    rows: list[tuple[Any, ...]] = []
    joint: list[float] = []
    for path in track(paths, "hadas, sensitivity", console=console, disable=not console.is_terminal):
        for factor in FACTORS:
            try:
                soc = dvfs.build(scaled(content, path, factor), SOC)
            except BadConfig as error:
                rows.append((path, f"{factor:.2f}", "", "", "", f"not accepted: {error}"))
                continue
            row, gain = _row(path, factor, soc, scale)
            rows.append(row)
            joint.append(gain)
    met, changed = min(joint) >= SAVED, f"{len(joint)} changed devices"
    claim = Claim(TEXT, "", f"{middle(joint):.1%}", f"{min(joint):.1%}", met, changed, f"worst of {changed}")
    return Part((claim,), (Table(f"what is assumed of {SOC}", HEADINGS, tuple(rows)),))


def _row(path: str, factor: float, soc: dvfs.Soc, scale: str) -> tuple[tuple[Any, ...], float]:
    problem = early_exit_problem(Options(backbones=backbones("digits", scale), device=SOC), soc)
    systems = compared(problem)
    base = systems[CONVENTIONAL].energy_j
    gains = [saved(systems[label].energy_j, base) for label in (EXITS_ONLY, DVFS_ONLY, JOINT)]
    setting = systems[JOINT].design[-len(soc.steps) :]
    clocks = "/".join(f"{hz / 1e6:.0f}" for hz in soc.clocks(setting))
    return (path, f"{factor:.2f}", *(f"{gain:.1%}" for gain in gains), f"{clocks} MHz"), gains[-1]
