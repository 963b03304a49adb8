"""Spaces of layers that choose among operators, as data, with the rows that every choice computes."""

from codesign_gym.simulators.operators.catalog import CATALOG, load, read
from codesign_gym.simulators.operators.file import SpaceFile
from codesign_gym.simulators.operators.space import Layer, OperatorSpace, Site

__all__ = ["CATALOG", "Layer", "OperatorSpace", "Site", "SpaceFile", "load", "read"]
