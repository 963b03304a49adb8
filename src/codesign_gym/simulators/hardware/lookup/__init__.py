"""Measured tables as a device."""
