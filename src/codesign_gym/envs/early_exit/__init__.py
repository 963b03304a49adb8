"""Exits, a threshold and clocks for a device: HADAS's design problem."""
