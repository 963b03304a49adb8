"""LANA (Molchanov et al., "LANA: Latency Aware Network Acceleration", ECCV 2022): a teacher's layers replaced."""

from __future__ import annotations

from rich.console import Console

from codesign_gym.simulators.accuracy.trained import load
from codesign_gym.training.studies.lana import agents, designs, exact, proxy
from codesign_gym.training.studies.lana.case import NETWORKS
from codesign_gym.training.studies.part import FULL_ONLY, absent
from codesign_gym.training.studies.study import Claim, Report

NOTES = (
    "Teachers are really trained; every operator is fitted by itself to the feature map of the layer that it replaces. "
    "Seeds are those of these fits, of random designs, of agents and of the last training.",
    "Operators that another beats in latency and loss, or that alone leave the network guessing, are left out of the "
    "search, for all agents alike; no optimum needs the former.",
)


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Run every part: exactness, the additive prediction, agents, and the designs themselves.

    Args:
        scale: ``small`` or ``full``.
        chosen: agents to compare; None or ``all`` for the scale's own, or ids joined by commas.
        console: where progress is shown.
    """
    agents.agents_of(chosen, scale)  # a wrong name is told before the long parts run
    reasons = {name: absent(name) if name in NETWORKS[scale] else FULL_ONLY for name in NETWORKS["full"]}
    networks = tuple(name for name, reason in reasons.items() if reason is None)
    for name in networks:
        load(name)  # here, lest several processes train the same teacher
    parts = [
        exact.run(scale, console),
        proxy.run(scale, console, networks),
        agents.run(scale, chosen, console, networks),
        designs.run(scale, console, networks),
    ]
    missing = [Claim(f"{name}: all of it", "", "", "", None, reason) for name, reason in reasons.items() if reason]
    claims = (*(claim for part in parts for claim in part.claims), *missing)
    return Report("lana", scale, claims, tuple(table for part in parts for table in part.tables), NOTES)
