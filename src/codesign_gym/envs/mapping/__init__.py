"""Mappings of a network's layers onto a machine."""
