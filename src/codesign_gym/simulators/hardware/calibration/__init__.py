"""Fitting a device's constants to measurements: the data, the fit, and what a device file keeps of it."""
