"""NASA's accelerator: its costs in closed form, its mappings, and how its silicon is divided."""

from codesign_gym.simulators.hardware.chunked.cost import OPERATORS, Chunked

__all__ = ["OPERATORS", "Chunked"]
