"""Bitwidths per layer: HAQ's problem, with budgets or an accuracy floor."""
