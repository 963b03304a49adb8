"""Systolic arrays in closed form, as SCALE-Sim counts."""
