"""Evolutionary algorithms of pymoo as agents."""
