"""A running device: its clocks, and what work costs it in time, energy and heat."""

from codesign_gym.simulators.dvfs.clocks import ClockTable
from codesign_gym.simulators.dvfs.soc import Advanced, Soc, Transition
from codesign_gym.simulators.dvfs.soc_file import CATALOG, SocFile, build, load, read
from codesign_gym.simulators.dvfs.thermal import Thermal
from codesign_gym.simulators.dvfs.work import Work

__all__ = [
    "CATALOG",
    "Advanced",
    "ClockTable",
    "Soc",
    "SocFile",
    "Thermal",
    "Transition",
    "Work",
    "build",
    "load",
    "read",
]
