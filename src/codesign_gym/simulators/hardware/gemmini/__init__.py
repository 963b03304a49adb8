"""Gemmini: a mapping on its array, with the caches between it and memory, and its own tiling."""
