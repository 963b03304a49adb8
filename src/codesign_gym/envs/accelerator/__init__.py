"""Accelerator knobs chosen for given networks."""
