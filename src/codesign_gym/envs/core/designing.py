"""The cores that walk a design problem, as agents see them."""

from __future__ import annotations

from codesign_gym.envs.core.construct import ConstructCore
from codesign_gym.envs.core.refine import RefineCore

DesignCore = ConstructCore | RefineCore
