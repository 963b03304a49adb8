"""Operators, bitwidths and accelerator knobs chosen together."""
